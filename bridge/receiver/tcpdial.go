package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// dialTimeout bounds looking a name up and connecting. A cellular link that has slept takes 1 to 3 s to answer.
const dialTimeout = 5 * time.Second

// dialer connects. The rule of silence finds a half-open connection of a receiver that sent; keepalive finds one earlier,
// and one to a server whose receiver says nothing, in 5 + 3*2 s.
var dialer = net.Dialer{
	Timeout:         dialTimeout,
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	return dialer.DialContext(ctx, "tcp", address)
}

// explainDial makes the one line that a person needs of a server that cannot be reached. refused is the mend where the
// machine is there and the program is not.
func explainDial(name string, err error, refused string) error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("%s: the name %q is not known: check its spelling, or use an IP address", name, dns.Name)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: the name %q cannot be looked up: check the network and its DNS server, or use an IP address", name, dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s refuses connections: %s", name, refused)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s cannot be reached (%v): check that both machines are in the network", name, netCause(err))
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s does not answer within %v: check the address, the network and the firewall there", name, dialTimeout)
	}
	return fmt.Errorf("connect to %s: %w", name, netCause(err))
}

// netCause strips what net's errors say of addresses, which the line names already.
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
