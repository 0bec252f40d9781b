package track

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/realtest"
)

// at is a fix of a second after noon; more are further members, such as `,"altMSL":3`.
func at(second int, lon float64, more string) string {
	return fmt.Sprintf(`{"class":"TPV","run":"r","seq":%d,"mode":3,"time":"2026-11-23T12:%02d:%02dZ","lat":51.5,"lon":%g%s}`,
		second+1, second/60, second%60, lon, more)
}

func lost(second int) string {
	return fmt.Sprintf(`{"class":"TPV","run":"r","seq":%d,"mode":1,"time":"2026-11-23T12:00:%02dZ"}`, second+1, second)
}

// write is the track of fixes in a format.
func write(t testing.TB, f Format, name string, texts ...string) string {
	t.Helper()
	var b, all bytes.Buffer
	w := NewWriter(&b, f, name)
	for _, text := range texts {
		p, err := Parse([]byte(text))
		if err == nil {
			err = w.Add(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.WriteTo(&all) // empties b, as one does who writes while the fixes come
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.WriteTo(&all)
	return all.String()
}

// seqs is a format that keeps the seqs of each part.
type seqs struct{ parts [][]uint64 }

func (s *seqs) begin(*bytes.Buffer)     {}
func (s *seqs) end(*bytes.Buffer) error { return nil }
func (s *seqs) add(_ *bytes.Buffer, p *Point, begins bool) error {
	if begins {
		s.parts = append(s.parts, nil)
	}
	end := &s.parts[len(s.parts)-1]
	*end = append(*end, p.Seq)
	return nil
}

func TestParts(t *testing.T) {
	undated := `{"class":"TPV","run":"r","seq":100,"mode":2,"lat":1,"lon":2}`
	for name, c := range map[string]struct {
		texts []string
		want  [][]uint64
	}{
		"one part":                {[]string{at(0, 1, ""), at(1, 1, ""), at(2, 1, "")}, [][]uint64{{1, 2, 3}}},
		"no fix in between":       {[]string{at(0, 1, ""), lost(1), at(2, 1, ""), at(3, 1, "")}, [][]uint64{{1}, {3, 4}}},
		"11 s without a fix":      {[]string{at(0, 1, ""), at(1, 1, ""), at(2, 1, ""), at(13, 1, "")}, [][]uint64{{1, 2, 3}, {14}}},
		"10 s without a fix":      {[]string{at(0, 1, ""), at(1, 1, ""), at(2, 1, ""), at(12, 1, "")}, [][]uint64{{1, 2, 3, 13}}},
		"a fix every 30 s":        {[]string{at(0, 1, ""), at(30, 1, ""), at(60, 1, ""), at(120, 1, ""), at(1000, 1, "")}, [][]uint64{{1, 31, 61, 121}, {1001}}},
		"across the antimeridian": {[]string{at(0, 179.9, ""), at(1, 179.99, ""), at(2, -179.9, "")}, [][]uint64{{1, 2}, {3}}},
		"without a time":          {[]string{at(0, 1, ""), undated, at(1, 1, "")}, [][]uint64{{1, 100, 2}}},
		"not on earth":            {[]string{at(0, 1, ""), `{"seq":7,"lat":91,"lon":0}`, `{"seq":8,"lat":0,"lon":181}`}, [][]uint64{{1}}},
		"a year of five digits":   {[]string{at(0, 1, ""), `{"seq":9,"lat":1,"lon":1,"time":"9999-12-31T23:59:59-23:59"}`}, [][]uint64{{1, 9}}},
		"none":                    {nil, nil},
	} {
		got := &seqs{}
		write(t, func(string) format { return got }, "", c.texts...)
		if d := cmp.Diff(c.want, got.parts); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// drive is a track with a gap, heights, and a part of one fix.
var drive = []string{
	at(0, 179.25, `,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"uSat":9`), at(1, 179.5, `,"altMSL":11.2,"altHAE":57.9,"status":2`),
	lost(2), at(3, -0.0000001, ""),
}

func TestKML(t *testing.T) {
	want := xml.Header + `<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>a &lt; b</name>` +
		`<Placemark><TimeSpan><begin>2026-11-23T12:00:00Z</begin><end>2026-11-23T12:00:01Z</end></TimeSpan>` +
		`<LineString><coordinates>179.25,51.5,11.2 179.5,51.5,11.2</coordinates></LineString></Placemark>` +
		`<Placemark><TimeSpan><begin>2026-11-23T12:00:03Z</begin><end>2026-11-23T12:00:03Z</end></TimeSpan>` +
		`<Point><coordinates>-0.0000001,51.5</coordinates></Point></Placemark></Document></kml>`
	if d := cmp.Diff(want, write(t, KML, "a < b", drive...)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestLongLinesGoOn: a part is written in pieces, and no way between two fixes is missing.
func TestLongLinesGoOn(t *testing.T) {
	var texts []string
	const n = 2*longestLine + 10
	for i := range n {
		texts = append(texts, at(i%3600, 1+float64(i)*1e-6, ""))
	}
	var got struct {
		Features []struct {
			Geometry struct {
				Type        string
				Coordinates [][]float64
			}
		}
	}
	if err := json.Unmarshal([]byte(write(t, GeoJSON, "", texts...)), &got); err != nil {
		t.Fatal(err)
	}
	points := 0
	for i, f := range got.Features {
		c := f.Geometry.Coordinates
		if i > 0 {
			before := got.Features[i-1].Geometry.Coordinates
			if diff := cmp.Diff(before[len(before)-1], c[0]); diff != "" {
				t.Errorf("line %d does not begin where the one before ended: %s", i, diff)
			}
			points--
		}
		points += len(c)
	}
	if points != n || len(got.Features) != 3 {
		t.Errorf("%d points in %d lines, want %d in 3", points, len(got.Features), n)
	}
}

// gpxOrder is the order of elements that the schema of GPX 1.1 prescribes in a trkpt, as far as they are written.
var gpxOrder = regexp.MustCompile(`^(ele )?(time )?(geoidheight )?(fix )?(sat )?(hdop )?(vdop )?(pdop )?$`)

// TestGPXIsValid checks the rules of http://www.topografix.com/GPX/1/1/gpx.xsd.
func TestGPXIsValid(t *testing.T) {
	everything := at(10, 180, `,"altMSL":1,"geoidSep":2,"hdop":1,"vdop":1,"pdop":1,"uSat":4`)
	text := write(t, GPX, "van & co", append(drive, everything)...)
	type element struct {
		XMLName  xml.Name
		Attrs    []xml.Attr `xml:",any,attr"`
		Children []element  `xml:",any"`
		Text     string     `xml:",chardata"`
	}
	var root element
	if err := xml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	attr := func(e element, name string) string {
		for _, a := range e.Attrs {
			if a.Name.Local == name {
				return a.Value
			}
		}
		return ""
	}
	const space = "http://www.topografix.com/GPX/1/1"
	if root.XMLName != (xml.Name{Space: space, Local: "gpx"}) || attr(root, "version") != "1.1" || attr(root, "creator") == "" {
		t.Errorf("the root is %v %v", root.XMLName, root.Attrs)
	}
	track := root.Children[0]
	if len(root.Children) != 1 || track.XMLName.Local != "trk" || track.Children[0].XMLName.Local != "name" || track.Children[0].Text != "van & co" {
		t.Fatalf("not one track with a name: %s", text)
	}
	points := 0
	for _, segment := range track.Children[1:] {
		if segment.XMLName.Local != "trkseg" {
			t.Errorf("%s in the track", segment.XMLName.Local)
		}
		for _, p := range segment.Children {
			points++
			var lat, lon float64
			fmt.Sscan(attr(p, "lat")+" "+attr(p, "lon"), &lat, &lon)
			if p.XMLName.Local != "trkpt" || lat < -90 || lat > 90 || lon < -180 || lon >= 180 || strings.ContainsAny(attr(p, "lon"), "eE") {
				t.Errorf("point %v %v", p.XMLName, p.Attrs)
			}
			names := ""
			for _, c := range p.Children {
				names += c.XMLName.Local + " "
				if _, err := time.Parse(time.RFC3339, c.Text); c.XMLName.Local == "time" && err != nil {
					t.Error(err)
				}
			}
			if !gpxOrder.MatchString(names) {
				t.Errorf("elements %s", names)
			}
		}
	}
	if points != 4 || len(track.Children) != 1+3 {
		t.Errorf("%d points in %d segments, want 4 in 3:\n%s", points, len(track.Children)-1, text)
	}
}

// TestGPSBabelReadsTracks has a program that people convert tracks with read each format.
func TestGPSBabelReadsTracks(t *testing.T) {
	realtest.Need(t, realtest.GPSBabel)
	as := map[string]string{"gpx": "-t", "kml": "-t", "geojson": "-r"} // it takes a line of GeoJSON for a route
	for suffix, f := range map[string]Format{"gpx": GPX, "kml": KML, "geojson": GeoJSON} {
		file := filepath.Join(t.TempDir(), "drive."+suffix)
		if err := os.WriteFile(file, []byte(write(t, f, "van_7", drive...)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("gpsbabel", as[suffix], "-i", suffix, "-f", file, "-o", "unicsv", "-F", "-").CombinedOutput()
		for _, want := range []string{"51.500000,179.250000", "51.500000,179.500000"} {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("GPSBabel reads of %s, %v, without %s:\n%s", suffix, err, want, out)
			}
		}
	}
}
