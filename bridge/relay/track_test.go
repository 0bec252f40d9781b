package relay

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/track"
)

// at is a fix of a second after noon; more are further members, such as `,"altMSL":3`.
func at(second int, lon float64, more string) string {
	return fmt.Sprintf(`{"class":"TPV","run":"r","seq":%d,"mode":3,"time":"2026-11-23T12:%02d:%02dZ","lat":51.5,"lon":%g%s}`,
		second+1, second/60, second%60, lon, more)
}

func lost(second int) string {
	return fmt.Sprintf(`{"class":"TPV","run":"r","seq":%d,"mode":1,"time":"2026-11-23T12:00:%02dZ"}`, second+1, second)
}

func TestTrackIsInOrder(t *testing.T) {
	undated := `{"class":"TPV","run":"r","seq":100,"mode":2,"lat":1,"lon":2}`
	for _, c := range []struct {
		name  string
		texts []string
		want  []uint64
	}{
		{"as they come", []string{at(0, 1, ""), lost(1), at(2, 1, "")}, []uint64{1, 2, 3}},
		{"a backlog behind live", []string{at(0, 1, ""), at(5, 1, ""), at(3, 1, ""), at(4, 1, "")}, []uint64{1, 4, 5, 6}},
		{"repeats", []string{at(0, 1, ""), at(1, 1, ""), at(0, 1, ""), at(1, 1, "")}, []uint64{1, 2}},
		{"without a time, where it came", []string{at(0, 1, ""), undated, at(1, 1, "")}, []uint64{1, 100, 2}},
		{"a year of five digits", []string{at(0, 1, ""), `{"seq":9,"lat":1,"lon":1,"time":"9999-12-31T23:59:59-23:59"}`}, []uint64{1, 9}},
		{"no fix at all", []string{`[1]`, `{"lat":"north"}`, `"x"`}, nil},
		{"none", nil, nil},
	} {
		var list []*message
		for _, text := range c.texts {
			list = append(list, newMessage(header{}, []byte(text)))
		}
		var got []uint64
		for p := range within(inOrder(list), time.Time{}, time.Time{}) {
			got = append(got, p.Seq)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func trackRelay(t *testing.T) *Relay {
	r := start(t, Config{Token: "see"})
	more := `,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"uSat":9`
	for _, text := range []string{at(0, 180, more), at(1, 179.5, more+`,"status":2`), lost(2), at(3, -0.0000001, "")} {
		r.Publish("van_7", "TPV", []byte(text))
	}
	return r
}

func TestGeoJSON(t *testing.T) {
	r := trackRelay(t)
	code, body, header := get(t, r, "/api/v1/devices/van_7/track.geojson", "", bearer("see"))
	if code != 200 || header.Get("Content-Type") != "application/geo+json" || !strings.Contains(header.Get("Content-Disposition"), "van_7.geojson") {
		t.Fatalf("%d %v %s", code, header, body)
	}
	want := `{"type":"FeatureCollection","features":[` +
		`{"type":"Feature","properties":{"device_id":"van_7","coordTimes":["2026-11-23T12:00:00Z","2026-11-23T12:00:01Z"],"altMSL":[11.2,11.2],"hdop":[0.8,0.8]},` +
		`"geometry":{"type":"LineString","coordinates":[[180,51.5,57.9],[179.5,51.5,57.9]]}},` +
		`{"type":"Feature","properties":{"device_id":"van_7","coordTimes":["2026-11-23T12:00:03Z"]},` +
		`"geometry":{"type":"Point","coordinates":[-1e-7,51.5]}}]}`
	if d := cmp.Diff(want, body); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, body, _ := get(t, start(t, Config{}), "/api/v1/devices/van_7/track.geojson", "", nil); body != `{"error":"no fix of device \"van_7\" yet"}`+"\n" {
		t.Errorf("without a fix: %q", body)
	}
}

func TestGPX(t *testing.T) {
	code, body, header := get(t, trackRelay(t), "/api/v1/devices/van_7/track.gpx", "", bearer("see"))
	if code != 200 || header.Get("Content-Type") != "application/gpx+xml" {
		t.Fatalf("%d %v %s", code, header, body)
	}
	want := xml.Header + `<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="gpsbridge"><trk><name>van_7</name>` +
		`<trkseg><trkpt lat="51.5" lon="-180"><ele>11.2</ele><time>2026-11-23T12:00:00Z</time><geoidheight>46.7</geoidheight><fix>3d</fix><sat>9</sat><hdop>0.8</hdop></trkpt>` +
		`<trkpt lat="51.5" lon="179.5"><ele>11.2</ele><time>2026-11-23T12:00:01Z</time><geoidheight>46.7</geoidheight><fix>dgps</fix><sat>9</sat><hdop>0.8</hdop></trkpt></trkseg>` +
		`<trkseg><trkpt lat="51.5" lon="-0.0000001"><time>2026-11-23T12:00:03Z</time><fix>3d</fix></trkpt></trkseg></trk></gpx>`
	if d := cmp.Diff(want, body); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// dayRelay keeps the track of van_7, an hour, and has one fix in its history.
func dayRelay(t *testing.T, c Config) (*Relay, *track.Day) {
	day := track.NewDay()
	for i := range 3600 {
		p, err := track.Parse(fmt.Appendf(nil, `{"mode":3,"time":"2026-11-23T11:%02d:%02dZ","lat":51.5,"lon":%.4f,"speed":10}`, i/60, i%60, float64(i)*1e-4))
		if err != nil {
			t.Fatal(err)
		}
		day.Add(p)
	}
	c.Track = func(device string) *track.Day {
		if device == "van_7" {
			return day
		}
		return nil
	}
	return start(t, c), day
}

// A period is chosen of what the program keeps, and of the history without that.
func TestPeriodOfTrack(t *testing.T) {
	kept, _ := dayRelay(t, Config{})
	history := trackRelay(t)
	for _, c := range []struct {
		r     *Relay
		query string
		times string
	}{
		{kept, "?from=2026-11-23T11:59:57Z", "11:59:57 11:59:58 11:59:59"},
		{kept, "?from=2026-11-23T12:55:01%2B01:00&to=2026-11-23T11:55:03.5Z", "11:55:01 11:55:02 11:55:03"},
		{kept, "?to=2026-11-23T11:00:02Z", "11:00:00"},
		{kept, "?from=2027-01-01T00:00:00Z", ""},
		{history, "", "12:00:00 12:00:01 12:00:03"},
		{history, "?from=2026-11-23T12:00:01Z&to=2026-11-23T12:00:03Z", "12:00:01"},
		{history, "?to=2026-11-23T12:00:01Z", "12:00:00"},
		{history, "?from=2026-11-23T12:00:04Z", ""},
	} {
		code, body, _ := get(t, c.r, "/api/v1/devices/van_7/track.gpx"+c.query, "", bearer("see"))
		var file struct {
			Times []time.Time `xml:"trk>trkseg>trkpt>time"`
		}
		if err := xml.Unmarshal([]byte(body), &file); err != nil || code != 200 {
			t.Fatalf("%s: %d, %v", c.query, code, err)
		}
		var times []string
		for _, at := range file.Times {
			times = append(times, at.Format(time.TimeOnly))
		}
		if got := strings.Join(times, " "); got != c.times {
			t.Errorf("%s: %s, want %s", c.query, got, c.times)
		}
	}
	if code, body, _ := get(t, kept, "/api/v1/devices/van_8/track.gpx", "", nil); code != 404 {
		t.Errorf("a device of which nothing is kept: %d %s", code, body)
	}
}

func TestWrongPeriodIsExplained(t *testing.T) {
	r, _ := dayRelay(t, Config{})
	for query, want := range map[string]string{
		"?since=2026-11-23T11:00:00Z": `parameter \"since\" is unknown: use from and to`,
		"?from=&form=x":               `parameter \"form\" is unknown: use from and to`,
		"?from=yesterday":             `from=\"yesterday\" is not a time: write it as 2026-11-23T09:00:00Z, or with an offset as 2026-11-23T10:00:00%2B01:00`,
		"?to=2026-11-23T11:00:00":     `to=\"2026-11-23T11:00:00\" is not a time`,
		"?from=2026-11-23T11:00:00Z&to=2026-11-23T10:00:00Z": `from=2026-11-23T11:00:00Z is not before to=2026-11-23T10:00:00Z: exchange them`,
		"?from=2026-11-23T11:00:00Z&to=2026-11-23T11:00:00Z": `is not before`,
		"?to=2026-11-23T11:00:00Z&to=2026-11-23T12:00:00Z":   `to is there 2 times: give it once`,
		"?from=%zz": `cannot be read: write ?from=TIME`,
	} {
		for _, file := range []string{"track.gpx", "track.geojson"} {
			code, body, _ := get(t, r, "/api/v1/devices/van_7/"+file+query, "", nil)
			if code != 400 || !strings.HasPrefix(body, `{"error":"`) || !strings.Contains(body, want) || strings.Count(body, "\n") != 1 {
				t.Errorf("%s%s: %d %s, want 400 with %s", file, query, code, body, want)
			}
		}
	}
}

func TestDevices(t *testing.T) {
	r := start(t, Config{})
	if _, body, _ := get(t, r, "/api/v1/devices", "", nil); body != `{"devices":[]}` {
		t.Errorf("without any: %s", body)
	}
	r.Publish("b", "SKY", []byte(`{"class":"SKY"}`))
	r.Publish("a", "TPV", []byte(`{"class":"TPV","lat":1}`))
	_, body, _ := get(t, r, "/api/v1/devices", "", nil)
	var got struct {
		Devices []struct {
			ID       string `json:"device_id"`
			Messages int
			FixAge   *float64 `json:"fix_age"`
			Fix      json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	d := got.Devices
	if len(d) != 2 || d[0].ID != "a" || string(d[0].Fix) != `{"class":"TPV","lat":1}` || d[0].FixAge == nil ||
		d[1].ID != "b" || d[1].Fix != nil || d[1].Messages != 1 {
		t.Errorf("devices %s", body)
	}
	if _, body, _ := get(t, r, "/api/v1/devices/a", "", nil); !strings.HasPrefix(body, `{"device_id":"a","messages":1,`) || !strings.HasSuffix(body, `,"fix":{"class":"TPV","lat":1}}`) {
		t.Errorf("one of them: %s", body)
	}
	if code, body, _ := get(t, r, "/api/v1/devices/c", "", nil); code != 404 || body != `{"error":"nothing is known of device \"c\""}`+"\n" {
		t.Errorf("one that is not there: %d %s", code, body)
	}
}

// Whatever a publisher calls a fix, the files are well formed.
func FuzzTrack(f *testing.F) {
	for _, text := range []string{at(0, 1, ""), lost(1), `{"lat":1,"lon":1,"time":"9999-12-31T23:59:59-23:59"}`, `{"lat":1e308,"lon":-1}`, `{"lat":1,"lon":1,"time":"9999-12-31T23:59:59.999Z","uSat":-1e300}`,
		`{"lat":1,"lon":1,"time":"2026-11-23T12:00:00+23:59","mode":-1}`} {
		f.Add(text, at(1, 2, ""))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var list []*message
		for _, text := range []string{a, b} {
			if head, err := parseHeader([]byte(text)); err == nil {
				list = append(list, newMessage(head, []byte(text)))
			}
		}
		list = inOrder(list)
		var body bytes.Buffer
		points := within(list, time.Time{}, time.Time{})
		err := writeTrack(&body, track.GeoJSON, "van_7", points)
		if err != nil || !json.Valid(body.Bytes()) {
			t.Errorf("%v %s", err, &body)
		}
		body.Reset()
		err = writeTrack(&body, track.GPX, "van_7", points)
		var back struct {
			Times []string `xml:"trk>trkseg>trkpt>time"`
		}
		if err == nil {
			err = xml.Unmarshal(body.Bytes(), &back)
		}
		if err != nil {
			t.Errorf("%v %s", err, &body)
		}
		for _, at := range back.Times {
			if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
				t.Error(err)
			}
		}
	})
}
