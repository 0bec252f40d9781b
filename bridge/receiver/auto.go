package receiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gpsbridge/nmea"
)

// auto finds the port of a receiver: the first, in order of rank, on which a valid sentence comes.
type auto struct {
	baud  int
	find  func() []string
	probe time.Duration // how long a port may take
}

// probeTime is how long a port may take to say something valid. Receivers send once a second at least; the first second may
// begin in the middle of a sentence, and another covers a slow start.
const probeTime = 3 * time.Second

func (a auto) finite() bool { return false }

func (a auto) open(ctx context.Context) (stream, error) {
	ports := a.find()
	if len(ports) == 0 {
		return stream{}, fmt.Errorf("no receiver found (looked for %s): plug one in, or name its port with --device",
			strings.Join(machine.patterns(), ", "))
	}
	var errs []string
	for _, port := range ports {
		c, err := openSerial(port, a.baud)
		if err == nil {
			var s stream
			if s, err = a.listen(ctx, c, port); err == nil {
				s.rester = c
				return s, nil
			}
		}
		if ctx.Err() != nil {
			return stream{}, ctx.Err()
		}
		errs = append(errs, err.Error())
	}
	return stream{}, errors.New(strings.Join(errs, "; "))
}

// findPorts lists the ports that can be used, best first.
func findPorts() []string {
	var paths []string
	for _, p := range Ports() {
		if p.Trouble == "" {
			paths = append(paths, p.Path)
		}
	}
	return paths
}

// listen waits for a valid sentence on an open port. It returns a stream that begins with what was heard meanwhile; without
// a sentence it closes c.
func (a auto) listen(ctx context.Context, c conn, port string) (stream, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	heard, err := hear(c, time.Now().Add(a.probe))
	if !stop() {
		err = ctx.Err()
	}
	if err == nil {
		return stream{conn: &heardConn{conn: c, heard: heard}, port: port}, nil
	}
	_ = c.Close()
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return stream{}, fmt.Errorf("%s went away (%w): plug the receiver in again", port, cause(err))
	case len(heard) == 0:
		return stream{}, fmt.Errorf("%s has sent nothing for %v: check the receiver's power and cable", port, a.probe)
	default:
		return stream{}, fmt.Errorf("%s sends no NMEA sentence at %d baud: name the port and its speed with --device %s?baud=N",
			port, a.baud, port)
	}
}

// hearMost is more than the fastest receivers send in probeTime: what has said so much without a sentence is none.
const hearMost = 1 << 20

// hear reads until a sentence is complete and returns all that it has read.
func hear(c conn, deadline time.Time) ([]byte, error) {
	if err := c.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	var scanner nmea.Scanner
	var heard []byte
	buf := make([]byte, 1024)
	valid := false
	for {
		n, err := c.Read(buf)
		scanner.Scan(buf[:n], func([]byte) { valid = true })
		heard = append(heard, buf[:n]...)
		switch {
		case valid:
			return heard, nil
		case err != nil:
			return heard, err
		case n == 0:
			return heard, errNothing
		case len(heard) > hearMost:
			return heard, os.ErrDeadlineExceeded
		}
	}
}

// heardConn is a conn of which the beginning was read already.
type heardConn struct {
	conn
	heard []byte
}

func (h *heardConn) Read(p []byte) (int, error) {
	if len(h.heard) == 0 {
		return h.conn.Read(p)
	}
	n := copy(p, h.heard)
	h.heard = h.heard[n:]
	return n, nil
}
