// Package track writes fixes as a track: GPX 1.1, GeoJSON (RFC 7946) or KML 2.2, fix by fix, in little memory. A track is broken
// into parts where the way between two fixes is not known. A Day keeps the track of the last 24 hours.
package track

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
)

// Point is one fix as a track needs it: it reads the project's TPV messages, and gpsd's. Members that the fix lacks are nil.
type Point struct {
	Run      string    `json:"run"`
	Seq      uint64    `json:"seq"`
	Mode     int       `json:"mode"`
	Status   int       `json:"status"`
	Time     time.Time `json:"time"` // zero without one
	Lat      *float64  `json:"lat"`  // degrees
	Lon      *float64  `json:"lon"`
	AltMSL   *float64  `json:"altMSL"` // metres above mean sea level
	AltHAE   *float64  `json:"altHAE"` // metres above the ellipsoid
	GeoidSep *float64  `json:"geoidSep"`
	Speed    *float64  `json:"speed"` // metres a second over ground
	HDOP     *float64  `json:"hdop"`
	VDOP     *float64  `json:"vdop"`
	PDOP     *float64  `json:"pdop"`
	USat     *float64  `json:"uSat"`

	joined joined // of a point that a Day has kept
}

// joined is whether the way from the point before is known.
type joined uint8

const (
	byTime   joined = iota // as the time between the two decides
	joinedOn               // it is known, however far in time they are
	apart                  // it is not
)

// Parse reads a message. What is not a fix is an error, or a point without a position.
func Parse(message []byte) (p Point, err error) {
	err = json.Unmarshal(message, &p)
	if p.Time = p.Time.UTC(); p.Time.Year() > 9999 {
		p.Time = time.Time{} // with its offset from UTC applied: RFC 3339 cannot express it
	}
	return p, err
}

// placed reports whether p has a position on earth. Publishers may send anything.
func (p *Point) placed() bool {
	return p.Lat != nil && p.Lon != nil && math.Abs(*p.Lat) <= 90 && math.Abs(*p.Lon) <= 180
}

// stamp is the time of p as the formats have it, "" without one.
func (p *Point) stamp() string {
	if p.Time.IsZero() {
		return ""
	}
	return p.Time.Format(time.RFC3339Nano)
}

// Format writes tracks of one kind.
type Format func(name string) format

// format appends what a file of its kind has to a buffer.
type format interface {
	begin(b *bytes.Buffer)
	// add adds a placed point, which begins a part or goes on with the one before.
	add(b *bytes.Buffer, p *Point, begins bool) error
	end(b *bytes.Buffer) error
}

// Writer writes one track. It is not safe for use by several goroutines.
type Writer struct {
	to     *bytes.Buffer
	format format
	way    way
}

// NewWriter begins a track in a buffer, which the caller may empty at any time. The name is a device's or a file's, "" for none.
func NewWriter(to *bytes.Buffer, f Format, name string) *Writer {
	w := &Writer{to: to, format: f(name)}
	w.format.begin(to)
	return w
}

// Close ends the track, after any number of points.
func (w *Writer) Close() error { return w.format.end(w.to) }

// Add adds a point. The track is broken where a fix has no position, after ten times what is usual between two fixes of this
// track, and where the way crosses the antimeridian (RFC 7946, 3.1.9: a line across it would be drawn around the earth). A fix
// without a time counts as made when the one before was.
func (w *Writer) Add(p Point) error {
	known := w.way.to(&p)
	if !p.placed() {
		return nil
	}
	return w.format.add(w.to, &p, !known)
}

// leastGap is how long the way between two fixes is taken for known, whatever is usual.
const leastGap = 10 * time.Second

// way finds where in a track the way between two fixes is not known.
type way struct {
	placed bool          // the last fix has a position
	lon    float64       // of the last one that has
	last   time.Time     // of the fixes so far
	usual  time.Duration // between two fixes of a part; 0 until there were two
}

// to goes on to p, and reports whether the way there is known.
func (w *way) to(p *Point) (known bool) {
	if !p.placed() {
		w.placed = false
		return false
	}
	step := time.Duration(0)
	if !p.Time.IsZero() {
		if !w.last.IsZero() {
			step = p.Time.Sub(w.last)
		}
		w.last = p.Time
	}
	near := w.usual == 0 || step <= max(leastGap, 10*w.usual)
	known = w.placed && math.Abs(*p.Lon-w.lon) <= 180 && (p.joined == joinedOn || p.joined == byTime && near)
	switch {
	case !known || step <= 0:
	case w.usual == 0:
		w.usual = step
	default:
		w.usual += (step - w.usual) / 8 // a mean that follows
	}
	w.placed, w.lon = true, *p.Lon
	return known
}
