package bridge

import (
	"context"
	"sync"
	"time"

	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// link is the way of one device ID's messages to one tracking server: an uplink, and where it stands in the spool. A
// reloaded configuration replaces the uplink, and what waits for it stays where it is.
type link struct {
	name    string // of the server
	reader  *spool.Reader
	changed chan struct{} // the network is another
	turns   *loop

	mu      sync.Mutex
	uplink  *uplink.Uplink
	started time.Time // this uplink
	stop    func()    // ends this uplink's run; nil while none runs
}

// An uplink whose queue counts says exactly how many messages wait.
var _ interface {
	uplink.Queue
	Waiting() uint64
} = (*spool.Reader)(nil)

func newLink(d *Daemon, t *track, c UplinkConfig) (*link, error) {
	l := &link{name: c.Name, reader: t.spool.Reader(c.Name), changed: make(chan struct{}, 1), turns: d.loops.add("uplink " + c.Name)}
	return l, l.set(d, t, c)
}

// set makes an uplink by a configuration and has it take the place of the one there is.
func (l *link) set(d *Daemon, t *track, c UplinkConfig) error {
	u, err := c.build(d, t, l)
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

// run runs the uplink, and when it was replaced the next, until ctx ends.
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

// build makes the uplink of a link.
func (u UplinkConfig) build(d *Daemon, t *track, l *link) (*uplink.Uplink, error) {
	ack, err := uplink.ParseAckMode(u.Ack)
	if err != nil {
		return nil, err
	}
	order, err := uplink.ParseOrder(u.Order)
	if err != nil {
		return nil, err
	}
	c := u.dialing(t.deviceID)
	c.Ack, c.Order, c.Window, c.Ping = ack, order, u.Window, time.Duration(u.Ping)
	c.Key, c.Backlog, c.Aside = messageKey, lateMessage, newAside(t, u).take
	c.Changed, c.Clock, c.Turn, c.Log = l.changed, d.certificateTime, l.turns.turn, t.log
	return uplink.New(c, l.reader)
}

// UplinkStatus is an uplink's state and what it costs.
type UplinkStatus struct {
	uplink.Status
	DeviceID    string  `json:"device_id"`
	AckedSeq    *uint64 `json:"acked_seq,omitempty"` // every fix of the receiver's run is acknowledged up to this seq; absent with [report] sky
	BytesPerDay float64 `json:"bytes_per_day"`       // sent and received, projected from the time since the start
}

func (l *link) status(deviceID string, feed feedStatus) UplinkStatus {
	acked := feed.through(l.reader.Acked())
	l.mu.Lock()
	u, started := l.uplink, l.started
	l.mu.Unlock()
	st := UplinkStatus{Status: u.Status(), DeviceID: deviceID, AckedSeq: acked}
	st.BytesPerDay = perDay(st.SentBytes+st.ReceivedBytes, time.Since(started))
	return st
}

// perDay projects a count of bytes to a day; 0 in the first minute, when the handshake is most of it.
func perDay(bytes uint64, since time.Duration) float64 {
	if since < time.Minute {
		return 0
	}
	return float64(bytes) / since.Hours() * 24
}
