package track

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// driven is a fix so long after noon, of a vehicle at 15 m/s on a square of 900 m: a corner each minute.
func driven(after time.Duration) Point {
	const side = 900 / 111_250.0                           // degrees
	way := math.Mod(after.Seconds()+240_000_005, 240) / 60 // the corners lie within steps of 10 s
	along, sides := (way-math.Floor(way))*side, [4][4]float64{{0, 0, 1, 0}, {1, 0, 0, 1}, {1, 1, -1, 0}, {0, 1, 0, -1}}
	s := sides[int(way)]
	lat, lon, speed := 51+s[0]*side+s[2]*along, s[1]*side+s[3]*along, 15.0
	return Point{Mode: 3, Time: noon.Add(after), Lat: &lat, Lon: &lon, Speed: &speed}
}

// drive adds a fix each step for a time.
func (d *Day) drive(from, to, step time.Duration) {
	for at := from; at < to; at += step {
		d.Add(driven(at))
	}
}

func (d *Day) all() []Point { return slices.Collect(d.Points(time.Time{}, time.Time{})) }

// At the rate of any receiver the last 24 hours are there, as dense as their age allows, in bounded memory.
func TestDayIsThinnedWithAge(t *testing.T) {
	t.Parallel()
	if bytes := cap(NewDay().points) * packedSize; bytes > 650_000 {
		t.Errorf("a day takes %d bytes, want 650,000 at most", bytes)
	}
	const long = 24*time.Hour + 10*time.Minute
	rates := map[time.Duration]time.Duration{time.Second: 0, 40 * time.Millisecond: long - 2*time.Hour} // and since when
	if !testing.Short() {
		rates[100*time.Millisecond] = 0
	}
	for step, since := range rates {
		d := NewDay()
		d.drive(0, since, time.Second)
		d.drive(since, long, step)
		points := d.all()
		newest := points[len(points)-1].Time
		if d.Len() > cap(NewDay().points) {
			t.Errorf("each %v: %d points, want %d at most", step, d.Len(), cap(NewDay().points))
		}
		if age := newest.Sub(points[0].Time); age > 24*time.Hour || age < 24*time.Hour-20*time.Second {
			t.Errorf("each %v: the oldest point is %v old, want 24 h", step, age)
		}
		full := 0
		for i, p := range points[1:] {
			before := points[i]
			age, between := newest.Sub(before.Time), p.Time.Sub(before.Time)
			most := 20 * time.Second // from the beginning of one step of 10 s to the end of the next
			if age < time.Hour {
				most = 4 * time.Second
			}
			if age < 4*time.Minute { // at 25 Hz, fewer than 6000 fixes
				most = step
			}
			if p.joined != joinedOn || between <= 0 || between > most {
				t.Fatalf("each %v: %v after the point before, joined %d, at an age of %v", step, between, p.joined, age)
			}
			if between == step && age < 10*time.Minute {
				full++
			}
		}
		if want := min(6000, int(10*time.Minute/step)) - 1; full < want {
			t.Errorf("each %v: %d of the newest fixes are there, want %d", step, full, want)
		}
		t.Logf("each %v: %d points after a day", step, d.Len())
	}
}

// What was thinned still runs through the corners: no fix of the day is far from the line between the points.
func TestDayKeepsTurns(t *testing.T) {
	t.Parallel()
	d := NewDay()
	d.drive(0, 3*time.Hour, time.Second)
	points, i := d.all(), 0
	farthest := 0.0
	for at := time.Duration(0); at < 90*time.Minute; at += time.Second {
		p := driven(at)
		for i+2 < len(points) && !points[i+1].Time.After(p.Time) {
			i++
		}
		farthest = max(farthest, distance(p, points[i], points[i+1]))
	}
	// At 15 m/s each second a corner lies between two fixes, and the fix nearest to it may be 7.5 m away.
	if farthest > 8 {
		t.Errorf("a fix is %.0f m from the track", farthest)
	}
}

