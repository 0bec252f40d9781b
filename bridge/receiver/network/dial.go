package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// dialTimeout bounds looking a name up and connecting. A cellular link that has slept takes 1 to 3 s to answer.
const dialTimeout = 5 * time.Second

// dialer connects. Silence shows a half-open connection of a receiver that sent; keepalive shows one earlier, and one to a
// server whose receiver sends nothing, in 5 + 3*2 s.
var dialer = net.Dialer{
	Timeout:         dialTimeout,
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	return dialer.DialContext(ctx, "tcp", address)
}

// explainDial is the problem of a server that cannot be reached. refused is the fix where the machine is there and the
// program is not.
func explainDial(name string, err error, refused string) *problem.Problem {
	p := &problem.Problem{Err: err}
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		p.Code, p.Cause, p.Fix = source.HostUnknown, fmt.Sprintf("%s: the name %q is not known", name, dns.Name), "check its spelling, or use an IP address"
	case errors.As(err, &dns):
		p.Code, p.Cause = source.LookupFailed, fmt.Sprintf("%s: the name %q cannot be looked up", name, dns.Name)
		p.Fix = "check the network and its DNS server, or use an IP address"
	case errors.Is(err, syscall.ECONNREFUSED):
		p.Code, p.Cause, p.Fix = source.Refused, name+" refuses connections", refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		p.Code, p.Cause = source.Unreachable, fmt.Sprintf("%s cannot be reached (%v)", name, netCause(err))
		p.Fix = "check that both machines are in the network"
	case errors.As(err, &timeout) && timeout.Timeout():
		p.Code, p.Cause = source.NoAnswer, fmt.Sprintf("%s does not answer within %v", name, dialTimeout)
		p.Fix = "check the address, the network and the firewall there"
	default:
		p.Code, p.Cause = source.ConnectFailed, fmt.Sprintf("connect to %s: %v", name, netCause(err))
	}
	return p
}

// netCause strips the addresses of net's errors, which the problem names already.
func netCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}

var errNoHost = errors.New("no host")

// splitAddress splits host:port and checks the port, a number. fallback is the port where none is given, "" when one must be.
// The host may be empty.
func splitAddress(address, fallback string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err != nil && fallback != "" && (!strings.Contains(address, ":") || strings.HasSuffix(address, "]")) {
		host, port, err = net.SplitHostPort(address + ":" + fallback)
	}
	var wrong *net.AddrError
	switch {
	case errors.As(err, &wrong) && wrong.Err == "missing port in address":
		return "", "", fmt.Errorf("no port in %q", address)
	case err != nil:
		return "", "", fmt.Errorf("%q is not host:port", address)
	case !isPort(port):
		return "", "", fmt.Errorf("port %q is not a number from 1 to 65535", port)
	case strings.ContainsAny(host, "/ "):
		return "", "", fmt.Errorf("host %q is not possible", host)
	}
	return host, port, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
