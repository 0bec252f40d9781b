package pipeline

import (
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/nmea"
)

// ReceiverStatus is a receiver's line and what came over it.
type ReceiverStatus struct {
	receiver.Status
	DeviceID    string    `json:"device_id"` // which it feeds
	Active      bool      `json:"active"`    // it is the one that feeds it
	Run         string    `json:"run"`
	Sentences   uint64    `json:"sentences"`
	BadChecksum uint64    `json:"bad_checksum"`
	NoChecksum  uint64    `json:"no_checksum"`
	NoiseBytes  uint64    `json:"noise_bytes"`
	Refused     uint64    `json:"refused"`   // sentences with a malformed or implausible value, which was left out
	Rollovers   int       `json:"rollovers"` // times that 1024 weeks were added to the receiver's date
	Antenna     string    `json:"antenna,omitempty"`
	Firmware    string    `json:"firmware,omitempty"`
	Fixes       uint64    `json:"fixes"`               // epochs, with a position or without
	Reported    uint64    `json:"reported"`            // messages of the device ID made for the servers
	EpochAge    *float64  `json:"epoch_age,omitempty"` // since the last epoch
	FixAge      *float64  `json:"fix_age,omitempty"`   // since the last epoch with a position
	Mode        nmea.Mode `json:"mode"`                // of the last epoch
	USat        *float64  `json:"uSat,omitempty"`
	NSat        *float64  `json:"nSat,omitempty"`
	Signals     *int      `json:"signals,omitempty"` // satellites that a signal comes from; absent while none were listed

	Types  map[string]SentenceType `json:"types,omitempty"` // by talker and type, such as GNGGA
	Record *record.Status          `json:"record,omitempty"`
	Shared *share.Status           `json:"shared,omitempty"` // to other programs
}

// staleFix is the age in seconds from which a position is not the vehicle's any more: receivers send one a second, and one
// may be lost on the line.
const staleFix = 3.0

// Stale reports whether the receiver's last position is too old to be the vehicle's, or there was none yet.
func (r ReceiverStatus) Stale() bool { return r.FixAge == nil || *r.FixAge > staleFix }

// Status returns what the receiver sent; feed is the status of its feed. It may be called from any goroutine.
func (in *Intake) Status(feed FeedStatus) ReceiverStatus {
	st := ReceiverStatus{Status: in.receiver.Status(), DeviceID: in.feed.DeviceID, Active: feed.feeding == in.index}
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	sc := in.scanner.Stats()
	st.Run, st.Fixes, st.Reported, st.Mode = feed.Run, in.epochs, feed.Reported, in.last.Mode
	st.Record, st.Shared = in.taps.status()
	st.Sentences, st.BadChecksum, st.NoChecksum, st.NoiseBytes = sc.Sentences, sc.BadChecksum, sc.NoChecksum, sc.NoiseBytes
	as := in.assembler.Stats()
	st.Types = in.types.status(now, as.Types)
	st.Refused, st.Rollovers, st.Antenna, st.Firmware = as.Refused, as.Rollovers, as.Antenna, as.Firmware
	if st.Warning == nil {
		st.Warning = as.Date
	}
	st.EpochAge, st.FixAge = since(in.epochAt, now), since(in.fixAt, now)
	uSat, nSat := in.last.USat, in.last.NSat // copies, as the next fix takes the place of the last
	st.USat, st.NSat, st.Signals = uSat.Stated(), nSat.Stated(), in.signals
	return st
}

// Signals counts the satellites that a signal comes from. A receiver also lists those that its almanac has in view.
func Signals(s *nmea.Sky) (n int) {
	for _, one := range s.Satellites {
		if one.SS.Set && one.SS.V > 0 {
			n++
		}
	}
	return n
}

// since is how long ago something was in seconds, nil if it never was. It may have come while the status waited for it.
func since(at, now time.Time) *float64 {
	if at.IsZero() {
		return nil
	}
	return new(max(0, now.Sub(at).Seconds()))
}
