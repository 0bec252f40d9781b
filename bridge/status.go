package bridge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// Status is what the daemon is doing, as GET /api/v1/status gives it. Ages are in seconds.
type Status struct {
	Role      string           `json:"role"` // "tracker"
	Version   string           `json:"version"`
	DeviceID  string           `json:"device_id"`
	Started   time.Time        `json:"started"`
	Now       time.Time        `json:"now"`
	Receivers []ReceiverStatus `json:"receivers"`
	Spool     spool.Stats      `json:"spool"`
	Uplinks   []UplinkStatus   `json:"uplinks"`
	Relay     *relay.Status    `json:"relay,omitempty"`
}

// ReceiverStatus is a receiver's line and what came over it.
type ReceiverStatus struct {
	receiver.Status
	Run         string    `json:"run"`
	Sentences   uint64    `json:"sentences"`
	BadChecksum uint64    `json:"bad_checksum"`
	NoChecksum  uint64    `json:"no_checksum"`
	NoiseBytes  uint64    `json:"noise_bytes"`
	Refused     uint64    `json:"refused"`   // sentences with a malformed or implausible value, which was left out
	Rollovers   int       `json:"rollovers"` // times that 1024 weeks were added to the receiver's date
	Antenna     string    `json:"antenna,omitempty"`
	Firmware    string    `json:"firmware,omitempty"`
	Fixes       uint64    `json:"fixes"`             // epochs, with a position or without
	Reported    uint64    `json:"reported"`          // messages made for the servers
	FixAge      *float64  `json:"fix_age,omitempty"` // since the last epoch with a position
	Mode        nmea.Mode `json:"mode"`              // of the last epoch
	USat        *float64  `json:"uSat,omitempty"`
	NSat        *float64  `json:"nSat,omitempty"`
}

// UplinkStatus is an uplink's state and what it costs.
type UplinkStatus struct {
	uplink.Status
	BytesPerDay float64 `json:"bytes_per_day"` // sent and received, projected from the time since the start
}

// perDay projects a count of bytes to a day; 0 in the first minute, when the handshake is most of it.
func perDay(bytes uint64, since time.Duration) float64 {
	if since < time.Minute {
		return 0
	}
	return float64(bytes) / since.Hours() * 24
}

// Status returns the state of every part. It may be called from any goroutine.
func (d *Daemon) Status() Status {
	st := Status{
		Role: "tracker", Version: Version(), DeviceID: d.config.DeviceID,
		Started: d.started, Now: time.Now(), Spool: d.spool.Stats(), Uplinks: []UplinkStatus{},
	}
	for _, in := range d.intakes {
		st.Receivers = append(st.Receivers, in.status())
	}
	for _, u := range d.uplinks {
		us := UplinkStatus{Status: u.Status()}
		us.BytesPerDay = perDay(us.SentBytes+us.ReceivedBytes, st.Now.Sub(d.started))
		st.Uplinks = append(st.Uplinks, us)
	}
	if d.relay != nil {
		rs := d.relay.Status()
		st.Relay = &rs
	}
	return st
}

func (in *intake) status() ReceiverStatus {
	st := ReceiverStatus{Status: in.receiver.Status()}
	in.mu.Lock()
	defer in.mu.Unlock()
	sc := in.scanner.Stats()
	st.Run, st.Fixes, st.Reported, st.Mode = in.messages.run, in.epochs, in.messages.seq, in.last.Mode
	st.Sentences, st.BadChecksum, st.NoChecksum, st.NoiseBytes = sc.Sentences, sc.BadChecksum, sc.NoChecksum, sc.NoiseBytes
	as := in.assembler.Stats()
	st.Refused, st.Rollovers, st.Antenna, st.Firmware = as.Refused, as.Rollovers, as.Antenna, as.Firmware
	if !in.fixAt.IsZero() {
		age := time.Since(in.fixAt).Seconds()
		st.FixAge = &age
	}
	st.USat, st.NSat = stated(in.last.USat), stated(in.last.NSat)
	return st
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

// healthy says what keeps fixes from flowing, for GET /healthz.
func (d *Daemon) healthy() error {
	var errs []error
	st := d.Status()
	for _, r := range st.Receivers {
		if r.Stale() {
			errs = append(errs, fmt.Errorf("no fix: receiver %s %s", r.State, r.Detail))
		}
	}
	for _, u := range st.Uplinks {
		if u.State != uplink.Connected {
			errs = append(errs, fmt.Errorf("uplink %s: %s %s", u.Name, u.State, u.Detail))
		}
	}
	return errors.Join(errs...)
}

// Line says in one line what is going on, for a terminal and for systemctl status.
func (s Status) Line() string {
	var parts []string
	for _, r := range s.Receivers {
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
		parts = append(parts, fmt.Sprintf("%d viewers", s.Relay.Viewers))
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
