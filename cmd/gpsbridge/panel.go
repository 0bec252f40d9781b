package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/track"
)

// panel is a group as a terminal shows it: the last fix, the satellites, and how the messages come. It has no clock: every
// time is an argument.
type panel struct {
	url     string
	state   string    // of the connection
	why     string    // it is not joined
	since   time.Time // of the state
	fix     panelFix
	fixAt   time.Time
	sky     panelSky
	skyAt   time.Time
	count   int
	late    int // marked "backlog"
	newest  map[string]uint64
	missing uint64 // sequence numbers that have not come
	again   int    // repeats
	recent  []time.Time
}

// panelFix is what a panel shows of a fix; what is absent is nil.
type panelFix struct {
	track.Point
	Device  string   `json:"device_id"`
	Backlog bool     `json:"backlog"`
	Speed   *float64 `json:"speed"`
	Track   *float64 `json:"track"`
	Climb   *float64 `json:"climb"`
	Eph     *float64 `json:"eph"`
	NSat    *float64 `json:"nSat"`
}

type panelSky struct {
	Satellites []panelSatellite `json:"satellites"`
}

type panelSatellite struct {
	GNSS int      `json:"gnssid"`
	SV   int      `json:"svid"`
	El   *float64 `json:"el"`
	Az   *float64 `json:"az"`
	SS   *float64 `json:"ss"`
	Used bool     `json:"used"`
}

func newPanel(url string, now time.Time) *panel {
	return &panel{url: url, state: "joining", since: now, newest: map[string]uint64{}}
}

// enter notes a change of the connection.
func (p *panel) enter(state, why string, now time.Time) {
	if state != p.state || why != p.why {
		p.state, p.why, p.since = state, why, now
	}
}

// message takes a message of the group. One that is not JSON, or neither a fix nor satellites, is
// only counted.
func (p *panel) message(text []byte, now time.Time) {
	p.count++
	var kind struct {
		Class string `json:"class"`
	}
	if json.Unmarshal(text, &kind) != nil {
		return
	}
	switch kind.Class {
	case "TPV":
		var f panelFix
		if json.Unmarshal(text, &f) == nil {
			p.tpv(f, now)
		}
	case "SKY":
		var s panelSky
		if json.Unmarshal(text, &s) == nil {
			s.Satellites = s.Satellites[:min(len(s.Satellites), mostSatellites)]
			p.sky, p.skyAt = s, now
		}
	}
}

func (p *panel) tpv(f panelFix, now time.Time) {
	p.recent = append(p.recent, now)
	if old := len(p.recent) - 20; old > 0 {
		p.recent = p.recent[old:]
	}
	if f.Backlog {
		p.late++
	}
	newest, known := p.newest[f.Run]
	far := max(f.Seq, newest)-min(f.Seq, newest) > farSeq
	switch {
	case f.Run == "" || f.Seq == 0: // of another kind of sender
	case !known, far:
		if len(p.newest) == mostRuns {
			clear(p.newest)
		}
		p.newest[f.Run] = f.Seq
	case f.Seq > newest:
		p.missing += f.Seq - newest - 1
		p.newest[f.Run] = f.Seq
	case f.Backlog && p.missing > 0:
		p.missing-- // it was missing before
	default:
		p.again++
	}
	if !f.Backlog && (!known || f.Seq == 0 || f.Seq > newest || far) {
		p.fix, p.fixAt = f, now
	}
}

// What other members of a group may send is bounded, or one message would stop the panel.
const (
	farSeq         = 10_000_000 // by how many numbers no fix is missing or late: 11 days at 10 Hz. If it is more, one of two numbers is wrong
	mostRuns       = 100        // remembered: a vehicle begins one at each start of its daemon
	mostSatellites = 200        // more than are in the sky
	strongest      = 100        // dB-Hz, of which no signal has more than 60
)

// text is the picture of now.
func (p *panel) text(now time.Time) string {
	var b strings.Builder
	r := rows{&b}
	r.row("group", "%s", p.url)
	why := ""
	if p.why != "" {
		why = ": " + p.why
	}
	r.row("link", "%s for %s%s", p.state, now.Sub(p.since).Round(time.Second), why)
	r.row("messages", "%d, %.1f fixes a second, %d not here, %d repeats, %d late", p.count, p.rate(now), p.missing, p.again, p.late)
	fmt.Fprintln(&b)
	p.writeFix(r, now)
	fmt.Fprintln(&b)
	p.writeSky(&b, now)
	return b.String()
}

