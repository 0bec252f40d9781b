package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/spool"
	"gpsbridge/nmea"
)

// The simulation runs the whole sending side (messages, spool, uplink, WebSocket) against a server, a network and a device that
// misbehave by a plan, which a seed decides. Time is that of a synctest bubble, so that an hour takes a second. What must hold
// is in check. A seed that fails prints its plan; run it alone with
//
//	go test ./bridge/uplink -run 'TestSimulation/seed_17$' -v

// plan is what happens in one world.
type plan struct {
	lasts  time.Duration
	every  time.Duration // between two fixes
	rtt    time.Duration
	habit  string
	ack    AckMode
	order  Order
	disk   bool
	faults []fault
}

type fault struct {
	at, lasts time.Duration
	kind      string
}

func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v, a fix every %v, round trip %v, server %q, ack %s, order %s, disk %t", p.lasts, p.every, p.rtt, p.habit, p.ack, p.order, p.disk)
	for _, f := range p.faults {
		fmt.Fprintf(&b, "\n  at %v for %v: %s", f.at, f.lasts, f.kind)
	}
	return b.String()
}

// habits are what applications do with a fix.
var habits = []string{
	"echo", "echo", "wrapped", "as text", "in a list", "in batches", "twice", "seconds late", "never", "never",
	"one a second", "a third", "newer ones only", "unmarked ones only",
	"fails on marked", "closes 1008 on marked",
}

// kinds are what goes wrong.
var kinds = []string{
	"application stands still", "process stands still", "crash", "restart", "channel layer down", "membership lost", "echoes dropped",
	"closes after two", "network cut", "network slow", "configuration reloaded", "kill", "power cut",
}

func newPlan(seed uint64) plan {
	rnd := rand.New(rand.NewPCG(seed, 11))
	p := plan{
		every: []time.Duration{100 * time.Millisecond, time.Second, time.Second, 10 * time.Second, time.Minute, 5 * time.Minute}[rnd.IntN(6)],
		rtt:   []time.Duration{time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, time.Second}[rnd.IntN(4)],
		habit: habits[rnd.IntN(len(habits))],
		ack:   []AckMode{AckAuto, AckAuto, AckAuto, AckEcho}[rnd.IntN(4)],
		order: []Order{LiveFirst, LiveFirst, OldestFirst}[rnd.IntN(3)],
		disk:  rnd.IntN(3) == 0,
	}
	if p.habit == "never" {
		p.ack = AckAuto
	}
	if p.habit == "in batches" {
		p.every = min(p.every, time.Second) // what is echoed after minutes is as good as never
	}
	p.lasts = max(20*time.Minute, min(1500*p.every, 48*time.Hour))
	mean := p.lasts / 8
	for at := time.Duration(rnd.Int64N(int64(mean))); at < p.lasts; {
		f := fault{at: at.Round(time.Millisecond), kind: kinds[rnd.IntN(len(kinds))]}
		f.lasts = time.Duration(rnd.ExpFloat64() * float64([]time.Duration{5 * time.Second, time.Minute, 4 * time.Minute}[rnd.IntN(3)])).Round(time.Millisecond)
		f.lasts = min(f.lasts, 9*time.Minute) // shorter than Retain
		if p.disk || (f.kind != "kill" && f.kind != "power cut") {
			p.faults = append(p.faults, f)
		}
		at += f.lasts + time.Duration(rnd.ExpFloat64()*float64(mean))
	}
	return p
}

// world is a plan that is being carried out.
type world struct {
	t    *testing.T
	plan plan
	rnd  *rand.Rand
	log  logBuffer
	dir  string // for the copies of the device's directories

	// The device.
	spool    *spool.Spool
	uplink   *Uplink
	messages *pipeline.Messages
	dirs     int // copies so far
	stop     func()
	echoes   bool // remembered beside the spool

	tasks sync.WaitGroup // of wires

	mu       sync.Mutex
	active   map[string]int // faults, by kind
	wires    []*wire        // of connections that stand
	apps     []*application
	begin    time.Time
	made     map[Key]time.Time
	sent     map[Key]time.Time // first taken from the queue
	arrived  map[Key]time.Time // processed by the application
	excused  map[Key]bool      // by a power cut
	dials    []time.Time
	lastEcho time.Time // of the server that echoes one a second
	newest   map[string]uint64
	problems []string
}

func (w *world) is(kind string) bool { return w.active[kind] > 0 }

func (w *world) fail(format string, args ...any) {
	if len(w.problems) < 10 {
		w.problems = append(w.problems, fmt.Sprintf("%v: ", time.Since(w.begin))+fmt.Sprintf(format, args...))
	}
}

