package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/secret"
)

// Queue is where records come from and where their acknowledgements go. All of
// it must be safe for use from several goroutines. Positions grow in the order
// of the queue and start at 1.
type Queue interface {
	// Next returns the first record after a position that is not acknowledged, position 0 while there is none. The data must
	// not change afterwards: it is held until acknowledged. An error ends the uplink.
	Next(after uint64) (pos uint64, data []byte, err error)
	// Arrival returns a channel that is closed when there may be more for Next.
	Arrival() <-chan struct{}
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

	Ack    AckMode       // default auto
	Retain time.Duration // how long a record is kept after a provisional acknowledgement, or for a server that may ask for it again; default 10 min
	Window int           // upper limit of unacknowledged records, 1 to 99; default 32
	Order  Order         // default live-first

	Compress Compress // default auto

	ConnectTimeout time.Duration // from name look-up to the server's answer, of it at most 10 s to the TCP connection; default 60 s
	Ping           time.Duration // without an echo until a ping, and between pings; default DefaultPing
	PongTimeout    time.Duration // a dead link is found within Ping + PongTimeout; default 10 s
	WriteTimeout   time.Duration // for each frame; default 10 s
	Renew          time.Duration // a connection is replaced at this age, give or take a tenth; default 12 h

	// Echoes states that an earlier uplink has seen this server echo: auto
	// begins as echo. SawEcho, if set, is called at the first own echo, to be
	// remembered for that.
	Echoes  bool
	SawEcho func()

	// Plain is when compression is offered again, because an earlier uplink found that connections to this server break with it.
	// SawPlain, if set, is called when this one finds that, to be remembered for it; with zero when compression was not the cause.
	Plain    time.Time
	SawPlain func(until time.Time)

	// Final states that no record comes after those that wait: a device ID that is not used any more has left them. Of what the
	// server leaves without an echo, a pong is provisional then, in auto, although the server was seen to echo.
	Final bool

	// Backlog, if set, is given each record that is sent late in live-first
	// order, and returns what is sent in its place: the daemon marks it so. run
	// and seq must stay the same, and msg must not be changed. Late is what
	// goes out after a newer record did, be it from the backlog or sent again;
	// so what is not marked is in order. What waited for a moment and goes out
	// in its order, as after a short loss of the connection, is not late.
	Backlog func(msg []byte) []byte

	// Quarantine, if set, is given a record on which the server breaks the
	// connection again and again while it accepts others; reason is one line
	// about how. When it returns nil, the record is done with. Without
	// Quarantine such a record is tried permanently. A record may be given
	// twice.
	Quarantine func(msg []byte, reason string) error

	// Changed, if set, is received from: a value means that the network has
	// changed. A wait before the next attempt then ends, and an open connection
	// is checked at once. A buffer of one keeps a change that comes meanwhile.
	Changed <-chan struct{}

	// Clock, if set, is the time at which certificates are verified, read at
	// each connection, and the name of its source, for status and errors.
	// Default: the system's, "system".
	Clock func() (now time.Time, source string)

	// Beat, if set, is called by the loops of Run again and again, with the
	// time within which they will call it again unless they hang; 0 is no
	// promise, as at the end of Run.
	Beat func(within time.Duration)

	Rand *rand.Rand   // of pauses and ages, used by Run alone; default: one with a seed of its own
	Log  *slog.Logger // default: none

	dial    dialFunc // connects over TCP: dialTCP
	segment int      // of TCP, in bytes; 0: the system's
	short   bool     // ask for short acknowledgements
	traffic *traffic // of all connections
	tickets *tickets // for the next connection
}

