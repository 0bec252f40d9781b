package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// link is the way of one device ID's messages to one tracking server: an uplink, and its place in the spool. A
// reloaded configuration replaces the uplink, and what waits for it stays where it is.
type link struct {
	name       string // of the server
	deviceID   string
	final      bool // of a former device ID
	queue      *spool.Collector
	changed    chan struct{} // the network is another
	quarantine *quarantine
	servers    *servers
	clock      func() (time.Time, string)
	beat       func(within time.Duration)
	log        *slog.Logger

	mu      sync.Mutex
	uplink  *uplink.Uplink
	started time.Time // this uplink
	stop    func()    // ends this uplink's run; nil while none runs
}

// An uplink whose queue counts reports exactly how many messages wait, states how late acknowledgements may be, and has what is
// acknowledged kept for servers that may lose it.
var _ interface {
	uplink.Queue
	Waiting() uint64
	Late(by time.Duration)
	Retain(d time.Duration)
	Again() (records int)
} = (*spool.Collector)(nil)

func newLink(d *device, c config.Uplink, batch time.Duration, s surroundings) (*link, error) {
	l := &link{
		name: c.Name, deviceID: d.id, final: d.former, changed: make(chan struct{}, 1),
		quarantine: d.quarantine, servers: d.servers, clock: s.clock, beat: s.beats.Add("uplink " + c.Name), log: d.log,
	}
	l.queue = spool.NewCollector(d.spool.Reader(c.Name), func() bool { return l.current().Steady() }, batch)
	return l, l.set(c)
}

// set replaces the uplink by one with another configuration.
func (l *link) set(c config.Uplink) error {
	u, err := l.build(c)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uplink, l.started = u, time.Now()
	if l.stop != nil {
		l.stop()
	}
	return nil
}

// build makes an uplink, and finds what is wrong with its configuration.
func (l *link) build(c config.Uplink) (*uplink.Uplink, error) {
	u := c.For(l.deviceID)
	u.Final, u.Backlog, u.Quarantine = l.final, pipeline.Late, l.quarantine.of(c.Name, u.URL)
	known := l.servers.about(u.URL)
	u.Echoes, u.SawEcho = known.Echoes, func() { l.servers.learn(u.URL, func(s *learned) { s.Echoes = true }) }
	u.Plain, u.SawPlain = known.Plain, func(until time.Time) { l.servers.learn(u.URL, func(s *learned) { s.Plain = until }) }
	u.Changed, u.Clock, u.Beat, u.Log = l.changed, l.clock, l.beat, l.log
	return uplink.New(u, l.queue)
}

// run runs the uplink, and after a replacement the next one, until ctx ends.
func (l *link) run(ctx context.Context) error {
	for {
		one, stop := context.WithCancel(ctx)
		l.mu.Lock()
		u := l.uplink
		l.stop = stop
		l.mu.Unlock()
		err := u.Run(one)
		stop()
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

func (l *link) current() *uplink.Uplink {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.uplink
}

func (l *link) status(feed pipeline.FeedStatus) observe.UplinkStatus {
	acked := feed.Through(l.queue.Acked())
	l.mu.Lock()
	u, started := l.uplink, l.started
	l.mu.Unlock()
	st := observe.UplinkStatus{Status: u.Status(), DeviceID: l.deviceID, AckedSeq: acked}
	held, batch := l.queue.Held()
	st.HeldBack, st.Batch = held, batch.Seconds()
	bytes := st.SentBytes + st.ReceivedBytes + st.HeaderBytes
	st.BytesPerDay = perDay(bytes, time.Since(started))
	if st.Acked > 0 {
		st.BytesPerFix = float64(bytes) / float64(st.Acked)
	}
	return st
}

// perDay projects a count of bytes to a day; 0 in the first minute, when the handshake is most of it.
func perDay(bytes uint64, since time.Duration) float64 {
	if since < time.Minute {
		return 0
	}
	return float64(bytes) / since.Hours() * 24
}
