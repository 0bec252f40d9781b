package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// Status is what the daemon is doing, as GET /api/v1/status gives it. Ages are in seconds.
type Status struct {
	Role      string           `json:"role"` // "tracker"
	Version   string           `json:"version"`
	DeviceID  string           `json:"device_id"` // the first, if there are several
	Started   time.Time        `json:"started"`
	Now       time.Time        `json:"now"`
	Receivers []ReceiverStatus `json:"receivers"`
	Takeovers int              `json:"takeovers"` // times that another receiver took over
	Spool     spool.Stats      `json:"spool"`     // of all device IDs together
	Uplinks   []UplinkStatus   `json:"uplinks"`
	Relay     *relay.Status    `json:"relay,omitempty"`
}

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

	Types  map[string]SentenceType `json:"types,omitempty"` // by talker and type, such as GNGGA
	Record *record.Status          `json:"record,omitempty"`
	Shared *share.Status           `json:"shared,omitempty"` // to other programs
}

// Status returns the state of every part. It may be called from any goroutine.
func (d *Daemon) Status() Status {
	st := Status{
		Role: "tracker", Version: Version(), DeviceID: d.tracks[0].deviceID,
		Started: d.started, Now: time.Now(), Uplinks: []UplinkStatus{},
	}
	for _, t := range d.tracks {
		feed := t.feed.status()
		st.Takeovers += feed.taken
		for _, in := range t.intakes {
			st.Receivers = append(st.Receivers, in.status(feed))
		}
		for _, l := range t.links {
			st.Uplinks = append(st.Uplinks, l.status(t.deviceID, feed))
		}
		st.Spool = together(st.Spool, t.spool.Stats())
	}
	if d.relay != nil {
		rs := d.relay.Status()
		st.Relay = &rs
	}
	return st
}

// together adds up the spools of several device IDs.
func together(a, b spool.Stats) spool.Stats {
	return spool.Stats{
		Records: a.Records + b.Records, Bytes: a.Bytes + b.Bytes, MaxBytes: a.MaxBytes + b.MaxBytes,
		Appended: a.Appended + b.Appended, Dropped: a.Dropped + b.Dropped, Damaged: a.Damaged + b.Damaged,
		Oldest: max(a.Oldest, b.Oldest), Fault: cmp.Or(a.Fault, b.Fault),
	}
}

func (in *intake) status(feed feedStatus) ReceiverStatus {
	st := ReceiverStatus{Status: in.receiver.Status(), DeviceID: in.feed.deviceID, Active: feed.feeding == in.index}
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	sc := in.scanner.Stats()
	st.Run, st.Fixes, st.Reported, st.Mode = feed.run, in.epochs, feed.reported, in.last.Mode
	st.Types = in.types.status(now)
	st.Record, st.Shared = in.taps.status()
	st.Sentences, st.BadChecksum, st.NoChecksum, st.NoiseBytes = sc.Sentences, sc.BadChecksum, sc.NoChecksum, sc.NoiseBytes
	as := in.assembler.Stats()
	st.Refused, st.Rollovers, st.Antenna, st.Firmware = as.Refused, as.Rollovers, as.Antenna, as.Firmware
	st.EpochAge, st.FixAge = since(in.epochAt, now), since(in.fixAt, now)
	st.USat, st.NSat = stated(in.last.USat), stated(in.last.NSat)
	return st
}

// since is how long ago something was in seconds, nil if it never was.
func since(at, now time.Time) *float64 {
	if at.IsZero() {
		return nil
	}
	age := now.Sub(at).Seconds()
	return &age
}

// stated is a copy of a value, nil where the receiver did not state it.
func stated(v nmea.Value) *float64 {
	if !v.Set {
		return nil
	}
	return &v.V
}

// staleFix is the age from which a position no longer says where the vehicle is: receivers send one a second, and one
// may be lost on the line.
const staleFix = 3.0

// Stale says that the receiver's last position no longer says where the vehicle is, or that there was none yet.
func (r ReceiverStatus) Stale() bool { return r.FixAge == nil || *r.FixAge > staleFix }

const (
	// stuckEpoch is the age in seconds of the last epoch from which the receiver's part of the chain stands: receivers are
	// set to one every five seconds at the slowest.
	stuckEpoch = 12.0
	// stuckAck is that of the last acknowledgement while something waits for one. An uplink that gets none for ten seconds
	// connects anew; twice that has not helped.
	stuckAck = 30.0
)

// healthy says where the chain from receiver to server stands still, for GET /healthz. A receiver that says it has no fix
// moves it: that is a message too.
func (d *Daemon) healthy() error {
	var errs []error
	st := d.Status()
	for _, r := range st.Receivers {
		if r.Active && (r.EpochAge == nil || *r.EpochAge > stuckEpoch) {
			errs = append(errs, fmt.Errorf("no epochs: receiver %s", join(string(r.State), r.Detail)))
		}
	}
	for _, u := range st.Uplinks {
		switch {
		case u.State != uplink.Connected:
			errs = append(errs, fmt.Errorf("uplink %s: %s", u.Name, join(string(u.State), u.Detail)))
		case u.Behind > 0 && st.Now.Sub(u.Since).Seconds() > stuckAck && (u.LastAckAge == nil || *u.LastAckAge > stuckAck):
			errs = append(errs, fmt.Errorf("uplink %s: %d messages wait and none was acknowledged for %.0f s", u.Name, u.Behind, stuckAck))
		}
	}
	if st.Spool.Fault != "" {
		errs = append(errs, fmt.Errorf("spool: %s", st.Spool.Fault))
	}
	return errors.Join(errs...)
}

// Line says in one line what is going on, for a terminal and for systemctl status.
func (s Status) Line() string {
	var parts []string
	for _, r := range s.Receivers {
		if !r.Active {
			continue
		}
		switch {
		case r.State != receiver.Reading:
			parts = append(parts, "receiver "+join(string(r.State), r.Detail))
		case r.Stale():
			parts = append(parts, fmt.Sprintf("no fix, %s satellites", satellites(r)))
		default:
			parts = append(parts, fmt.Sprintf("%s fix %.1f s old, %s satellites, %d fixes", r.Mode, *r.FixAge, satellites(r), r.Fixes))
		}
	}
	for _, u := range s.Uplinks {
		parts = append(parts, fmt.Sprintf("uplink %s, %d acknowledged", join(string(u.State), u.Detail), u.Acked))
	}
	if s.Spool.Records > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting", s.Spool.Records))
	}
	if s.Spool.Dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d dropped", s.Spool.Dropped))
	}
	if s.Relay != nil {
		parts = append(parts, counted(s.Relay.Viewers, "viewer"))
	}
	return strings.Join(parts, " · ")
}

func join(state, detail string) string {
	if detail == "" {
		return state
	}
	return state + " (" + detail + ")"
}

// satellites is used/seen, with a dash for what the receiver does not say.
func satellites(r ReceiverStatus) string {
	count := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.0f", *v)
	}
	return count(r.USat) + "/" + count(r.NSat)
}

// counted is a number of things, in English.
func counted[N ~int | ~int64 | ~uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
