package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"testing/synctest"
	"time"

	"encoding/json"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// settings are the configuration of the device.
type settings struct {
	ack    uplink.AckMode
	order  uplink.Order
	window int
	retain time.Duration
	max    int64 // bytes of the spool
	sync   time.Duration
	batch  time.Duration
}

func (s settings) String() string {
	return fmt.Sprintf("ack %s, order %s, window %d, retain %s, spool %d KiB, sync %s, batch %s", s.ack, s.order, s.window, s.retain, s.max>>10, s.sync, s.batch)
}

// device is what outlives the processes of the daemon: a disk, a tmpfs, and the configuration.
type device struct {
	settings
	seed    uint64        // of the uplinks' jitter
	every   time.Duration // between two fixes
	network *network
	server  *server
	ledger  *ledger
	log     *logCounter
	root    string // directory of all that is on the disk and on the tmpfs

	ids     []string // device IDs so far, the current one last
	full    bool     // the disk has no space left
	echoes  bool     // the server was seen to echo
	parked  atomic.Bool
	jumped  atomic.Int64 // by how much the receiver's clock is ahead
	spools  map[string]map[uint64]key
	dropped uint64 // by full spools
	process *process
}

// process is one run of the daemon.
type process struct {
	device *device
	dead   atomic.Bool // it was killed: nothing it does counts any more
	feed   struct {
		stop func()
		done sync.WaitGroup
	}
	lines []*line // of the current device ID first
}

// line is the way of one device ID's messages: a spool and an uplink.
type line struct {
	process *process
	id      string
	spool   *spool.Spool
	queue   *queue
	dropped uint64 // when it was opened
	full    bool   // the disk had no space left when it was opened

	uplink *uplink.Uplink
	live   atomic.Pointer[uplink.Uplink] // the same, for the receiver
	stop   func()
	done   chan struct{}
}

// queue is a spool's reader that enters acknowledgements in the ledger.
type queue struct {
	*spool.Collector
	line *line

	mu   sync.Mutex
	keys map[uint64]key // of positions
}

// Ack enters it, and acknowledges.
func (q *queue) Ack(pos uint64) {
	d := q.line.process.device
	q.mu.Lock()
	k, known := q.keys[pos]
	if d.server.durable == 0 { // else it may be acknowledged another time
		delete(q.keys, pos)
	}
	q.mu.Unlock()
	if known && !q.line.process.dead.Load() {
		d.ledger.acked(k, d.retain)
	}
	q.Collector.Ack(pos)
}

const reader = "server"

func (d *device) disk(id string) string  { return filepath.Join(d.root, "disk", id) }
func (d *device) tmpfs(id string) string { return filepath.Join(d.root, "tmpfs", id) }

// start begins a process: the current device ID is fed by the receiver, and earlier ones deliver what they still have.
func (d *device) start() {
	p := &process{device: d}
	d.process = p
	d.ledger.restarted()
	for i := len(d.ids) - 1; i >= 0; i-- {
		l, err := p.open(d.ids[i])
		if err != nil {
			d.ledger.finding("spool", "cannot be opened: %v", err)
			return
		}
		if l.queue.Waiting() == 0 && i < len(d.ids)-1 {
			l.close()
			continue
		}
		p.lines = append(p.lines, l)
		l.connect()
	}
	p.receive()
}

// open opens the spool of a device ID.
func (p *process) open(id string) (*line, error) {
	d := p.device
	o := spool.Options{
		Dir: d.disk(id), Runtime: d.tmpfs(id), Max: d.max, Sync: d.sync, Readers: []string{reader}, Log: d.log.logger(p),
	}
	if d.full {
		o.MinFree = 1 << 60 // more than the disk has
	}
	s, err := spool.Open(o)
	if err != nil {
		return nil, err
	}
	if d.spools[id] == nil {
		d.spools[id] = map[uint64]key{}
	}
	l := &line{process: p, id: id, spool: s, dropped: s.Stats().Dropped, full: d.full}
	steady := func() bool { return l.live.Load().Steady() }
	l.queue = &queue{Collector: spool.NewCollector(s.Reader(reader), steady, d.batch), line: l, keys: d.spools[id]}
	return l, nil
}

