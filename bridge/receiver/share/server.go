package share

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"gpsbridge/bridge/problem"
)

const (
	// mostClients is more programs than a vehicle has.
	mostClients = 16
	// mostQueued in bytes is what waits for a client at the most: a minute of a receiver at 1 Hz, and 6 s of the fastest line.
	mostQueued = 64 << 10
	// slowTimeout is how long a client may take nothing at all of a whole queue: it hangs.
	slowTimeout = 10 * time.Second
)

// Config is what to serve.
type Config struct {
	// Listen is host:port, such as "127.0.0.1:10110"; 10110 is what IANA gave NMEA 0183. Port 0 takes a free one.
	Listen string
	// Open lets Listen be another address than a loopback one: then every client that reaches it sees the positions.
	Open bool
	// Log gets one line for a client that is closed because it does not read, and one when no more are taken. Default: none.
	Log *slog.Logger
}

// Codes of the problems of this package. Their key is "nmea_listen".
const (
	InvalidAddress problem.Code = "share-address-invalid"
	NotLoopback    problem.Code = "share-not-loopback" // and Config.Open is not set
	AddressTaken   problem.Code = "share-address-taken"
	ListenFailed   problem.Code = "share-listen-failed"
)

// wrong is a problem of Config.Listen.
func (c Config) wrong(code problem.Code, what, fix string) *problem.Problem {
	return &problem.Problem{Code: code, Key: "nmea_listen", Cause: strconv.Quote(c.Listen) + what, Fix: fix}
}

// Validate returns a *problem.Problem when Listen cannot be used.
func (c Config) Validate() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return c.wrong(InvalidAddress, " is not an address", `use host:port, such as "127.0.0.1:10110"`)
	}
	ip, err := netip.ParseAddr(host)
	if loopback := host == "localhost" || err == nil && ip.IsLoopback(); !loopback && !c.Open {
		return c.wrong(NotLoopback, " is not a loopback address", "set nmea_open = true to show the vehicle's position to every client that reaches it")
	}
	return nil
}

// Status is a picture of a Server at one moment.
type Status struct {
	Listen  string `json:"listen"` // the address that clients connect to
	Clients int    `json:"clients"`
	Dropped uint64 `json:"dropped"` // bytes, of whole lines, that clients did not read in time
	Slow    uint64 `json:"slow"`    // clients that were closed because they read nothing
	Refused uint64 `json:"refused"` // clients that found no room
}

// Server serves one receiver. Make it with Listen, then call Serve once; Data may be called from before that on until after.
type Server struct {
	config   Config
	listener net.Listener

	mu      sync.Mutex
	clients map[*client]struct{}
	midLine bool // what came last does not end a line
	full    bool // that it is was logged
	status  Status
}

// Listen checks the configuration and listens on the address. Its error is a *problem.Problem.
func Listen(c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", c.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, c.wrong(AddressTaken, " is taken by another program", "find it with \"sudo ss -tlpn\" and stop it, or use another port")
	case err != nil:
		p := c.wrong(ListenFailed, fmt.Sprintf(" cannot be listened on (%v)", err), "")
		p.Err = err
		return nil, p
	}
	return &Server{config: c, listener: l, clients: map[*client]struct{}{}, status: Status{Listen: l.Addr().String()}}, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close releases the address, for a Server on which Serve is not called. Serve does it by itself.
func (s *Server) Close() error { return s.listener.Close() }

// Serve takes clients until ctx ends, and returns nil when all of them are closed and nothing runs any more. It is an error
// when the Server was closed before.
func (s *Server) Serve(ctx context.Context) error {
	var running sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() }) // which ends Accept
	err := s.accept(ctx, &running)
	stop()
	_ = s.listener.Close() // closed already, as a rule
	s.mu.Lock()
	for c := range s.clients {
		c.close()
	}
	s.mu.Unlock()
	running.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// acceptPause is what is waited when no client can be taken for the moment, as when the process has too many files open.
const acceptPause = 100 * time.Millisecond

func (s *Server) accept(ctx context.Context, running *sync.WaitGroup) error {
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			s.join(conn, running)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			p := s.config.wrong(ListenFailed, " was closed", "")
			p.Err = err
			return p
		default:
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
		}
	}
}

// join takes a client, if there is room.
func (s *Server) join(conn net.Conn, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.room() {
		s.status.Refused++
		_ = conn.Close() // nothing was sent to it
		if !s.full {
			s.full = true
			s.config.Log.Warn("no more nmea clients are taken", "clients", len(s.clients), "listen", s.status.Listen)
		}
		return
	}
	c := newClient(conn, s.midLine)
	s.clients[c] = struct{}{}
	running.Go(c.drain)
	running.Go(func() {
		slow := c.send()
		s.leave(c, slow)
	})
}

// room reports whether there is room for a client. One that has ended its side, and may be gone altogether, makes room. The
// caller holds mu.
func (s *Server) room() bool {
	if len(s.clients) < mostClients {
		return true
	}
	for c := range s.clients {
		if c.halfClosed() {
			c.close()
			delete(s.clients, c)
			return true
		}
	}
	return false
}

// leave removes a client.
func (s *Server) leave(c *client, slow bool) {
	c.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	s.full = false
	if slow {
		s.status.Slow++
		s.config.Log.Warn("nmea client closed: it does not read", "client", c.conn.RemoteAddr().String())
	}
}

// Data gives bytes to every client. It does not wait, and does not keep p.
func (s *Server) Data(p []byte) {
	if len(p) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		s.status.Dropped += uint64(c.add(p))
	}
	s.midLine = p[len(p)-1] != '\n'
}

// Opened notes that what follows does not continue what came before: an open line is ended, so that it damages no other.
func (s *Server) Opened() {
	s.mu.Lock()
	midLine := s.midLine
	s.mu.Unlock()
	if midLine {
		s.Data([]byte("\r\n"))
	}
}

// Status returns who is served.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Clients = len(s.clients)
	return st
}