// DefaultPing is how often servers ping their clients.
const DefaultPing = 20 * time.Second

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.ConnectTimeout, time.Minute)
	def(&c.Retain, 10*time.Minute) // longer than the migrations and database locks that stall an application
	def(&c.Ping, DefaultPing)
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
	if c.Compress == "" {
		c.Compress = CompressAuto
	}
	if c.Clock == nil {
		c.Clock = systemClock
	}
	if c.Beat == nil {
		c.Beat = func(time.Duration) {}
	}
	if c.SawEcho == nil {
		c.SawEcho = func() {}
	}
	if c.SawPlain == nil {
		c.SawPlain = func(time.Time) {}
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.dial == nil {
		c.dial = dialTCP
	}
	if c.tickets == nil {
		c.tickets = &tickets{}
	}
	if c.traffic == nil {
		c.traffic = &traffic{}
	}
	return c
}

// Uplink sends the records of a queue to one server.
type Uplink struct {
	// Set once.
	c     Config
	url   string // for people: without secrets
	tls   bool
	queue Queue
	log   *slog.Logger

	// Owned by Run, and lent to the keeper of a session.
	retry   *retry
	network <-chan struct{} // of its changes
	path    path
	reached bool   // the last attempt connected
	brief   bool   // the last connection was of use, for a short time
	epoch   string // of what the server has stored, "" where it does not state it

	mu             sync.Mutex // guards all below
	win            window
	echoes         echoes
	isolation      isolation
	compression    compression
	runs           map[string]bool // of the records sent
	sentFirst      time.Time       // when the first record was sent
	stuck          bool            // the last record to be quarantined could not be, and that was logged
	newest         uint64          // position, of the records ever sent, by this process or perhaps an earlier one
	top            uint64          // newest position acknowledged
	drains         int             // calls of Drain
	session        *session        // while connected
	clock          string          // the source of the time of the last attempt
	mode           AckMode         // in force; auto: no echo was seen yet
	silent         int             // connections in a row given up because nothing was acknowledged
	status         Status          // counters and state; the rest is filled in by Status
	lastAck        time.Time
	isolatingSince time.Time // when connections began to break on the same records
	retryAt        time.Time
	failed         error         // why the last attempt to connect failed; nil while connected or not known
	logged         logged        // what the log knows
	changed        chan struct{} // closed at the next change, for Drain; nil: no call waits
}

// New returns an uplink that takes its records from q. Its errors are problems
// of the configuration, with their keys.
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
	if c.Compress, err = ParseCompress(string(c.Compress)); err != nil {
		return nil, err
	}
	mode := c.Ack
	if mode == AckAuto && c.Echoes {
		mode = AckEcho
	}
	if c.Name == "" {
		c.Name = target.Host
	}
	u := &Uplink{
		c: c, url: secret.RedactURL(target.String()), tls: target.Scheme == "wss", queue: q, retry: newRetry(c.Rand), path: newPath(c.ConnectTimeout),
		win: newWindow(c.Window), mode: mode, network: c.Changed, runs: map[string]bool{}, compression: withoutUntil(c.Plain, time.Now()),
		newest: q.Last(), // an earlier process may have sent it, ahead of what it left
	}
	u.log = c.Log.With("uplink", c.Name)
	u.status = Status{State: Connecting, Since: now()}
	return u, nil
}

// Run keeps the server supplied until ctx ends, and then closes the connection
// with a close frame, waiting at most a second for the server's. It returns nil
// then, and otherwise only the error of a queue that cannot be read.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.enter(Stopped, nil, 0)
	defer u.c.Beat(0)
	for ctx.Err() == nil {
		err := u.connect(ctx)
		code := problem.CodeOf(err)
		if code == QueueFailed {
			return fmt.Errorf("run uplink %q: %w", u.c.Name, err)
		}
		if ctx.Err() != nil || code == AgeReached {
			continue
		}
		pause := u.retry.after(err, u.reached, u.isolating(), u.brief)
		u.enter(Waiting, problem.Of(err), pause)
		u.sleep(ctx, pause)
	}
	return nil
}