// TestSimulation runs worlds by their seeds. Those of foundBy are always run.
func TestSimulation(t *testing.T) {
	seeds := 160
	if testing.Short() {
		seeds = 12
	}
	simulated := make(chan time.Duration, seeds)
	t.Run("worlds", func(t *testing.T) {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprintf("seed_%d", seed), func(t *testing.T) {
				t.Parallel()
				p := newPlan(seed)
				simulate(t, seed, p)
				simulated <- p.lasts
			})
		}
	})
	close(simulated)
	total := time.Duration(0)
	for d := range simulated {
		total += d
	}
	t.Logf("%.0f simulated hours", total.Hours())
}

func simulate(t *testing.T, seed uint64, p plan) {
	dir, err := os.MkdirTemp(memory(), "simulation")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, plan: p, rnd: rand.New(rand.NewPCG(seed, 12)), dir: dir, begin: time.Now(), active: map[string]int{},
			made: map[Key]time.Time{}, sent: map[Key]time.Time{}, arrived: map[Key]time.Time{}, excused: map[Key]bool{},
			newest: map[string]uint64{},
		}
		w.run()
		w.check()
		if len(w.problems) > 0 {
			t.Errorf("plan of seed %d: %v\n%s", seed, p, strings.Join(w.problems, "\n"))
			if testing.Verbose() {
				t.Logf("log:\n%s", w.log.String())
			}
		}
	})
}

// memory is a directory on a tmpfs if there is one, "" for the usual temporary one: syncing takes real time.
func memory() string {
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err != nil {
		return ""
	}
	return shm
}

// run carries the plan out, and gives the uplink time to deliver what is left.
func (w *world) run() {
	server := &http.Server{Handler: w}
	listener := newPipes()
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(listener) }()
	dial := func(ctx context.Context, _ string, _ int) (net.Conn, error) { return w.dial(ctx, listener) }

	w.start(dial, "")
	next := 0
	var ending []func(time.Duration) bool // faults that go on
	for since := time.Duration(0); since < w.plan.lasts; since += w.plan.every {
		for ; next < len(w.plan.faults) && w.plan.faults[next].at <= since; next++ {
			ending = append(ending, w.strike(w.plan.faults[next], since, dial))
		}
		ending = slices.DeleteFunc(ending, func(over func(time.Duration) bool) bool { return over(since) })
		w.fix()
		pass(w.plan.every)
	}
	for _, over := range ending {
		over(time.Hour * 1000)
	}
	for range 100 { // what is left, without further faults
		if w.spool.Reader("r").Waiting() == 0 {
			break
		}
		if w.plan.habit != "never" {
			w.fix() // the echo of a later one shows what became of the last ones
		}
		pass(30 * time.Second)
	}
	w.stop()
	w.spool.Close()
	server.Close()
	<-ended
	w.mu.Lock()
	wires := w.wires
	w.mu.Unlock()
	for _, wire := range wires {
		wire.close()
	}
	w.crash()
	w.tasks.Wait()
}

// fix makes one fix, as the pipeline does.
func (w *world) fix() {
	msg := w.messages.Fix(&nmea.Fix{Mode: nmea.ModeNone})
	key, _ := keyOf(msg)
	w.mu.Lock()
	w.made[key] = time.Now()
	w.mu.Unlock()
	if _, err := w.spool.Append(msg); err != nil {
		w.t.Error(err)
	}
}

