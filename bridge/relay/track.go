package relay

import (
	"encoding/json"
	"encoding/xml"
	"math"
	"slices"
	"strconv"
	"time"
)

// point is one fix as a track needs it. Members that the fix lacks are nil.
type point struct {
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
	HDOP     *float64  `json:"hdop"`
	VDOP     *float64  `json:"vdop"`
	PDOP     *float64  `json:"pdop"`
	USat     *float64  `json:"uSat"`

	order time.Time // Time, or that of the message before
}

// placed reports whether p has a position on earth. Publishers may send anything.
func (p *point) placed() bool {
	return p.Lat != nil && p.Lon != nil && math.Abs(*p.Lat) <= 90 && math.Abs(*p.Lon) <= 180
}

// trackOf puts fixes in the order of their own time, because a backlog comes
// after what is newer, leaves repeats out, and breaks the track where the way in
// between is not known.
func trackOf(messages []*message) [][]point {
	points := make([]point, 0, len(messages))
	var last time.Time
	for _, m := range messages {
		var p point
		if json.Unmarshal(m.data, &p) != nil {
			continue // JSON, but no fix
		}
		if p.Time = p.Time.UTC(); p.Time.Year() > 9999 {
			p.Time = time.Time{} // with its offset from UTC applied: RFC 3339 cannot express it
		}
		if !p.Time.IsZero() {
			last = p.Time
		}
		p.order = last
		points = append(points, p)
	}
	slices.SortStableFunc(points, func(a, b point) int { return a.order.Compare(b.order) })
	points = slices.CompactFunc(points, func(a, b point) bool { return a.Seq != 0 && a.Run == b.Run && a.Seq == b.Seq })
	return split(points, gapOf(points))
}

// gapOf is the time without a fix after which the way is not known: ten times
// what is usual between two fixes of this track, and ten seconds at least.
func gapOf(points []point) time.Duration {
	var steps []time.Duration
	for i := 1; i < len(points); i++ {
		if step := points[i].order.Sub(points[i-1].order); step > 0 {
			steps = append(steps, step)
		}
	}
	if len(steps) == 0 {
		return 10 * time.Second
	}
	slices.Sort(steps)
	return max(10*time.Second, 10*steps[len(steps)/2])
}

// split cuts points where a fix has no position, after a gap,
// and where the way crosses the antimeridian (RFC 7946, 3.1.9: a line across it
// would be drawn around the earth).
func split(points []point, gap time.Duration) (track [][]point) {
	var before *point
	for i := range points {
		p := &points[i]
		if !p.placed() {
			before = nil
			continue
		}
		if before == nil || p.order.Sub(before.order) > gap || math.Abs(*p.Lon-*before.Lon) > 180 {
			track = append(track, nil)
		}
		end := &track[len(track)-1]
		*end = append(*end, *p)
		before = p
	}
	return track
}

// geoJSON is a track as RFC 7946 has it: a line for each part, a point for a part
// of one fix, with the times of its positions beside them. The third coordinate
// is the height above the ellipsoid, in parts where every fix has it.
func geoJSON(device string, track [][]point) ([]byte, error) {
	type geometry struct {
		Type        string `json:"type"`
		Coordinates any    `json:"coordinates"`
	}
	type properties struct {
		DeviceID string    `json:"device_id"`
		Times    []*string `json:"coordTimes"` // null where the receiver had no date yet
	}
	type feature struct {
		Type       string     `json:"type"`
		Properties properties `json:"properties"`
		Geometry   geometry   `json:"geometry"`
	}
	features := []feature{}
	for _, part := range track {
		high := !slices.ContainsFunc(part, func(p point) bool { return p.AltHAE == nil })
		positions, times := make([][]float64, len(part)), make([]*string, len(part))
		for i, p := range part {
			positions[i] = []float64{*p.Lon, *p.Lat}
			if high {
				positions[i] = append(positions[i], *p.AltHAE)
			}
			if !p.Time.IsZero() {
				times[i] = new(p.Time.UTC().Format(time.RFC3339Nano))
			}
		}
		g := geometry{"LineString", positions}
		if len(part) == 1 {
			g = geometry{"Point", positions[0]}
		}
		features = append(features, feature{"Feature", properties{device, times}, g})
	}
	return json.Marshal(struct {
		Type     string    `json:"type"`
		Features []feature `json:"features"`
	}{"FeatureCollection", features})
}

// The elements of GPX 1.1 (http://www.topografix.com/GPX/1/1/gpx.xsd), in the
// order that its schema asks for.
type (
	gpxFile struct {
		XMLName xml.Name `xml:"http://www.topografix.com/GPX/1/1 gpx"`
		Version string   `xml:"version,attr"`
		Creator string   `xml:"creator,attr"`
		Track   gpxTrack `xml:"trk"`
	}
	gpxTrack struct {
		Name     string       `xml:"name"`
		Segments []gpxSegment `xml:"trkseg"`
	}
	gpxSegment struct {
		Points []gpxPoint `xml:"trkpt"`
	}
	gpxPoint struct {
		Lat       string   `xml:"lat,attr"`
		Lon       string   `xml:"lon,attr"`
		Elevation *float64 `xml:"ele,omitempty"` // metres above mean sea level
		Time      string   `xml:"time,omitempty"`
		GeoidSep  *float64 `xml:"geoidheight,omitempty"`
		Fix       string   `xml:"fix,omitempty"`
		Sat       *uint    `xml:"sat,omitempty"`
		HDOP      *float64 `xml:"hdop,omitempty"`
		VDOP      *float64 `xml:"vdop,omitempty"`
		PDOP      *float64 `xml:"pdop,omitempty"`
	}
)

// gpx is a track as GPX 1.1, a segment for each part.
func gpx(device string, track [][]point) ([]byte, error) {
	file := gpxFile{Version: "1.1", Creator: "gpsbridge", Track: gpxTrack{Name: device}}
	for _, part := range track {
		var segment gpxSegment
		for _, p := range part {
			segment.Points = append(segment.Points, p.gpx())
		}
		file.Track.Segments = append(file.Track.Segments, segment)
	}
	body, err := xml.Marshal(file)
	return append([]byte(xml.Header), body...), err
}

func (p *point) gpx() gpxPoint {
	lon := *p.Lon
	if lon == 180 { // the schema's longitudes end before it
		lon = -180
	}
	g := gpxPoint{
		Lat: degrees(*p.Lat), Lon: degrees(lon), Elevation: p.AltMSL, GeoidSep: p.GeoidSep,
		HDOP: p.HDOP, VDOP: p.VDOP, PDOP: p.PDOP,
	}
	if !p.Time.IsZero() {
		g.Time = p.Time.UTC().Format(time.RFC3339Nano)
	}
	switch {
	case p.Status == 2: // gpsd's for a differential fix
		g.Fix = "dgps"
	case p.Mode == 2:
		g.Fix = "2d"
	case p.Mode == 3:
		g.Fix = "3d"
	}
	if p.USat != nil && *p.USat >= 0 && *p.USat < 1e6 {
		g.Sat = new(uint(*p.USat))
	}
	return g
}

// degrees writes an xsd:decimal, which has no exponent.
func degrees(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