// connect starts the uplink, with the configuration as it is now.
func (l *line) connect() {
	d := l.process.device
	c := uplink.Config{
		Name: reader, URL: "ws://tracking.example" + route + l.id + "/", Ack: d.ack, Order: d.order, Window: d.window, Retain: d.retain,
		Echoes: d.echoes, SawEcho: func() { d.echoes = true }, Final: l.id != d.ids[len(d.ids)-1], Backlog: pipeline.Late, Quarantine: l.quarantine, Log: d.log.logger(l.process),
		Rand: rand.New(rand.NewPCG(d.seed, d.network.dialled())),
	}
	dialOver(&c, func(ctx context.Context, _ string, _ int) (net.Conn, error) {
		if l.process.dead.Load() {
			return nil, syscall.ENETDOWN
		}
		return d.network.dial(ctx)
	})
	u, err := uplink.New(c, l.queue)
	if err != nil {
		d.ledger.finding("uplink", "cannot be made: %v", err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	l.uplink, l.stop, l.done = u, stop, make(chan struct{})
	l.live.Store(u)
	done := l.done
	go func() {
		defer close(done)
		if err := u.Run(ctx); err != nil {
			d.ledger.finding("uplink", "ended: %v", err)
		}
	}()
}

// dialOver has an uplink connect by a function. The field is private because nothing but tests would set it; real sockets do
// not work in a synctest bubble.
func dialOver(c *uplink.Config, dial func(ctx context.Context, addr string, segment int) (net.Conn, error)) {
	field := reflect.ValueOf(c).Elem().FieldByName("dial")
	reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(dial).Convert(field.Type()))
}

// quarantine takes a message that the server does not accept.
func (l *line) quarantine(msg []byte, reason string) error {
	d := l.process.device
	var m message
	if err := json.Unmarshal(msg, &m); err != nil {
		return err
	}
	if d.server.refusal(m) == refusalNone {
		d.ledger.finding("quarantine", "%v is accepted by the server and was quarantined: %s", m.key, reason)
	}
	d.ledger.excuse(m.key, "quarantined")
	return nil
}

// disconnect ends the uplink.
func (l *line) disconnect() {
	l.stop()
	<-l.done
}

// close ends the spool.
func (l *line) close() {
	d := l.process.device
	d.dropped += l.spool.Stats().Dropped - l.dropped
	if err := l.spool.Close(); err != nil && !l.full {
		d.ledger.finding("spool", "cannot be closed: %v", err)
	}
}

// receive gives a fix every so often, until feed.stop.
func (p *process) receive() {
	d, l := p.device, p.lines[0]
	messages := pipeline.NewMessages(l.id)
	d.ledger.begin(messages.Run, l.id, d.order == uplink.LiveFirst && d.server.refusesMark == refusalNone, d.ack == uplink.AckPong || d.ack == uplink.AckNone)
	ctx, stop := context.WithCancel(context.Background())
	p.feed.stop = stop
	p.feed.done.Go(func() {
		tick := time.NewTicker(d.every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if d.parked.Load() {
				continue
			}
			l.queue.give(messages, n)
		}
	})
}

// give makes a message of a fix and appends it to the spool.
func (q *queue) give(messages *pipeline.Messages, n int) {
	d := q.line.process.device
	at := time.Now().Add(time.Duration(d.jumped.Load()))
	f := nmea.Fix{Mode: nmea.Mode3D, Status: nmea.StatusGPS, Time: at}
	f.Lat, f.Lon = nmea.Value{V: 51.5 + float64(n%1000)*1e-5, Set: true}, nmea.Value{V: -0.12, Set: true}
	f.Speed = nmea.Value{V: 13.9, Set: true}
	msg := messages.Fix(&f)
	k := key{messages.Run, int(messages.Seq)}
	d.ledger.gave(k.Run)
	q.mu.Lock()
	defer q.mu.Unlock()
	pos, err := q.line.spool.Append(msg)
	if err != nil {
		d.ledger.finding("spool", "does not take %v: %v", k, err)
		return
	}
	q.keys[pos] = k
	q.Kept(n%97 == 96)
}

// terminate is a stop by SIGTERM: what is on its way gets 5 seconds.
func (d *device) terminate() {
	p := d.process
	p.feed.stop()
	p.feed.done.Wait()
	ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	for _, l := range p.lines {
		l.queue.Release()
		_ = l.uplink.Drain(ctx) // what stays is in the spool
	}
	for _, l := range p.lines {
		l.disconnect()
		l.close()
	}
	d.process = nil
}

// kill is a SIGKILL: the disk and the tmpfs stay as they are at this moment.
func (d *device) kill() { d.die(false) }

// powerCut is the end of power: what was not synced is lost, and the tmpfs is. When nothing runs, all that the spool has
// written to the disk is synced, because it writes and syncs at once.
func (d *device) powerCut() { d.die(true) }

// unsynced is how old what a power cut may lose is at the most, besides sync: the spool looks once in that time.
const unsynced = 1500 * time.Millisecond

func (d *device) die(power bool) {
	p := d.process
	p.feed.stop()
	p.feed.done.Wait()
	p.dead.Store(true)
	if power {
		within := d.sync + unsynced + d.batch
		if d.server.acks != acksNone {
			within += ackDelay
		}
		d.ledger.powerCut(within)
		d.network.cut()
	} else {
		d.network.kill()
	}
	synctest.Wait()
	kept := d.root + ".kept"
	if err := os.CopyFS(kept, os.DirFS(d.root)); err != nil {
		d.ledger.finding("simulation", "cannot copy the disk: %v", err)
	}
	for _, l := range p.lines {
		l.disconnect()
		d.dropped += l.spool.Stats().Dropped - l.dropped
		l.spool.Close() // only the copy counts
	}
	err := errors.Join(os.RemoveAll(d.root), os.Rename(kept, d.root))
	if power {
		err = errors.Join(err, os.RemoveAll(filepath.Join(d.root, "tmpfs")))
	}
	if err != nil {
		d.ledger.finding("simulation", "cannot put the disk back: %v", err)
	}
	d.process = nil
}

// reload is a SIGHUP: each uplink is replaced by one with the configuration as it is now.
func (d *device) reload() {
	if d.process == nil {
		return
	}
	for _, l := range d.process.lines {
		l.disconnect()
		l.connect()
	}
}

// waiting is the number of fixes that wait for the server.
func (d *device) waiting() (n uint64) {
	for _, l := range d.process.lines {
		n += l.queue.Waiting()
	}
	return n
}

// logCounter is a slog.Handler that keeps the times of lines, and the first of them.
type logCounter struct {
	ledger *ledger

	mu    sync.Mutex
	at    []time.Time
	lines []string
}

// linesKept is enough to see what a world was about.
const linesKept = 400

func (c *logCounter) logger(p *process) *slog.Logger { return slog.New(logHandler{c, p}) }

// logHandler is that of one process.
type logHandler struct {
	counter *logCounter
	process *process
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (h logHandler) WithAttrs([]slog.Attr) slog.Handler               { return h }
func (h logHandler) WithGroup(string) slog.Handler                    { return h }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	if h.process.dead.Load() {
		return nil
	}
	c := h.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, r.Time)
	if len(c.lines) < linesKept {
		line := clock(r.Time.Sub(c.ledger.start)) + "  " + r.Level.String() + " " + r.Message
		r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
		c.lines = append(c.lines, line)
	}
	return nil
}