// distance is how far p is from the line through two points, in metres.
func distance(p, a, b Point) float64 {
	const metres = 111_250
	x, y := (*b.Lon-*a.Lon)*metres, (*b.Lat-*a.Lat)*metres
	px, py := (*p.Lon-*a.Lon)*metres, (*p.Lat-*a.Lat)*metres
	length := math.Hypot(x, y)
	if length == 0 {
		return math.Hypot(px, py)
	}
	return math.Abs(x*py-y*px) / length
}

// gpx is the day as a file.
func (d *Day) gpx(t testing.TB, from, to time.Time) string {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, GPX, "van & co")
	for p := range d.Points(from, to) {
		if err := w.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A gap of twenty seconds, and one of a fix without a position, are gaps after a day too, and nothing else is.
func TestDayKeepsGaps(t *testing.T) {
	t.Parallel()
	d := NewDay()
	d.drive(0, time.Hour, time.Second)
	d.drive(time.Hour+20*time.Second, 2*time.Hour, time.Second)
	d.Add(Point{Mode: 1, Time: noon.Add(2 * time.Hour)})
	d.drive(2*time.Hour+time.Second, 23*time.Hour, time.Second)
	var breaks []time.Duration
	for _, p := range d.all() {
		if p.joined == apart {
			breaks = append(breaks, p.Time.Sub(noon).Truncate(time.Minute))
		}
	}
	if diff := cmp.Diff([]time.Duration{0, time.Hour, 2 * time.Hour}, breaks); diff != "" {
		t.Errorf("the track begins at (-want +got):\n%s", diff)
	}
	if n := strings.Count(d.gpx(t, time.Time{}, time.Time{}), "<trkseg>"); n != 3 {
		t.Errorf("%d segments, want 3", n)
	}
}

// The file of a day is that of the fixes themselves.
func TestDayIsWhatWasAdded(t *testing.T) {
	t.Parallel()
	d := NewDay()
	const heights = `,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"uSat":9`
	texts := []string{at(0, 179.25, heights), at(1, 179.5, heights+`,"status":2`), lost(2), at(3, -0.0000001, ""),
		at(5, -180, `,"vdop":1.1,"pdop":1.36,"altHAE":-3.25,"speed":13.89`)}
	for _, text := range texts {
		p, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d.Add(p)
	}
	if diff := cmp.Diff(write(t, GPX, "van & co", texts...), d.gpx(t, time.Time{}, time.Time{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What does not fit, or is not a number, is left out.
	odd := Point{Time: noon.Add(time.Minute), Lat: new(1.0), Lon: new(2.0), AltMSL: new(1e9), Speed: new(math.NaN()), HDOP: new(-1e9), USat: new(1e5)}
	d.Add(odd)
	got := d.all()[4]
	if got.AltMSL != nil || got.Speed != nil || got.HDOP != nil || got.USat != nil || *got.Lat != 1 || *got.Lon != 2 {
		t.Errorf("kept of odd values: %+v", got)
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	d := NewDay()
	d.drive(0, 20*time.Minute, 100*time.Millisecond) // several pages
	const second = time.Second
	for _, c := range []struct {
		from, to    time.Duration
		first, last time.Duration
		n           int
	}{
		{15 * time.Minute, 16 * time.Minute, 15 * time.Minute, 16*time.Minute - second/10, 600},
		{20*time.Minute - second, 0, 20*time.Minute - second, 20*time.Minute - second/10, 10},
		{19*time.Minute + 1, 19*time.Minute + second/10 + 1, 19*time.Minute + second/10, 19*time.Minute + second/10, 1},
		{30 * time.Minute, 0, 0, 0, 0},
	} {
		var to time.Time
		if c.to > 0 {
			to = noon.Add(c.to)
		}
		got := slices.Collect(d.Points(noon.Add(c.from), to))
		if len(got) != c.n || c.n > 0 && (!got[0].Time.Equal(noon.Add(c.first)) || !got[c.n-1].Time.Equal(noon.Add(c.last))) {
			t.Errorf("from %v to %v: %d points, want %d from %v to %v", c.from, c.to, len(got), c.n, c.first, c.last)
		}
	}
	for p := range d.Points(time.Time{}, noon.Add(time.Minute)) {
		if p.Time.After(noon.Add(time.Minute)) {
			t.Fatalf("%v is not before a minute after noon", p.Time)
		}
		break // a reader may stop
	}
	var none *Day
	if none.Len() != 0 || len(none.all()) != 0 {
		t.Error("no day has points")
	}
}

// Times that go back are of another calendar, unless they are only late.
func TestDayOfAnotherCalendar(t *testing.T) {
	t.Parallel()
	d := NewDay()
	d.drive(0, time.Minute, time.Second)
	d.Add(driven(30*time.Second + 1))          // of a second receiver
	d.Add(Point{Lat: new(1.0), Lon: new(1.0)}) // without a time
	d.Add(driven(59 * time.Second))            // again
	if n := d.Len(); n != 60 {
		t.Errorf("%d points, want 60", n)
	}
	d.drive(-time.Hour, -time.Hour+10*time.Second, time.Second)
	if points := d.all(); len(points) != 10 || points[0].joined != apart {
		t.Errorf("%d points after an hour back, want 10", len(points))
	}
	d.drive(30*24*time.Hour, 30*24*time.Hour+5*time.Second, time.Second)
	if points := d.all(); len(points) != 5 {
		t.Errorf("%d points of the last 24 h after a month, want 5", len(points))
	}
}

func TestDayOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "van_7", "track")
	d := NewDay()
	if err := d.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := d.Save(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a day without fixes is written")
	}
	d.drive(0, 12*time.Hour, time.Second)
	if err := d.Save(path); err != nil {
		t.Fatal(err)
	}
	again := NewDay()
	if err := again.Load(path); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.points, again.points) {
		t.Errorf("%d points were saved, %d others loaded", d.Len(), again.Len())
	}
	// Soon after a restart the track goes on, and late it does not.
	again.Add(driven(12*time.Hour + 5*time.Second))
	again.Add(driven(13 * time.Hour))
	points := again.all()
	if n := len(points); points[n-2].joined != joinedOn || points[n-1].joined != apart {
		t.Errorf("after 6 s %d, after an hour %d; want %d and %d", points[n-2].joined, points[n-1].joined, joinedOn, apart)
	}
	// What is older replaces nothing, and what is newer does.
	if err := again.Load(path); err != nil || again.Len() != len(points) {
		t.Errorf("an older file: %v, %d points", err, again.Len())
	}
	other := filepath.Join(filepath.Dir(path), "other")
	if err := errors.Join(again.Save(other), d.Load(other)); err != nil || d.Len() != len(points) {
		t.Errorf("a newer file: %v, %d points, want %d", err, d.Len(), len(points))
	}
}

// A file that is damaged anywhere is not taken.
func TestDamagedDay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "track")
	d := NewDay()
	d.drive(0, 10*time.Second, time.Second)
	if err := d.Save(path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{"empty": nil, "short": whole[:len(whole)-1], "long": append(slices.Clone(whole), 0), "a point less": whole[:len(whole)-packedSize], "huge": make([]byte, 10<<20)}
	for i := 0; i < len(whole); i += 7 {
		text := slices.Clone(whole)
		text[i] ^= 1
		texts[fmt.Sprint("byte ", i)] = text
	}
	for name, text := range texts {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		again := NewDay()
		if err := again.Load(path); !errors.Is(err, errDamaged) || again.Len() != 0 {
			t.Errorf("%s: %v, %d points", name, err, again.Len())
		}
	}
}

func BenchmarkDay(b *testing.B) {
	d, p := NewDay(), driven(0)
	b.ReportAllocs()
	for b.Loop() {
		p.Time = p.Time.Add(100 * time.Millisecond)
		d.Add(p)
	}
}
