package track

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"slices"
	"strconv"
)

// GPX is GPX 1.1 (http://www.topografix.com/GPX/1/1/gpx.xsd): a segment for each part.
func GPX(name string) format { return &gpx{name: name} }

type gpx struct {
	name string
	open bool // a segment is
}

// gpxPoint has its elements in the order that the schema asks for.
type gpxPoint struct {
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

func (g *gpx) begin(b *bytes.Buffer) {
	b.WriteString(xml.Header + `<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="gpsbridge"><trk>`)
	nameElement(b, g.name)
}

func (g *gpx) add(b *bytes.Buffer, p *Point, begins bool) error {
	if begins {
		g.close(b)
		g.open = true
		b.WriteString("<trkseg>")
	}
	lon := *p.Lon
	if lon == 180 { // the schema's longitudes end before it
		lon = -180
	}
	x := gpxPoint{
		Lat: decimal(*p.Lat), Lon: decimal(lon), Elevation: p.AltMSL, Time: p.stamp(), GeoidSep: p.GeoidSep,
		HDOP: p.HDOP, VDOP: p.VDOP, PDOP: p.PDOP,
	}
	switch {
	case p.Status == 2: // gpsd's for a differential fix
		x.Fix = "dgps"
	case p.Mode == 2:
		x.Fix = "2d"
	case p.Mode == 3:
		x.Fix = "3d"
	}
	if p.USat != nil && *p.USat >= 0 && *p.USat < 1e6 {
		x.Sat = new(uint(*p.USat))
	}
	return xml.NewEncoder(b).EncodeElement(x, xml.StartElement{Name: xml.Name{Local: "trkpt"}})
}

func (g *gpx) close(b *bytes.Buffer) {
	if g.open {
		b.WriteString("</trkseg>")
	}
}

func (g *gpx) end(b *bytes.Buffer) error {
	g.close(b)
	b.WriteString("</trk></gpx>")
	return nil
}

// nameElement writes a name where there is one; the element is the same in GPX and KML.
func nameElement(b *bytes.Buffer, name string) {
	if name != "" {
		b.WriteString("<name>")
		_ = xml.EscapeText(b, []byte(name)) // a buffer takes everything
		b.WriteString("</name>")
	}
}

// decimal writes an xsd:decimal, which has no exponent.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// longestLine is how many points are held until they are written as one line; the next line begins with the last of them.
const longestLine = 4096

// lines holds the points of a part until its line can be written.
type lines struct {
	part  []Point
	write func(b *bytes.Buffer, part []Point) error
}

func (l *lines) add(b *bytes.Buffer, p *Point, begins bool) error {
	var err error
	if begins {
		err = l.flush(b)
	} else if len(l.part) == longestLine {
		last := l.part[longestLine-1]
		err = l.flush(b)
		l.part = append(l.part, last)
	}
	l.part = append(l.part, *p)
	return err
}

func (l *lines) flush(b *bytes.Buffer) error {
	if len(l.part) == 0 {
		return nil
	}
	err := l.write(b, l.part)
	l.part = l.part[:0]
	return err
}

// all returns a height of each point of a part, nil where one has none.
func all(part []Point, height func(Point) *float64) (heights []float64) {
	for _, p := range part {
		h := height(p)
		if h == nil {
			return nil
		}
		heights = append(heights, *h)
	}
	return heights
}

// column returns a value of each point of a part, nil where none has one.
func column(part []Point, value func(Point) *float64) []*float64 {
	values, some := make([]*float64, len(part)), false
	for i, p := range part {
		values[i] = value(p)
		some = some || values[i] != nil
	}
	if !some {
		return nil
	}
	return values
}

// GeoJSON is a track as RFC 7946 has it: a line for each part, a point for a part of one fix. Beside it are lists with a value for
// each of its positions: the times, and speed, altMSL and hdop as in the messages where a fix of the part has them. The third
// coordinate is the height above the ellipsoid, in parts where every fix has it.
func GeoJSON(name string) format {
	g := &geoJSON{name: name}
	g.write = g.feature
	return g
}

type geoJSON struct {
	lines
	name  string
	comma bool
}

func (g *geoJSON) begin(b *bytes.Buffer) { b.WriteString(`{"type":"FeatureCollection","features":[`) }

func (g *geoJSON) end(b *bytes.Buffer) error {
	err := g.flush(b)
	b.WriteString("]}")
	return err
}

func (g *geoJSON) feature(b *bytes.Buffer, part []Point) error {
	type geometry struct {
		Type        string `json:"type"`
		Coordinates any    `json:"coordinates"`
	}
	type properties struct {
		DeviceID string     `json:"device_id,omitempty"`
		Times    []*string  `json:"coordTimes"` // null where the receiver had no date yet
		Speed    []*float64 `json:"speed,omitempty"`
		AltMSL   []*float64 `json:"altMSL,omitempty"`
		HDOP     []*float64 `json:"hdop,omitempty"`
	}
	heights := all(part, func(p Point) *float64 { return p.AltHAE })
	positions, times := make([][]float64, len(part)), make([]*string, len(part))
	for i, p := range part {
		positions[i] = []float64{*p.Lon, *p.Lat}
		if heights != nil {
			positions[i] = append(positions[i], heights[i])
		}
		if at := p.stamp(); at != "" {
			times[i] = &at
		}
	}
	line := geometry{"LineString", positions}
	if len(part) == 1 {
		line = geometry{"Point", positions[0]}
	}
	text, err := json.Marshal(struct {
		Type       string     `json:"type"`
		Properties properties `json:"properties"`
		Geometry   geometry   `json:"geometry"`
	}{"Feature", properties{
		g.name, times,
		column(part, func(p Point) *float64 { return p.Speed }), column(part, func(p Point) *float64 { return p.AltMSL }),
		column(part, func(p Point) *float64 { return p.HDOP }),
	}, line})
	if g.comma {
		b.WriteByte(',')
	}
	g.comma = true
	b.Write(text)
	return err
}

// KML is KML 2.2 (OGC 07-147r2): a placemark for each part, with its time and its line. Heights are above mean sea level, in
// parts where every fix has one; viewers draw the line on the ground.
func KML(name string) format {
	k := &kml{name: name}
	k.write = k.placemark
	return k
}

type kml struct {
	lines
	name string
}

func (k *kml) begin(b *bytes.Buffer) {
	b.WriteString(xml.Header + `<kml xmlns="http://www.opengis.net/kml/2.2"><Document>`)
	nameElement(b, k.name)
}

func (k *kml) end(b *bytes.Buffer) error {
	err := k.flush(b)
	b.WriteString("</Document></kml>")
	return err
}

func (k *kml) placemark(b *bytes.Buffer, part []Point) error {
	geometry := "LineString"
	if len(part) == 1 {
		geometry = "Point"
	}
	b.WriteString("<Placemark>")
	dated := slices.DeleteFunc(slices.Clone(part), func(p Point) bool { return p.stamp() == "" })
	if n := len(dated); n > 0 {
		b.WriteString("<TimeSpan><begin>" + dated[0].stamp() + "</begin><end>" + dated[n-1].stamp() + "</end></TimeSpan>")
	}
	b.WriteString("<" + geometry + "><coordinates>")
	heights := all(part, func(p Point) *float64 { return p.AltMSL })
	for i, p := range part {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(decimal(*p.Lon) + "," + decimal(*p.Lat))
		if heights != nil {
			b.WriteString("," + decimal(heights[i]))
		}
	}
	b.WriteString("</coordinates></" + geometry + "></Placemark>")
	return nil
}