// connect is one attempt: dial, and stay until the connection ends. The error
// is why it failed or ended.
func (u *Uplink) connect(ctx context.Context) error {
	u.enter(Connecting, nil, 0)
	u.c.Beat(2 * u.c.ConnectTimeout) // the certificate's files are read as well
	conn, header, err := dial(ctx, u.attempt())
	u.reached = err == nil
	if err != nil {
		u.brief = false
		if ctx.Err() == nil {
			u.path.failed(err)
			u.refused(err)
			u.uncompress(nil, err)
		}
		return err
	}
	s := newSession(u, conn, agreed(conn))
	u.retain(header)
	u.connected(s)
	err = s.run(ctx)
	useful := s.useful()
	u.brief = useful && time.Since(s.since) < usefulAfter
	if useful {
		u.retry.reset()
	}
	u.path.ended(err, u.outstanding() > 0)
	err = s.explainIdle(err)
	if !u.uncompress(s, err) {
		u.judge(s, err)
	}
	u.disconnected(ctx, err, useful)
	if problem.CodeOf(err) == LostRecords {
		u.sendAgain()
	}
	return err
}

// retainer is a queue that keeps what is acknowledged, for a server that may lose it.
type retainer interface {
	Retain(d time.Duration) // from now on; 0 ends it
	Again() (records int)   // has Next return what is kept
}

// retain has the queue keep what this server may ask for again. What it has lost since the last connection is sent again.
func (u *Uplink) retain(answer http.Header) {
	q, ok := u.queue.(retainer)
	if !ok {
		return
	}
	epoch := answer.Get(group.EpochHeader)
	if u.epoch != "" && epoch != "" && epoch != u.epoch {
		u.sendAgain()
	}
	u.epoch = epoch
	seconds, err := strconv.ParseUint(answer.Get(group.RetainHeader), 10, 32)
	if err != nil {
		seconds = 0
	}
	q.Retain(min(time.Duration(seconds)*time.Second, u.c.Retain))
}

// sendAgain has what is kept sent again.
func (u *Uplink) sendAgain() {
	q, ok := u.queue.(retainer)
	if !ok {
		return
	}
	records := q.Again()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.top = u.queue.Acked()
	if records == 0 { // it was asked for before
		return
	}
	u.log.Warn("server has lost what it had acknowledged, sending it again", "records", records)
}

// attempt is the configuration of one attempt, whose clock stands.
func (u *Uplink) attempt() Config {
	c := u.c
	at, source := c.Clock()
	c.Clock = func() (time.Time, string) { return at, source }
	c.ConnectTimeout = u.path.allowed
	c.segment, c.short = u.path.segment, u.asksShort()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clock = source
	if !u.compression.offered(time.Now()) {
		c.Compress = CompressOff
	}
	return c
}

// uncompress looks whether compression may be why an attempt failed or a connection ended. Then the next one does without it,
// and no record is the cause.
func (u *Uplink) uncompress(s *session, err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	early := s != nil && s.early()
	if s != nil && s.compressed && s.acked > 0 {
		u.compression.works()
	}
	if s != nil && !s.compressed {
		if u.compression.why != nil && u.compression.plainFailed(err, early, time.Now()) {
			u.c.SawPlain(time.Time{})
		}
		return false
	}
	if !u.compression.failed(err, early, time.Now()) {
		return false
	}
	u.log.Warn("compression is off for an hour", "reason", reason(err), "code", CompressionBroke)
	u.c.SawPlain(u.compression.until)
	return true
}