// rate is that of the last fixes.
func (p *panel) rate(now time.Time) float64 {
	if len(p.recent) < 2 {
		return 0
	}
	first, last := p.recent[0], p.recent[len(p.recent)-1]
	if gap := last.Sub(first) / time.Duration(len(p.recent)-1); now.Sub(last) > max(oldFix, 3*gap) {
		return 0
	}
	return float64(len(p.recent)-1) / max(last.Sub(first).Seconds(), 1e-3)
}

// oldFix is the age from which a fix no longer shows where the vehicle is.
const oldFix = 3 * time.Second

func (p *panel) writeFix(r rows, now time.Time) {
	f, age := p.fix, now.Sub(p.fixAt)
	switch {
	case p.fixAt.IsZero():
		r.row("fix", "none yet")
		return
	case age > oldFix:
		r.row("fix", "OLD, %s ago: what follows is not where the vehicle is", age.Round(time.Second))
	default:
		r.row("fix", "%s, %.1f s ago", modeName(f.Mode), age.Seconds())
	}
	number := ""
	if f.Seq > 0 { // a fix that only viewers get has none
		number = fmt.Sprintf(", run %s, number %d", cmp.Or(f.Run, "unknown"), f.Seq)
	}
	r.row("device", "%s%s", f.Device, number)
	if !f.Time.IsZero() {
		r.row("time", "%s UTC", f.Time.UTC().Format("2006-01-02 15:04:05.0"))
	}
	if f.Lat != nil && f.Lon != nil {
		r.row("position", "%.7f %.7f%s", *f.Lat, *f.Lon, stated(" ± %.1f m", f.Eph))
	}
	r.row("altitude", "%s", list(stated("%.1f m", f.AltMSL), stated("%+.1f m/s", f.Climb)))
	r.row("speed", "%s", list(kmh(f.Speed), stated("course %.0f°", f.Track)))
	r.row("quality", "%s", list(stated("HDOP %.1f", f.HDOP), stated("%.0f satellites used", f.USat), stated("%.0f in view", f.NSat)))
}

func modeName(mode int) string {
	if names := []string{"unknown", "NO FIX", "2D", "3D"}; mode >= 0 && mode < len(names) {
		return names[mode]
	}
	return "unknown"
}

// stated formats a value, "" for one that is absent.
func stated(format string, v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf(format, *v)
}

// list joins what is there.
func list(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func kmh(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%.1f km/h", *v*3.6)
}

// gnssNames are u-blox's numbers of the constellations with RINEX's letters.
var gnssNames = map[int]string{0: "G", 1: "S", 2: "E", 3: "C", 5: "J", 6: "R", 7: "I"}

// oldSky is the age from which the satellites are not shown: receivers list them every one to five seconds.
const oldSky = 15 * time.Second

// writeSky writes a bar for each satellite, the strongest first.
func (p *panel) writeSky(w io.Writer, now time.Time) {
	if p.skyAt.IsZero() || now.Sub(p.skyAt) > oldSky {
		rows{w}.row("satellites", "none reported")
		return
	}
	all := slices.Clone(p.sky.Satellites)
	slices.SortStableFunc(all, func(a, b panelSatellite) int { return cmp.Compare(strength(b), strength(a)) })
	fmt.Fprintf(w, "%-5s %4s %4s %5s\n", "sat", "elev", "azim", "dB-Hz")
	for _, s := range all {
		name := gnssNames[s.GNSS]
		if name == "" {
			name = "?"
		}
		mark := ' '
		if s.Used {
			mark = '*'
		}
		fmt.Fprintf(w, "%s%02d%c  %4s %4s %5s %s\n", name, s.SV, mark, stated("%.0f", s.El), stated("%.0f", s.Az), stated("%.0f", s.SS),
			strings.Repeat("=", int(min(max(0, strength(s)), strongest))/2))
	}
	fmt.Fprintln(w, "* used in the fix")
}

func strength(s panelSatellite) float64 {
	if s.SS == nil {
		return 0
	}
	return *s.SS
}
