package bridge

import (
	"log/slog"
	"sync"
	"time"

	"gpsbridge/nmea"
)

// feed is where the receivers of one device ID come together: of several the one with the best fix is chosen, its epochs
// become messages, and those go to the spool and the viewers. All of it is plain calls on the receivers' goroutines.
type feed struct {
	deviceID string
	names    []string                                 // of the receivers, for the log
	keep     func(msg []byte) (pos uint64, err error) // the spool's Append
	keepSky  bool                                     // satellites too
	show     func(device, class string, msg []byte)   // the relay's Publish
	log      *slog.Logger

	mu       sync.Mutex
	failover *failover
	messages *messages
	report   reporter
	ahead    int64  // by how much the spool's position of each fix of the run is ahead of its seq
	mixed    bool   // that is not the same for all of them: satellites lie between them
	refused  uint64 // messages that the spool did not take
}

// fix takes an epoch of one of the receivers.
func (fd *feed) fix(receiver int, f *nmea.Fix, now time.Time) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	before := fd.failover.feeding
	why := fd.failover.epoch(receiver, f, now, func(f *nmea.Fix) { fd.forward(f, now) })
	if why != "" {
		fd.log.Warn("another receiver takes over", "device_id", fd.deviceID,
			"from", fd.names[before], "why", why, "to", fd.names[fd.failover.feeding])
	}
}

// forward makes a message of an epoch, for the servers if it is one to report, and for the viewers.
func (fd *feed) forward(f *nmea.Fix, now time.Time) {
	if !fd.report.wants(f, now) {
		fd.show(fd.deviceID, "TPV", fd.messages.unreported(f))
		return
	}
	msg := fd.messages.fix(f)
	ahead, first := int64(fd.spool(msg))-int64(fd.messages.seq), fd.messages.seq == 1
	fd.mixed = fd.mixed || !first && ahead != fd.ahead
	fd.ahead = ahead
	fd.show(fd.deviceID, "TPV", msg)
}

// sky takes the satellites that one of the receivers sees.
func (fd *feed) sky(receiver int, s *nmea.Sky) {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if receiver != fd.failover.feeding {
		return
	}
	msg := fd.messages.sky(s)
	if fd.keepSky {
		fd.spool(msg)
	}
	fd.show(fd.deviceID, "SKY", msg)
}

// spool keeps a message until the servers have it, and returns its position; 0 when the spool does not take it, which is
// said once.
func (fd *feed) spool(msg []byte) (pos uint64) {
	pos, err := fd.keep(msg)
	if err != nil {
		if fd.refused++; fd.refused == 1 {
			fd.log.Error("message not kept", "device_id", fd.deviceID, "err", err)
		}
	}
	return pos
}

// feedStatus is what a feed tells of itself.
type feedStatus struct {
	run      string
	reported uint64 // messages made for the servers
	ahead    int64
	mixed    bool
	feeding  int // which receiver feeds
	taken    int // times that another took over
}

func (fd *feed) status() feedStatus {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	return feedStatus{
		run: fd.messages.run, reported: fd.messages.seq, ahead: fd.ahead, mixed: fd.mixed,
		feeding: fd.failover.feeding, taken: fd.failover.taken,
	}
}

// through is the seq up to which every fix of the run is acknowledged, when that is so of the spool up to a position; nil where
// satellites lie between the fixes.
func (f feedStatus) through(acked uint64) *uint64 {
	if f.mixed {
		return nil
	}
	seq := min(uint64(max(int64(acked)-f.ahead, 0)), f.reported)
	return &seq
}
