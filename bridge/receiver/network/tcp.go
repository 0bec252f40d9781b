package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// tcpClient is a server that sends NMEA 0183 to each client, as multiplexers and other programs do.
type tcpClient struct {
	address string // host:port
}

// NewTCP is the source "tcp://host:port".
func NewTCP(address string, _ *source.Options) (source.Source, error) {
	host, port, err := splitAddress(address, "")
	if err == nil && host == "" {
		err = errNoHost
	}
	if err != nil {
		return nil, source.Invalid(`use "tcp://host:port", such as tcp://192.168.1.10:10110 or tcp://[fd00::10]:10110`, "%v", err)
	}
	return tcpClient{net.JoinHostPort(host, port)}, nil
}

func (tcpClient) Traits() source.Traits { return source.Traits{Remote: true} }

func (t tcpClient) Open(ctx context.Context, h source.Host) (source.Stream, error) {
	name := "tcp://" + t.address
	c, err := dial(ctx, t.address)
	if err != nil {
		return nil, explainDial(name, err, "start the program that sends there, or name the right port")
	}
	return &tcpStream{newStream(c, name, h)}, nil
}

type tcpStream struct{ stream }

func (s *tcpStream) Silent() *problem.Problem {
	if p := s.content(); p != nil {
		return p // gpsd sends a greeting, and nothing more
	}
	return &problem.Problem{Code: source.Silent, Cause: s.Port() + " is connected and sends nothing", Fix: "check the receiver behind it, and the network"}
}

func (s *tcpStream) Lost(err error) *problem.Problem {
	if errors.Is(err, io.EOF) {
		return &problem.Problem{Code: source.Closed, Cause: s.Port() + " closed the connection", Fix: "see that its program runs, and how many clients it takes"}
	}
	return &problem.Problem{Code: source.Lost, Cause: fmt.Sprintf("%s: connection lost (%v)", s.Port(), netCause(err)),
		Fix: "check the network and the program behind it", Err: err}
}
