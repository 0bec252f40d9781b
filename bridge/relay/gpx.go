package relay

import (
	"encoding/xml"
	"strconv"
	"time"
)

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