// judge looks what the end of a connection shows about the records outstanding.
func (u *Uplink) judge(s *session, err error) {
	f := failure{behind: s.otherPassed, blame: blameOf(problem.CodeOf(err))}
	if f.blame == blameNone {
		return
	}
	u.mu.Lock()
	var out []*flight
	switch {
	case s.otherPassed: // and nothing but the candidate was on its way
		out = u.win.flying()
	case u.isolation.active:
		out = u.win.unproven(time.Now().Add(-2 * failWait))
	default: // a pong may be far ahead of what the application processes
		out = u.win.unproven(time.Time{})
	}
	for _, flight := range out {
		f.outstanding = append(f.outstanding, flight.pos)
	}
	f.first = u.win.place(u.win.n) == 1
	if len(out) > 0 {
		f.marked, f.place = out[0].marked, u.win.place(out[0].n)
	}
	f.plain = !slices.ContainsFunc(out, func(f *flight) bool { return f.marked })
	searched := u.isolation.searching()
	starts, quarantine := u.isolation.broke(f)
	if !searched && u.isolation.searching() {
		u.isolatingSince = time.Now()
	}
	u.mu.Unlock()
	if starts {
		u.log.Warn("server breaks the connection on the same records again and again, sending some at a time to find out which", "reason", reason(err), "records", len(f.outstanding))
	}
	if quarantine && u.c.Quarantine != nil {
		u.quarantine(out[0], "server breaks the connection on it, and accepts others: "+reason(err))
	}
}

// marks reports whether late records are marked. Caller holds mu.
func (u *Uplink) marks() bool {
	return u.c.Backlog != nil && u.c.Order == LiveFirst && !u.isolation.marksRefused()
}

// quarantine gives a record away that the server does not accept. While that
// fails the record stays and is tried again.
func (u *Uplink) quarantine(f *flight, why string) {
	err := u.c.Quarantine(f.data, why)
	if err == nil {
		u.queue.Ack(f.pos)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		if !u.stuck {
			u.log.Error("record cannot be quarantined, it is kept and tried again", "pos", f.pos, "err", err)
		}
		u.stuck = true
		return
	}
	u.log.Warn("record quarantined", "pos", f.pos, "bytes", len(f.data), "reason", why)
	u.stuck = false
	u.win.forget(f)
	u.isolation.passed(f.pos)
	u.status.Quarantined++
	u.notify()
}

// passed takes note that a record is no candidate any more.
func (u *Uplink) passed(pos uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.isolation.passed(pos)
}

// isolating reports whether a record is looked for on which the server breaks
// the connection, while it accepts others. For a minute it need not have shown
// that it does: it may break the connection before an echo comes.
func (u *Uplink) isolating() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.isolation.searching() && (time.Since(u.lastAck) < time.Minute || time.Since(u.isolatingSince) < time.Minute)
}

func (u *Uplink) outstanding() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.win.outstanding() - u.win.held
}

