// Package observe shows what a daemon or a server is doing: as JSON, as one line, as metrics for Prometheus, as its health, and to the
// watchdog of systemd. It knows the parts and not the configuration.
package observe

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"gpsbridge/bridge/layer"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// Status is what the daemon is doing, as GET /api/v1/status gives it. Ages are in seconds.
type Status struct {
	Role      string                    `json:"role"` // "tracker"
	Version   string                    `json:"version"`
	DeviceID  string                    `json:"device_id"` // the first, if there are several
	Started   time.Time                 `json:"started"`
	Now       time.Time                 `json:"now"`
	Problem   *problem.Problem          `json:"problem,omitempty"` // why the last reload of the configuration was rejected
	Receivers []pipeline.ReceiverStatus `json:"receivers"`
	Takeovers int                       `json:"takeovers"` // times that another receiver took over
	Devices   []DeviceStatus            `json:"devices"`   // each device ID by itself
	Spool     spool.Stats               `json:"spool"`     // of all device IDs together
	Uplinks   []UplinkStatus            `json:"uplinks"`
	Relay     *relay.Status             `json:"relay,omitempty"`
}

// DeviceStatus is what one device ID has of its own.
type DeviceStatus struct {
	DeviceID  string      `json:"device_id"`
	Run       string      `json:"run"`
	Reported  uint64      `json:"reported"`  // messages made for the servers
	Takeovers int         `json:"takeovers"` // times that another receiver took over
	Spool     spool.Stats `json:"spool"`
}

// UplinkStatus is an uplink's state and what it costs.
type UplinkStatus struct {
	uplink.Status
	DeviceID    string  `json:"device_id"`
	HeldBack    uint64  `json:"held_back"`           // of those behind: collected, and not due yet
	Batch       float64 `json:"batch"`               // s, for how long they are collected
	AckedSeq    *uint64 `json:"acked_seq,omitempty"` // every fix of the receiver's run is acknowledged up to this seq; absent with [report] sky
	BytesPerDay float64 `json:"bytes_per_day"`       // as the modem counts them, both ways, headers included; projected from the time since the start
	BytesPerFix float64 `json:"bytes_per_fix"`       // the same for each message acknowledged, handshakes and pings included; 0 before the first
}

// ServerStatus is what a tracking server answers GET /api/v1/status with.
type ServerStatus struct {
	Role    string       `json:"role"` // "server"
	Version string       `json:"version"`
	Started time.Time    `json:"started"`
	Now     time.Time    `json:"now"`
	Relay   relay.Status `json:"relay"`
	Layer   *LayerStatus `json:"layer,omitempty"` // absent for a server alone
}

// LayerStatus is what a tracking server's layer is doing.
type LayerStatus struct {
	Problem *problem.Problem `json:"problem,omitempty"` // why it does not carry messages
	layer.Stats
}

// SumOfSpools adds up the spools of several device IDs.
func SumOfSpools(devices []DeviceStatus) (sum spool.Stats) {
	for _, d := range devices {
		s := d.Spool
		sum = spool.Stats{
			Records: sum.Records + s.Records, Bytes: sum.Bytes + s.Bytes, MaxBytes: sum.MaxBytes + s.MaxBytes,
			Appended: sum.Appended + s.Appended, Dropped: sum.Dropped + s.Dropped, Damaged: sum.Damaged + s.Damaged,
			Oldest: max(sum.Oldest, s.Oldest), Problem: cmp.Or(sum.Problem, s.Problem),
		}
	}
	return sum
}

const (
	// stuckEpoch is the age in seconds of the last epoch from which the receiver's part of the chain stands still: receivers are
	// set to one every five seconds at the slowest.
	stuckEpoch = 12.0
	// stuckAck is that of the last acknowledgement while something waits for one for as long. An uplink that gets none for ten
	// seconds connects again; twice that has not helped.
	stuckAck = 30.0
)

// Codes of where the chain stands still. A spool that cannot be written has its own.
const (
	CodeNoEpochs        problem.Code = "chain-no-epochs"
	CodeNotConnected    problem.Code = "chain-not-connected"
	CodeNotAcknowledged problem.Code = "chain-not-acknowledged"
)

// Health reports where the chain from receiver to server stands still, for GET /healthz: problems that are joined, one for each
// place. A receiver that states that it has no fix keeps it moving: that is a message too.
func Health(st Status) error {
	var errs []error
	stands := func(code problem.Code, format string, args ...any) {
		errs = append(errs, &problem.Problem{Code: code, Cause: fmt.Sprintf(format, args...)})
	}
	for _, r := range st.Receivers {
		if r.Active && (r.EpochAge == nil || *r.EpochAge > stuckEpoch) {
			stands(CodeNoEpochs, "no epochs: receiver %s", join(string(r.State), r.Problem))
		}
	}
	for _, u := range st.Uplinks {
		switch limit := stuckAck + u.Batch; {
		case u.State != uplink.Connected:
			stands(CodeNotConnected, "uplink %s: %s", u.Name, join(string(u.State), u.Problem))
		case u.Behind > u.HeldBack && st.Now.Sub(u.Since).Seconds() > stuckAck && st.Spool.Oldest > limit && (u.LastAckAge == nil || *u.LastAckAge > limit):
			stands(CodeNotAcknowledged, "uplink %s: %d messages wait and none was acknowledged for %.0f s", u.Name, u.Behind, stuckAck)
		}
	}
	if p := st.Spool.Problem; p != nil {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// Line is the state in one line, for a terminal and for systemctl status.
func (s Status) Line() string {
	var parts []string
	for _, r := range s.Receivers {
		if !r.Active {
			continue
		}
		switch {
		case r.State != receiver.Reading:
			parts = append(parts, "receiver "+join(string(r.State), r.Problem))
		case r.Stale():
			parts = append(parts, fmt.Sprintf("no fix, %s satellites", satellites(r)))
		default:
			parts = append(parts, fmt.Sprintf("%s fix %.1f s old, %s satellites, %d fixes", r.Mode, *r.FixAge, satellites(r), r.Fixes))
		}
	}
	for _, u := range s.Uplinks {
		if u.State != uplink.Connected {
			parts = append(parts, "uplink "+join(string(u.State), u.Problem))
		}
		parts = append(parts, counted(u.Acked, "message")+" acknowledged")
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
	if s.Problem != nil {
		parts = append(parts, "reload rejected ("+s.Problem.Text()+")")
	}
	return strings.Join(parts, " · ")
}

// join is a state and what is wrong in it, if anything is.
func join(state string, p *problem.Problem) string {
	if p == nil {
		return state
	}
	return state + " (" + p.Text() + ")"
}

// satellites is used/seen, with a dash for what the receiver does not state.
func satellites(r pipeline.ReceiverStatus) string {
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
