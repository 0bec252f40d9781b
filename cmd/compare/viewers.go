package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"gpsbridge/cmd/internal/command"
)

// order is what viewers are told: to join, or to measure from now on, or neither and to report.
type order struct {
	Join    int       `json:"join,omitempty"` // so many more
	Addr    string    `json:"addr,omitempty"`
	Raw     bool      `json:"raw,omitempty"`    // the server is the floor: it lets everybody in without a word
	Measure time.Time `json:"measure,omitzero"` // counts the messages that are sent from then on, and no others
}

// sight is what viewers report.
type sight struct {
	Received int       `json:"received"`
	Arrived  int       `json:"arrived"` // the messages that were sent before counted too: the server's work
	Closed   int       `json:"closed"`  // viewers that the server has left
	Delays   histogram `json:"delays"`
}

// audience is any number of viewers in one loop over epoll: a goroutine each would cost the machine as much as the server
// that is measured on it.
type audience struct {
	epoll int

	mu      sync.Mutex
	streams map[int]*stream // by descriptor
	from    int64           // see order.Measure, in ns of Unix time
	sight   sight
}

// joinAtOnce bounds the handshakes under way: below the 128 connections that a server's queue may hold.
const joinAtOnce = 16

func playViewers(ctx context.Context, w command.Process, _ command.Command, _ []string) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("watch sockets: %w", err)
	}
	a := &audience{epoll: epoll, streams: make(map[int]*stream)}
	a.sight.Delays = make(histogram)
	failed := make(chan error, 1)
	go func() { failed <- a.watch() }()
	return serveRole(ctx, w, func(o order) (any, error) {
		select {
		case err := <-failed:
			return nil, err
		default:
		}
		if o.Join > 0 {
			return struct{}{}, a.join(o)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if !o.Measure.IsZero() {
			a.from = o.Measure.UnixNano()
			a.sight = sight{Closed: a.sight.Closed, Delays: make(histogram)}
		}
		report := a.sight
		report.Delays = maps.Clone(report.Delays) // it is told while more come
		return report, nil
	})
}

// join adds viewers to the group.
func (a *audience) join(o order) error {
	var g errgroup.Group
	g.SetLimit(joinAtOnce)
	for range o.Join {
		g.Go(func() error {
			conn, behind, err := o.enter()
			if err != nil {
				return err
			}
			fd, err := detach(conn)
			if err != nil {
				return err
			}
			return a.add(fd, behind)
		})
	}
	return g.Wait()
}

func (a *audience) add(fd int, behind []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := new(stream)
	a.streams[fd] = s
	if err := s.feed(behind, a.take(fd)); err != nil {
		return err
	}
	return unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)})
}

// watch reads from whatever has something, for ever.
func (a *audience) watch() error {
	events := make([]unix.EpollEvent, 256)
	buffer := make([]byte, maxFrame)
	for {
		n, err := unix.EpollWait(a.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("watch sockets: %w", err)
		}
		a.mu.Lock()
		for _, e := range events[:max(0, n)] {
			a.read(int(e.Fd), buffer)
		}
		a.mu.Unlock()
	}
}

// read takes what one viewer was sent. Under mu.
func (a *audience) read(fd int, buffer []byte) {
	n, err := unix.Read(fd, buffer)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err == nil && n > 0 {
		err = a.streams[fd].feed(buffer[:n], a.take(fd))
	}
	if err != nil || n <= 0 {
		_ = unix.Close(fd) // which epoll sees
		delete(a.streams, fd)
		a.sight.Closed++
	}
}

// take returns what one read does with the frames of a viewer: the time is that of the read. Under mu.
func (a *audience) take(fd int) func(first byte, payload []byte) {
	now := time.Now()
	return func(first byte, payload []byte) {
		switch first {
		case pingFrame:
			_, _ = unix.Write(fd, appendFrame(nil, pongFrame, true, payload)) // a socket that takes no 20 bytes is lost anyway
		case textFrame:
			at, ok := sentAt(payload)
			if !ok || a.from == 0 {
				return
			}
			a.sight.Arrived++
			if at < a.from {
				return
			}
			a.sight.Received++
			a.sight.Delays.add(time.Duration(now.UnixNano() - at))
		}
	}
}

// sentKey names the time of publishing in a message, in ns of Unix time.
var sentKey = []byte(`"sent":`)

// sentAt finds that time. Servers that read a message and write it anew put a space before it.
func sentAt(msg []byte) (ns int64, ok bool) {
	i := bytes.Index(msg, sentKey)
	if i < 0 {
		return 0, false
	}
	for _, c := range bytes.TrimLeft(msg[i+len(sentKey):], " ") {
		if c < '0' || c > '9' {
			break
		}
		ns, ok = ns*10+int64(c-'0'), true
	}
	return ns, ok
}

// groupPath is the group of the device in all measurements.
const groupPath = "/ws/gps-tracking/" + device + "/"

// enter connects one viewer.
func (o order) enter() (net.Conn, []byte, error) {
	if !o.Raw {
		return join(net.Dialer{}, o.Addr, groupPath)
	}
	conn, err := net.DialTimeout("tcp", o.Addr, handshakeTimeout)
	return conn, nil, err
}
