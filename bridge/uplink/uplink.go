package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"gpsbridge/bridge/problem"
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
	Order  Order   // default defaultOrder

	ConnectTimeout time.Duration // from name look-up to the server's answer, of it at most 10 s to the TCP connection; default 60 s
	Ping           time.Duration // between pings; default 20 s
	PongTimeout    time.Duration // a dead link is found within Ping + PongTimeout; default 10 s
	WriteTimeout   time.Duration // for each frame; default 10 s
	Renew          time.Duration // a connection is replaced at this age, give or take a tenth; default 12 h

	// Key extracts what identifies a message among all messages of the group,
	// from a record of the queue as from its echo. It is called from several
	// goroutines and must not keep msg. Not ok: the message has none. A record
	// without a key is acknowledged by the echo of a later one, or by pong.
	// Without Key there is no acknowledgement by echo.
	Key func(msg []byte) (key string, ok bool)

	// Backlog, if set, is given each record that is sent late in live-first
	// order, and returns what is sent in its place: the daemon marks it so. The
	// key must stay the same, and msg must not be changed. Late is what goes
	// out after a newer record did, be it from the backlog or sent again; so
	// what is not marked is in order. What waited for a moment and goes out in
	// its order, as after a short loss of the connection, is not late.
	Backlog func(msg []byte) []byte

	// Quarantine, if set, is given a record on which the server breaks the
	// connection, or which it never echoes, again and again while it accepts
	// others; reason is one line that tells which. When it returns nil, the
	// record is done with. Without Quarantine such a record is tried
	// permanently. A record may be given twice.
	Quarantine func(msg []byte, reason string) error

	// Changed, if set, is received from: a value says that the network has
	// changed. A wait before the next attempt then ends, and an open connection
	// is checked at once. A buffer of one keeps a change that comes meanwhile.
	Changed <-chan struct{}

	// Clock, if set, is the time at which certificates are verified, read at
	// each connection, and the name of who told it, for status and errors.
	// Default: the system's, "system".
	Clock func() (now time.Time, source string)

	// Turn, if set, is called by the loops of Run at each turn, with the time
	// within which they will call it again unless they hang; 0 is no promise,
	// as at the end of Run.
	Turn func(within time.Duration)

	Log *slog.Logger // default: none

	dial dialFunc // connects over TCP: that of package net, which New has counted
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.ConnectTimeout, time.Minute)
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
	if c.Order == "" {
		c.Order = defaultOrder
	}
	if c.Clock == nil {
		c.Clock = systemClock
	}
	if c.Turn == nil {
		c.Turn = func(time.Duration) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	return c
}

// Uplink sends the records of a queue to one server.
type Uplink struct {
	// Set once.
	c       Config
	url     string // for people: without secrets
	tls     bool
	queue   Queue
	log     *slog.Logger
	traffic traffic

	// Owned by Run, and lent to the keeper of a session.
	retry   *retry
	network <-chan struct{} // of its changes

	mu       sync.Mutex // guards all below
	win      window
	probe    probe
	stuck    bool     // the last record to be set aside could not be, and that was said
	newest   uint64   // position, of the records ever sent, by this process or perhaps an earlier one
	top      uint64   // newest position acknowledged
	drains   int      // calls of Drain
	session  *session // while connected
	clock    string   // who told the time for the last attempt
	mode     AckMode  // in force; auto: not known yet
	unechoed int      // sendings without any echo while the mode is not known
	deaf     int      // connections in a row given up for silence
	status   Status   // counters and state; the rest is filled in by Status
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
		return nil, &problem.Problem{Code: BadWindow, Key: "window", Cause: fmt.Sprintf("%d is out of range", c.Window),
			Fix: fmt.Sprintf("choose 1 to %d: a server process holds %d records for all its clients together", capacity-1, capacity)}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, &problem.Problem{Code: BadCert, Key: "cert_file", Cause: "cert_file and key_file are needed together", Fix: "set both or none"}
	}
	if c.Order, err = ParseOrder(string(c.Order)); err != nil {
		return nil, err
	}
	mode := c.Ack
	if c.Key == nil {
		if c.Ack == AckEcho {
			return nil, &problem.Problem{Code: BadAck, Key: "ack", Cause: "echo needs a Key to recognise an echo by", Fix: "set Config.Key"}
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
		c: c, url: redact(target), tls: target.Scheme == "wss", queue: q, retry: newRetry(),
		win: newWindow(c.Window), mode: mode, network: c.Changed,
		newest: q.Last(), // an earlier process may have sent it, ahead of what it left
	}
	u.c.dial = u.traffic.dialer(c.dial)
	u.log = c.Log.With("uplink", c.Name)
	u.status = Status{State: Connecting, Since: now()}
	return u, nil
}

// Run keeps the server supplied until ctx ends, and then closes the connection
// with a close frame, waiting at most a second for the server's. It returns nil
// then, and otherwise only the error of a queue that cannot be read.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.enter(Stopped, nil, 0)
	defer u.c.Turn(0)
	for ctx.Err() == nil {
		err := u.connect(ctx)
		code := problem.CodeOf(err)
		if code == QueueFailed {
			return fmt.Errorf("run uplink %q: %w", u.c.Name, err)
		}
		if ctx.Err() != nil || code == AgeReached {
			continue
		}
		pause := u.retry.after(err)
		u.enter(Waiting, problem.Of(err), pause)
		u.sleep(ctx, pause)
	}
	return nil
}

// connect is one attempt: dial, and stay until the connection ends. The error
// says why it failed or ended.
func (u *Uplink) connect(ctx context.Context) error {
	u.enter(Connecting, nil, 0)
	u.c.Turn(2 * u.c.ConnectTimeout) // the certificate's files are read as well
	conn, err := Dial(ctx, u.timed())
	if err != nil {
		if ctx.Err() == nil {
			u.refused(err)
		}
		return err
	}
	s := newSession(u, conn)
	u.connected(s)
	err = s.run(ctx)
	if s.fruitful() {
		u.retry.reset()
	}
	u.judge(s, err)
	u.disconnected(ctx, err, s.fruitful())
	return err
}

// timed is the configuration of one attempt, whose clock stands.
func (u *Uplink) timed() Config {
	c := u.c
	at, source := c.Clock()
	c.Clock = func() (time.Time, string) { return at, source }
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clock = source
	return c
}

func (u *Uplink) outstanding() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.win.outstanding()
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

// sleep waits for d, a change of the network, or the end of ctx.
func (u *Uplink) sleep(ctx context.Context, d time.Duration) {
	u.c.Turn(d)
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case _, ok := <-u.network:
			if u.networkChanged(ok) {
				return
			}
		}
	}
}

// networkChanged takes a value of Changed: what was learned about the server
// being out of reach is void. Not ok: the channel is closed, and no more used.
func (u *Uplink) networkChanged(ok bool) bool {
	if !ok {
		u.network = nil
		return false
	}
	u.retry.reset()
	return true
}

// now is the current time as status shows it: milliseconds are enough.
func now() time.Time { return time.Now().UTC().Round(time.Millisecond) }