// start begins a process of the daemon on the directories of an earlier one, "" for none.
func (w *world) start(dial dialFunc, dirs string) {
	o := spool.Options{Readers: []string{"r"}, Log: slog.New(slog.DiscardHandler)}
	if w.plan.disk {
		if dirs == "" {
			dirs = filepath.Join(w.dir, "0")
		}
		o.Dir, o.Runtime = filepath.Join(dirs, "disk"), filepath.Join(dirs, "run")
		if err := os.MkdirAll(o.Runtime, 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	var err error
	if w.spool, err = spool.Open(o); err != nil {
		w.t.Fatal(err)
	}
	w.messages = pipeline.NewMessages("van_7")
	w.connect(dial)
}

// connect begins an uplink, as a link does.
func (w *world) connect(dial dialFunc) {
	var err error
	w.uplink, err = New(Config{
		URL: "ws://tracking.example/ws/gps-tracking/van_7/", Ack: w.plan.ack, Order: w.plan.order, Backlog: pipeline.Late,
		Echoes: w.echoes, SawEcho: func() { w.echoes = true }, dial: dial, Log: w.log.logger(),
		Quarantine: func(msg []byte, reason string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.fail("quarantined %s: %s", msg, reason)
			return nil
		},
	}, &checkedQueue{Reader: w.spool.Reader("r"), w: w, keys: map[uint64]Key{}})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	u := w.uplink
	go func() { ended <- u.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
}

// strike begins a fault, and returns what ends it when its time is over.
func (w *world) strike(f fault, since time.Duration, dial dialFunc) (over func(time.Duration) bool) {
	switch f.kind {
	case "configuration reloaded":
		w.stop()
		w.connect(dial)
	case "kill", "power cut":
		w.restart(dial, f.kind == "power cut")
	case "crash", "restart":
		w.set(f.kind, 1)
		w.crash()
	default:
		w.set(f.kind, 1)
	}
	lasting := w.is(f.kind)
	return func(now time.Duration) bool {
		if now < since+f.lasts {
			return false
		}
		if lasting {
			w.set(f.kind, -1)
		}
		return true
	}
}

func (w *world) set(kind string, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active[kind] += by
}

// restart ends the daemon without notice, and starts it again on what its disk holds.
func (w *world) restart(dial dialFunc, power bool) {
	synctest.Wait()
	w.dirs++
	from, to := filepath.Dir(w.dirOf(w.dirs-1)), filepath.Dir(w.dirOf(w.dirs))
	copyTree(w.t, w.dirOf(w.dirs-1), w.dirOf(w.dirs))
	if !power {
		copyTree(w.t, filepath.Join(from, "run"), filepath.Join(to, "run"))
	}
	w.mu.Lock()
	for key, at := range w.made {
		if power && time.Since(at) <= 2*spool.DefaultSync+w.plan.every {
			w.excused[key] = true
		}
	}
	wires := slices.Clone(w.wires)
	w.mu.Unlock()
	for _, wire := range wires {
		wire.close()
	}
	w.stop()
	w.spool.Close()
	w.start(dial, to)
}

func (w *world) dirOf(n int) string { return filepath.Join(w.dir, fmt.Sprint(n), "disk") }

func copyTree(t *testing.T, from, to string) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// checkedQueue checks each acknowledgement against what the application has processed.
type checkedQueue struct {
	*spool.Reader
	w    *world
	keys map[uint64]Key // guarded by w.mu
}

func (q *checkedQueue) Next(ctx context.Context, after uint64) (uint64, []byte, error) {
	pos, data, err := q.Reader.Next(ctx, after)
	if err == nil {
		q.w.mu.Lock()
		key, _ := keyOf(data)
		q.keys[pos] = key
		if _, ok := q.w.sent[key]; !ok {
			q.w.sent[key] = time.Now()
		}
		q.w.mu.Unlock()
	}
	return pos, data, err
}

func (q *checkedQueue) Ack(pos uint64) {
	q.w.mu.Lock()
	key := q.keys[pos]
	delete(q.keys, pos)
	_, arrived := q.w.arrived[key]
	if key.Seq > 0 && !arrived && time.Since(q.w.sent[key]) < 10*time.Minute {
		q.w.fail("seq %d was acknowledged after %v, and the application never had it", key.Seq, time.Since(q.w.sent[key]))
	}
	q.w.mu.Unlock()
	q.Reader.Ack(pos)
}

// wire is a connection over TCP: a pipe with a delay, which a cut of the network holds up.
type wire struct {
	client, server net.Conn // the far ends are with the uplink and the HTTP server
	once           sync.Once
	w              *world
}

func (w *world) dial(ctx context.Context, to *pipes) (net.Conn, error) {
	w.mu.Lock()
	w.dials = append(w.dials, time.Now())
	cut, down := w.is("network cut"), w.is("crash")
	rtt := w.delay()
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(rtt):
	}
	switch {
	case cut:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	case down:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, a := net.Pipe()
	b, theirs := net.Pipe()
	x := &wire{client: a, server: b, w: w}
	select {
	case to.conns <- theirs:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.tasks.Go(func() { x.carry(a, b) })
	w.tasks.Go(func() { x.carry(b, a) })
	w.mu.Lock()
	w.wires = append(w.wires, x)
	w.mu.Unlock()
	return ours, nil
}

// delay is half a round trip twice. Caller holds mu.
func (w *world) delay() time.Duration {
	if w.is("network slow") {
		return max(2*time.Second, w.plan.rtt)
	}
	return w.plan.rtt
}

// carry carries bytes from one end to the other until one of both is closed.
func (x *wire) carry(from, to net.Conn) {
	defer x.close()
	type chunk struct {
		data []byte
		due  time.Time
	}
	chunks := make(chan chunk, 1e5)
	defer close(chunks)
	x.w.tasks.Go(func() {
		defer x.close()
		for c := range chunks {
			pass(time.Until(c.due))
			for {
				x.w.mu.Lock()
				cut := x.w.is("network cut")
				x.w.mu.Unlock()
				if !cut {
					break
				}
				pass(time.Second) // it is repeated by TCP
			}
			if _, err := to.Write(c.data); err != nil {
				return
			}
		}
	})
	for buf := make([]byte, 4096); ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		x.w.mu.Lock()
		due := time.Now().Add(x.w.delay() / 2)
		x.w.mu.Unlock()
		chunks <- chunk{bytes.Clone(buf[:n]), due}
	}
}

func (x *wire) close() {
	x.once.Do(func() {
		x.client.Close()
		x.server.Close()
		x.w.mu.Lock()
		defer x.w.mu.Unlock()
		x.w.wires = slices.DeleteFunc(x.w.wires, func(other *wire) bool { return other == x })
	})
}

// application is one connection's part of the server: frames that were read wait in memory until it processes them.
type application struct {
	w      *world
	conn   *websocket.Conn
	frames chan []byte
	out    chan func()
	count  int
	batch  [][]byte
	order  map[string]uint64 // newest unmarked seq of each run
	gone   chan struct{}     // a crash took it and what waits
	once   sync.Once
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	refuse := w.is("restart") || w.is("crash")
	w.mu.Unlock()
	if refuse {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	var up websocket.Upgrader
	conn, err := up.Upgrade(rw, r, nil)
	if err != nil {
		return
	}
	a := &application{w: w, conn: conn, frames: make(chan []byte, 1e6), out: make(chan func(), 1e6), gone: make(chan struct{}), order: map[string]uint64{}}
	w.mu.Lock()
	w.apps = append(w.apps, a)
	w.tasks.Add(1)
	w.mu.Unlock()
	defer w.tasks.Done()
	var tasks sync.WaitGroup
	tasks.Go(a.process)
	tasks.Go(func() {
		for send := range a.out {
			send()
		}
	})
	for {
		w.stands("process stands still", a.gone)
		kind, r, err := conn.NextReader()
		if err != nil || kind != websocket.TextMessage {
			break
		}
		msg, err := io.ReadAll(r)
		if err != nil {
			break
		}
		a.frames <- msg
	}
	close(a.frames) // what was read before the end is processed
	tasks.Wait()
	conn.Close()
	w.mu.Lock()
	w.apps = slices.DeleteFunc(w.apps, func(other *application) bool { return other == a })
	w.mu.Unlock()
}

// stands waits while a fault lasts.
func (w *world) stands(kind string, gone chan struct{}) {
	for {
		w.mu.Lock()
		still := w.is(kind)
		w.mu.Unlock()
		if !still {
			return
		}
		select {
		case <-gone:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// crash ends the server's process with what waits in its memory.
func (w *world) crash() {
	w.mu.Lock()
	apps, wires := slices.Clone(w.apps), slices.Clone(w.wires)
	w.mu.Unlock()
	for _, a := range apps {
		a.end()
	}
	for _, x := range wires {
		x.close()
	}
}

func (a *application) end() { a.once.Do(func() { close(a.gone) }) }

// process handles frames one after the other, as a consumer does.
func (a *application) process() {
	defer close(a.out)
	for msg := range a.frames {
		a.w.stands("process stands still", a.gone)
		a.w.stands("application stands still", a.gone)
		select {
		case <-a.gone:
			continue
		default:
		}
		if code := a.handle(msg); code != 0 {
			a.fails(code)
		}
	}
}

// fails ends the connection up to a second later, and drops what waits.
func (a *application) fails(code int) {
	a.end()
	pass(time.Duration(a.w.random(1000)) * time.Millisecond)
	a.out <- func() {
		a.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		a.conn.Close()
	}
}

func (w *world) random(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rnd.IntN(n)
}

// handle is what the application does with a message; code is that with which it closes the connection, 0 for none.
func (a *application) handle(msg []byte) (code int) {
	w, now := a.w, time.Now()
	key, _ := keyOf(msg)
	marked := bytes.Contains(msg, []byte(`"backlog":true`))
	w.mu.Lock()
	defer w.mu.Unlock()
	a.count++
	switch {
	case w.is("channel layer down"):
		return websocket.CloseInternalServerErr
	case w.is("closes after two") && a.count > 2:
		return websocket.CloseNormalClosure
	case w.plan.habit == "fails on marked" && marked:
		return websocket.CloseInternalServerErr
	case w.plan.habit == "closes 1008 on marked" && marked:
		return websocket.ClosePolicyViolation
	}
	if _, again := w.arrived[key]; !again {
		w.arrived[key] = now
	}
	strict := strings.HasSuffix(w.plan.habit, "on marked")
	if w.plan.order == LiveFirst && !marked && !strict {
		if key.Seq < a.order[key.Run] {
			w.fail("seq %d came unmarked after %d", key.Seq, a.order[key.Run])
		}
		a.order[key.Run] = max(a.order[key.Run], key.Seq)
	}
	if w.is("membership lost") || (w.is("echoes dropped") && w.rnd.IntN(2) == 0) {
		return 0
	}
	for _, frame := range a.echo(msg, key, marked, now) {
		delay := time.Duration(0)
		if w.plan.habit == "seconds late" {
			delay = 2 * time.Second
		}
		a.out <- func() {
			pass(time.Until(now.Add(delay)))
			a.conn.WriteMessage(websocket.TextMessage, frame)
		}
	}
	return 0
}

// echo is what the application sends back. Caller holds w.mu.
func (a *application) echo(msg []byte, key Key, marked bool, now time.Time) (frames [][]byte) {
	w := a.w
	one := [][]byte{rewrite(msg)}
	switch w.plan.habit {
	case "wrapped":
		return [][]byte{fmt.Appendf(nil, `{"type":"fix","data":%s}`, msg)}
	case "as text":
		return [][]byte{fmt.Appendf(nil, `{"message":%q}`, msg)}
	case "in a list":
		return [][]byte{fmt.Appendf(nil, "[%s]", msg)}
	case "in batches":
		if a.batch = append(a.batch, msg); len(a.batch) < 3 {
			return nil
		}
		defer func() { a.batch = nil }()
		return [][]byte{fmt.Appendf(nil, `{"items":[%s]}`, bytes.Join(a.batch, []byte(",")))}
	case "twice":
		return append(one, one...)
	case "never":
		return nil
	case "one a second":
		if now.Sub(w.lastEcho) < time.Second {
			return nil
		}
		w.lastEcho = now
	case "a third":
		if key.Seq%3 != 0 {
			return nil
		}
	case "newer ones only":
		newer := key.Seq > w.newest[key.Run]
		w.newest[key.Run] = max(w.newest[key.Run], key.Seq)
		if !newer {
			return nil
		}
	case "unmarked ones only":
		if marked {
			return nil
		}
	}
	return one
}

// recovery is the time after a fault in which live fixes may be late: pauses between attempts, and the silence after which a
// connection is given up.
const recovery = 3 * time.Minute

// check finds what must not have happened.
func (w *world) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	missing := 0
	for key := range w.made {
		if _, ok := w.arrived[key]; !ok && !w.excused[key] {
			missing++
		}
	}
	if missing > 0 {
		w.fail("%d of %d fixes never arrived", missing, len(w.made))
	}
	w.checkLive()
	if n, at := busiest(w.dials); n > 30 {
		w.fail("%d attempts to connect in the minute from %v", n, at.Sub(w.begin))
	}
	if n, at := busiest(w.log.times()); n > 20 {
		w.fail("%d lines of the log in the minute from %v", n, at.Sub(w.begin))
	}
	if n := len(w.uplink.held.spans) + len(w.uplink.win.lost) + len(w.uplink.win.unsure); n > 3000 {
		w.fail("%d entries in memory", n)
	}
}

// checkLive checks that live fixes arrive within 5 s while all is well.
func (w *world) checkLive() {
	live, late := 0, 0
	for key, at := range w.made {
		since := at.Sub(w.begin)
		if since < recovery || since > w.plan.lasts || slices.ContainsFunc(w.plan.faults, func(f fault) bool { return since > f.at-10*time.Second && since < f.at+f.lasts+recovery }) {
			continue
		}
		live++
		if arrived, ok := w.arrived[key]; ok && arrived.Sub(at) > 5*time.Second {
			late++
		}
	}
	if w.plan.order == LiveFirst && live > 0 && late > live/100+1 {
		w.fail("%d of %d live fixes took more than 5 s", late, live)
	}
}

// busiest finds the minute with the most events.
func busiest(times []time.Time) (most int, at time.Time) {
	first := 0
	for i, t := range times {
		for t.Sub(times[first]) > time.Minute {
			first++
		}
		if n := i - first + 1; n > most {
			most, at = n, times[first]
		}
	}
	return most, at
}
