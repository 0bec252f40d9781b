package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Queue is where records come from and where their acknowledgements go. All of
// it must be safe for use from several goroutines. Positions grow in the order
// of the queue and start at 1.
type Queue interface {
	// Next returns the first record behind position after that is not
	// acknowledged, and waits for one while there is none. The data must not
	// change afterwards: it is held until acknowledged. An error that is not
	// that of ctx ends the uplink.
	Next(ctx context.Context, after uint64) (pos uint64, data []byte, err error)
	// Ack marks one record as done with, in any order, and any number of times.
	Ack(pos uint64)
	// Acked is the position up to which every record is done with.
	Acked() uint64
	// Last is the position of the newest record, 0 for none.
	Last() uint64
}

// Config describes one uplink. URL is required; every zero value means the
// default that is stated.
type Config struct {
	Name   string      // in logs and status; default: the host of URL
	URL    string      // ws:// or wss://, complete; a user and password in it are sent as Basic authorization
	Origin string      // default: http(s)://host of URL, which the server's own Origin check accepts
	Header http.Header // sent with the handshake

	// Files are read again at each connection, so that they can be replaced.
	TokenFile string // its content goes out as Authorization: Bearer
	CAFile    string // PEM, trusted besides the system's authorities
	CertFile  string // PEM, the client's own certificate, with KeyFile
	KeyFile   string

	Ack    AckMode // default auto
	Window int     // upper limit of unacknowledged records, 1 to 99; default 32

	HandshakeTimeout time.Duration // from name look-up to the answer of the server; default 10 s
	Ping             time.Duration // between pings; default 20 s
	PongTimeout      time.Duration // a dead link is found within Ping + PongTimeout; default 10 s
	WriteTimeout     time.Duration // for each frame; default 10 s
	Renew            time.Duration // a connection is replaced at this age, give or take a tenth; default 12 h

	// Key extracts what identifies a message among all messages of the group,
	// from a record of the queue as from its echo. It is called from several
	// goroutines and must not keep msg. Not ok: the message has none. A record
	// without a key is acknowledged by the echo of a later one, or by pong.
	// Without Key there is no acknowledgement by echo.
	Key func(msg []byte) (key string, ok bool)

	Log *slog.Logger // default: none

	// NetDial replaces the connecting of TCP, for tests.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.HandshakeTimeout, 10*time.Second)
	def(&c.Ping, 20*time.Second)        // as often as servers ping their clients
	def(&c.PongTimeout, 10*time.Second) // pongs of an overloaded server took up to 0.6 s, those of a bad cellular link some seconds
	def(&c.WriteTimeout, 10*time.Second)
	def(&c.Renew, 12*time.Hour) // group memberships of Django Channels expire silently after 24 h
	if c.Window == 0 {
		c.Window = maxWindow
	}
	if c.Ack == "" {
		c.Ack = AckAuto
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Uplink sends the records of a queue to one server.
type Uplink struct {
	// Set once.
	c     Config
	url   string // for people: without secrets
	queue Queue
	log   *slog.Logger

	// Owned by Run.
	retry *retry

	mu       sync.Mutex // guards all below
	win      window
	mode     AckMode // in force; auto: not known yet
	unechoed int     // sendings without any echo while the mode is not known
	deaf     int     // connections in a row given up for silence
	status   Status  // counters and state; the rest is filled in by Status
	lastAck  time.Time
	retryAt  time.Time
	failed   error         // why the last attempt to connect failed; nil while connected or not known
	trouble  trouble       // what was logged last
	changed  chan struct{} // closed at the next change, for Drain; nil: nobody waits
}

// New returns an uplink that takes its records from q. Its errors are those of
// the configuration, and name the key and what it takes.
func New(c Config, q Queue) (*Uplink, error) {
	c = c.withDefaults()
	target, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Ack, err = ParseAckMode(string(c.Ack)); err != nil {
		return nil, err
	}
	if c.Window < 1 || c.Window >= capacity {
		return nil, fmt.Errorf("check window %d: want 1 to %d (a server process holds %d records for all its clients together)", c.Window, capacity-1, capacity)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("check client certificate: cert_file and key_file are needed together")
	}
	mode := c.Ack
	if c.Key == nil {
		if c.Ack == AckEcho {
			return nil, errors.New("check acknowledgement mode \"echo\": there is no key to recognise an echo by")
		}
		c.Key = func([]byte) (string, bool) { return "", false }
		if c.Ack == AckAuto {
			mode = AckPong
		}
	}
	if c.Name == "" {
		c.Name = target.Host
	}
	u := &Uplink{
		c: c, url: redact(target), queue: q, retry: newRetry(),
		win: newWindow(c.Window), mode: mode,
	}
	u.log = c.Log.With("uplink", c.Name)
	u.status = Status{State: Connecting, Since: now()}
	return u, nil
}

// Run keeps the server supplied until ctx ends, and then closes the connection
// with a close frame, waiting at most a second for the server's. It returns nil
// then, and otherwise only the error of a queue that cannot be read.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.enter(Stopped, "", 0)
	for ctx.Err() == nil {
		err := u.connect(ctx)
		if broken := (*queueError)(nil); errors.As(err, &broken) {
			return fmt.Errorf("run uplink %q: %w", u.c.Name, err)
		}
		if ctx.Err() != nil || errors.Is(err, errRenew) {
			continue
		}
		pause := u.retry.after(err)
		u.enter(Waiting, reason(err), pause)
		sleep(ctx, pause)
	}
	return nil
}

// connect is one attempt: dial, and stay until the connection ends. The error
// says why it failed or ended.
func (u *Uplink) connect(ctx context.Context) error {
	u.enter(Connecting, "", 0)
	conn, err := Dial(ctx, u.c)
	if err != nil {
		if ctx.Err() == nil {
			u.refused(err)
		}
		return err
	}
	u.connected()
	s := newSession(u, conn)
	err = s.run(ctx)
	if s.fruitful() {
		u.retry.reset()
	}
	u.disconnected(ctx, err, s.fruitful())
	return err
}

// Drain returns nil when every record that was in the queue at the call is
// acknowledged. It returns an error when ctx ends before that, and at once when
// the server cannot be reached: then waiting would be in vain. A connection
// that is being made, or made again after a loss, is waited for.
func (u *Uplink) Drain(ctx context.Context) error {
	target := u.queue.Last()
	for {
		u.mu.Lock()
		if u.changed == nil {
			u.changed = make(chan struct{})
		}
		changed, failed, stopped := u.changed, u.failed, u.status.State == Stopped
		u.mu.Unlock()

		acked := u.queue.Acked()
		left := target - min(acked, target)
		switch {
		case left == 0:
			return nil
		case stopped:
			return u.undrained(left, errors.New("uplink has stopped"))
		case failed != nil:
			return u.undrained(left, failed)
		}
		select {
		case <-ctx.Done():
			return u.undrained(left, context.Cause(ctx))
		case <-changed:
		}
	}
}

func (u *Uplink) undrained(left uint64, why error) error {
	return fmt.Errorf("drain uplink %q: records not acknowledged: %d: %w", u.c.Name, left, why)
}

// notify wakes Drain. Caller holds mu.
func (u *Uplink) notify() {
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

// ack gives records back to the queue as done with.
func (u *Uplink) ack(done []uint64) {
	if len(done) == 0 {
		return
	}
	u.mu.Lock()
	u.deaf = 0
	u.lastAck = time.Now()
	u.status.Acked += uint64(len(done)) // before the queue knows, so that an empty queue means that all is counted
	u.recovered()
	u.mu.Unlock()
	for _, pos := range done {
		u.queue.Ack(pos)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.notify()
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// now is the current time as status shows it: milliseconds are enough.
func now() time.Time { return time.Now().UTC().Round(time.Millisecond) }
