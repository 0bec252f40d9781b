package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// distant is a source beyond a network: its stream is lost in other ways than a port is, and it is not asked for as often.
type distant interface {
	opener
	// silent is the problem of what is open as port and sends nothing.
	silent(port string) *problem.Problem
	// lost is the problem that err is, which ended what was open as port.
	lost(port string, err error) *problem.Problem
}

// backoffDistant bounds the pause between two attempts to reach what is distant: a connection costs both ends something and
// a modem its sleep, and a server that comes back is found within seconds all the same.
const backoffDistant = 5 * time.Second

// jitter shortens a pause by up to half at random, so that many clients of one server do not come back together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// tcpClient is a server that sends NMEA 0183 to whoever connects, as multiplexers and other programs do.
type tcpClient struct {
	address string // host:port
}

func tcpFrom(address string) (opener, error) {
	host, port, err := splitAddress(address, "")
	if err == nil && host == "" {
		err = errNoHost
	}
	if err != nil {
		return nil, invalid(`use "tcp://host:port", such as tcp://192.168.1.10:10110 or tcp://[fd00::10]:10110`, "%v", err)
	}
	return tcpClient{net.JoinHostPort(host, port)}, nil
}

func (tcpClient) finite() bool { return false }

func (t tcpClient) name() string { return "tcp://" + t.address }

func (t tcpClient) open(ctx context.Context) (stream, error) {
	c, err := dial(ctx, t.address)
	if err != nil {
		return stream{}, explainDial(t.name(), err, "start the program that sends there, or name the right port")
	}
	return stream{conn: c, port: t.name()}, nil
}

func (tcpClient) silent(port string) *problem.Problem {
	return &problem.Problem{Code: source.Silent, Cause: port + " is connected and sends nothing", Fix: "check the receiver behind it, and the network"}
}

func (tcpClient) lost(port string, err error) *problem.Problem {
	if errors.Is(err, io.EOF) {
		return &problem.Problem{Code: source.Closed, Cause: port + " closed the connection", Fix: "see that its program runs, and how many clients it takes"}
	}
	return &problem.Problem{Code: source.Lost, Cause: fmt.Sprintf("%s: connection lost (%v)", port, netCause(err)),
		Fix: "check the network and the program behind it", Err: err}
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
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 65535 {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return 1 <= n && n <= 65535
}