// ack gives records back to the queue as done with. Those of done that have no
// echo are counted by unechoed.
func (u *Uplink) ack(done []uint64, unechoed int) {
	if len(done) == 0 {
		return
	}
	u.mu.Lock()
	u.silent = 0
	u.lastAck = time.Now()
	u.status.Acked += uint64(len(done)) // before the queue knows, so that an empty queue means that all is counted
	u.status.Unechoed += uint64(unechoed)
	for _, pos := range done {
		u.top = max(u.top, pos)
		u.isolation.passed(pos)
	}
	u.mu.Unlock()
	for _, pos := range done {
		u.queue.Ack(pos)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.notify()
}

// settle takes the first own echo. Echo is never left again: a server that
// echoed and stopped is stuck, and a pong in its place would lose records.
// Caller holds mu.
func (u *Uplink) settle() {
	if u.c.Ack != AckAuto || u.mode == AckEcho {
		return
	}
	u.mode = AckEcho
	u.win.srtt, u.win.rttvar = 0, 0 // that of a pong is not that of an echo
	u.log.Info("server echoes: acknowledging by echo")
	u.c.SawEcho()
}

// provisional reports whether a pong frees the window without acknowledging.
// Caller holds mu.
func (u *Uplink) provisional() bool {
	return u.mode == AckAuto || (u.mode == AckEcho && (u.echoes.partial() || u.echoes.silent() || u.isolation.active))
}

// silenceLimit is how long outstanding records may stay without any
// acknowledgement. It doubles with each connection that was given up in a row,
// because the server may be slow and not stuck. Caller holds mu.
func (u *Uplink) silenceLimit() time.Duration {
	if u.mode == AckNone || u.win.srtt == 0 {
		return silenceMax
	}
	limit := min(max(silenceRounds*u.win.timeout(), silenceMin), silenceMax)
	return min(limit<<min(u.silent, 3), silenceMax) + u.win.delay
}

// gapsToSilence is how many times the longest pause between two echoes of a
// server that echoes some records makes a silence.
const gapsToSilence = 4

// silentAt is when a connection will have been silent for too long. Where the
// server echoes some records, pongs are no acknowledgement, and pauses between
// echoes are usual. Caller holds mu.
func (u *Uplink) silentAt(since time.Time) time.Time {
	switch {
	case u.mode == AckEcho && u.echoes.partial() && !u.echoes.silent():
	case u.win.room() && u.win.backlogRoom(): // it holds nothing up
		return u.win.progress.Add(silenceMax)
	default:
		return u.win.progress.Add(u.silenceLimit())
	}
	limit := max(min(gapsToSilence*u.echoes.gap, u.c.Retain), silenceMax) << min(u.silent, 4)
	return latest(since, u.echoes.last).Add(limit)
}

// provisionalWait is how long a record waits for its echo before a ping is
// spent on it. Caller holds mu.
func (u *Uplink) provisionalWait() time.Duration {
	if u.isolation.active {
		return failWait
	}
	return echoWait
}

// pongsAtOnce reports whether a provisional pong is asked for as soon as the
// window is full: not before the server has had the time to echo what was sent,
// because pongs may be much quicker than echoes. Caller holds mu.
func (u *Uplink) pongsAtOnce(now time.Time) bool {
	return !u.isolation.active && (u.mode == AckEcho || (!u.sentFirst.IsZero() && now.Sub(u.sentFirst) >= warnAfter))
}

// accepts reports whether what is held is acknowledged after Retain. Caller
// holds mu.
func (u *Uplink) accepts() bool { return u.c.Ack == AckAuto && u.provisional() }

// waits reports whether an acknowledgement is due: what is held waits for an echo where one is to be expected. Caller holds mu.
func (u *Uplink) waits() bool {
	return len(u.win.flying()) > 0 || (u.win.held > 0 && u.mode == AckEcho && !u.echoes.silent())
}

// underway reports whether a record was sent on this connection and is not done with.
func (u *Uplink) underway(pos uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.win.has(pos)
}

// sleep waits for d, a change of the network, or the end of ctx.
func (u *Uplink) sleep(ctx context.Context, d time.Duration) {
	u.c.Beat(d)
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

// Drain returns nil when every record that was in the queue at the call is
// acknowledged, provisionally at least. It returns an error when ctx ends before
// that, and at once when the server cannot be reached: then waiting would be in
// vain. A connection that is being made, or made again after a loss, is waited
// for.
//
// While it waits, a loss of the last records is found within some round trips
// and not only by the silence.
func (u *Uplink) Drain(ctx context.Context) error {
	u.drain(1)
	defer u.drain(-1)
	target := u.queue.Last()
	for {
		u.mu.Lock()
		if u.changed == nil {
			u.changed = make(chan struct{})
		}
		changed, failed, stopped, held := u.changed, u.failed, u.status.State == Stopped, uint64(u.win.held)
		u.mu.Unlock()

		acked := u.queue.Acked()
		left := target - min(acked, target)
		switch {
		case left == 0, u.behind() <= held:
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

// drain counts the calls of Drain, and has the deadlines looked at.
func (u *Uplink) drain(calls int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drains += calls
	if u.session != nil {
		signal(u.session.poke)
	}
}

// notify wakes Drain. Caller holds mu.
func (u *Uplink) notify() {
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

// now is the current time as status shows it: milliseconds are enough.
func now() time.Time { return time.Now().UTC().Round(time.Millisecond) }
