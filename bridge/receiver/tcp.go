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
)

// distant is a source beyond a network: its stream is lost in other ways than a port is, and it is not asked for as often.
type distant interface {
	source
	// silent says in one line that what is open as port sends nothing, and the mend.
	silent(port string) string
	// lost says in one line how err ended what was open as port, and the mend.
	lost(port string, err error) string
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

func tcpFrom(address string) (source, error) {
	host, port, err := splitAddress(address, "")
	if err == nil && host == "" {
		err = errors.New("no host")
	}
	if err != nil {
		return nil, fmt.Errorf(`%w: use "tcp://host:port", such as tcp://192.168.1.10:10110 or tcp://[fd00::10]:10110`, err)
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

func (tcpClient) silent(port string) string {
	return port + " is connected and sends nothing: check the receiver behind it, and the network"
}

func (tcpClient) lost(port string, err error) string {
	if errors.Is(err, io.EOF) {
		return port + " closed the connection: see that its program runs, and how many clients it takes"
	}
	return fmt.Sprintf("%s: connection lost (%v): check the network and the program behind it", port, netCause(err))
}

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
		return "", "", fmt.Errorf("%q is no host and port", address)
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
