package pipeline

import (
	"log/slog"
	"sync"
	"time"

	"gpsbridge/nmea"
)

// Feed is where the receivers of one device ID come together: of several the one with the best fix is chosen, its epochs
// become messages, and those go to the spool and the viewers. All of it is plain calls on the receivers' goroutines.
type Feed struct {
	FeedConfig
	names []string // of the receivers, for the log

	mu       sync.Mutex
	failover *failover
	messages *Messages
	report   reporter
	urgent   reporter // reports what does not wait for a batch
	atOnce   bool     // one was seen that does not, and nothing was reported since
	ahead    int64    // by how much the spool's position of each fix of the run is ahead of its seq
	mixed    bool     // that is not the same for all of them: satellites lie between them
	refused  uint64   // messages that the spool refused
}

// FeedConfig is what a feed needs.
type FeedConfig struct {
	DeviceID string
	Limits   Limits
	Keep     func(msg []byte) (pos uint64, err error) // the spool's Append
	Kept     func(atOnce bool)                        // is called after Keep: the message does not wait for others ([report] batch); nil for none
	Show     func(device, class string, msg []byte)   // the relay's Publish
	Track    func(f *nmea.Fix)                        // gets every fix that viewers get, before it is encoded; nil for none
	Log      *slog.Logger
}

// NewFeed makes a feed without receivers: NewIntake adds them.
func NewFeed(c FeedConfig) *Feed {
	if c.Track == nil {
		c.Track = func(*nmea.Fix) {}
	}
	if c.Kept == nil {
		c.Kept = func(bool) {}
	}
	return &Feed{FeedConfig: c, failover: newFailover(0), messages: NewMessages(c.DeviceID), report: reporter{limits: c.Limits}, urgent: reporter{limits: c.Limits.atOnce()}}
}

// add registers another receiver of the device ID and returns its number.
func (fd *Feed) add(name string) int {
	fd.names = append(fd.names, name)
	fd.failover.add()
	return len(fd.names) - 1
}

// Limit changes which fixes are reported. What is known of the last report stays, so nothing is sent twice for it.
func (fd *Feed) Limit(l Limits) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.report.limits, fd.urgent.limits = l, l.atOnce()
}

// fix handles an epoch of one of the receivers.
func (fd *Feed) fix(receiver int, f *nmea.Fix, now time.Time) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	before := fd.failover.feeding
	why := fd.failover.epoch(receiver, f, now, func(f *nmea.Fix) { fd.forward(f, now) })
	if why != "" {
		fd.Log.Warn("another receiver takes over", "device_id", fd.DeviceID,
			"from", fd.names[before], "why", why, "to", fd.names[fd.failover.feeding])
	}
}

// forward makes a message of an epoch, for the servers if it is one to report, and for the viewers, who get all of its members.
func (fd *Feed) forward(f *nmea.Fix, now time.Time) {
	fd.Track(f)
	fd.atOnce = fd.urgent.wants(f, now) || fd.atOnce
	if !fd.report.wants(f, now) {
		fd.Show(fd.DeviceID, "TPV", fd.messages.unreported(f))
		return
	}
	msg := fd.messages.Fix(f)
	kept := msg
	if set := fd.report.limits.Members; set != 0 {
		kept = fd.messages.fix(f, set)
	}
	ahead, first := int64(fd.spool(kept, fd.atOnce))-int64(fd.messages.Seq), fd.messages.Seq == 1
	fd.atOnce = false
	fd.mixed = fd.mixed || !first && ahead != fd.ahead
	fd.ahead = ahead
	fd.Show(fd.DeviceID, "TPV", msg)
}

// sky handles the satellites in view of one of the receivers.
func (fd *Feed) sky(receiver int, s *nmea.Sky) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if receiver != fd.failover.feeding {
		return
	}
	msg := fd.messages.sky(s)
	if fd.report.limits.Sky {
		fd.spool(msg, false)
	}
	fd.Show(fd.DeviceID, "SKY", msg)
}

// spool keeps a message until the servers have it, and returns its position; 0 when the spool refuses it, which is logged once.
func (fd *Feed) spool(msg []byte, atOnce bool) (pos uint64) {
	pos, err := fd.Keep(msg)
	if err != nil {
		if fd.refused++; fd.refused == 1 {
			fd.Log.Error("message not kept", "device_id", fd.DeviceID, "err", err)
		}
	}
	fd.Kept(atOnce)
	return pos
}

// FeedStatus is what a feed has done so far.
type FeedStatus struct {
	Run       string
	Reported  uint64 // messages made for the servers
	Takeovers int    // times that another receiver took over
	feeding   int    // which receiver feeds
	ahead     int64
	mixed     bool
}

// Status may be called from any goroutine.
func (fd *Feed) Status() FeedStatus {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	return FeedStatus{
		Run: fd.messages.Run, Reported: fd.messages.Seq, Takeovers: fd.failover.takeovers,
		feeding: fd.failover.feeding, ahead: fd.ahead, mixed: fd.mixed,
	}
}

// Through is the seq up to which every fix of the run is acknowledged, when that is so of the spool up to a position; nil where
// satellites lie between the fixes.
func (f FeedStatus) Through(acked uint64) *uint64 {
	if f.mixed {
		return nil
	}
	seq := min(uint64(max(int64(acked)-f.ahead, 0)), f.Reported)
	return &seq
}
