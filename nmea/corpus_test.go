package nmea

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// corpusDir returns the folder of recorded logs, and skips the test when there
// is none. GPSBRIDGE_CORPUS names it; where GPSBRIDGE_TEST_REAL is set, the test
// fails instead of skipping.
func corpusDir(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("GPSBRIDGE_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus", "gpsd")
	}
	if logs, _ := filepath.Glob(filepath.Join(dir, "*.log")); len(logs) == 0 {
		if os.Getenv("GPSBRIDGE_TEST_REAL") != "" {
			tb.Fatalf("no recorded logs in %q: set GPSBRIDGE_CORPUS to their folder", dir)
		}
		tb.Skipf("no recorded logs in %q: set GPSBRIDGE_CORPUS to their folder", dir)
	}
	return dir
}

// tpv is a fix as JSON has it.
type tpv struct {
	Mode   int
	Time   string
	Lat    *float64
	Lon    *float64
	AltMSL *float64
	Speed  *float64
	Track  *float64

	at time.Time
}

// readTPV reads fixes, one JSON object a line, and those alone that have a time
// and a position.
func readTPV(t *testing.T, b []byte) []tpv {
	t.Helper()
	var fixes []tpv
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		var f tpv
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatalf("parse %s: %v", lines.Bytes(), err)
		}
		if f.Time == "" || f.Lat == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339, f.Time)
		if err != nil {
			t.Fatal(err)
		}
		f.at = at
		fixes = append(fixes, f)
	}
	return fixes
}

// apart returns the seconds between two times but for week rollovers.
func apart(a, b time.Time) float64 {
	const era = 1024 * 7 * 24 * 3600.0
	return math.Abs(math.Remainder(a.Sub(b).Seconds(), era))
}

// nearest returns the place of the fix of a time, within 0.01 s, or -1.
func nearest(fixes []tpv, at time.Time) int {
	best, place := 0.01+1e-9, -1
	for i, f := range fixes {
		if d := apart(f.at, at); d < best || d == best && place < 0 {
			best, place = d, i
		}
	}
	return place
}

// agreement counts comparisons of one field.
type agreement struct{ same, all int }

func (a *agreement) add(same bool) bool {
	a.all++
	if same {
		a.same++
	}
	return same
}

func (a agreement) percent() float64 {
	if a.all == 0 {
		return 100
	}
	return 100 * float64(a.same) / float64(a.all)
}

// compared are the fields of the comparison, in order.
var compared = []string{"epoch", "position", "altMSL", "speed", "track", "mode"}

// TestCorpus compares with gpsd on every recorded log.
func TestCorpus(t *testing.T) {
	dir := corpusDir(t)
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	total := map[string]*agreement{}
	for _, k := range compared {
		total[k] = &agreement{}
	}
	var diffs []string
	for _, log := range logs {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := Decode(t.Context(), &out, bytes.NewReader(raw), DecodeOptions{}); err != nil {
			t.Errorf("decode %s: %v", log, err)
		}
		name := strings.TrimSuffix(filepath.Base(log), ".log")
		want, err := os.ReadFile(strings.TrimSuffix(log, ".log") + ".tpv.jsonl")
		if err != nil {
			continue // gpsd has no fix
		}
		diffs = append(diffs, compareLog(name, readTPV(t, out.Bytes()), readTPV(t, want), total)...)
	}
	for _, d := range diffs {
		t.Log(d)
	}
	for _, k := range compared {
		t.Logf("%-8s %5d of %5d same, %.2f %%", k, total[k].same, total[k].all, total[k].percent())
	}
}

// compareLog compares the fixes of one log and returns the differences.
func compareLog(name string, got, want []tpv, total map[string]*agreement) []string {
	var diffs []string
	for _, w := range want {
		i := nearest(got, w.at)
		if i < 0 {
			total["epoch"].add(false)
			diffs = append(diffs, fmt.Sprintf("%s %s epoch missing", name, w.Time))
			continue
		}
		total["epoch"].add(true)
		g := got[i]
		diff := func(field string, same bool, gv, wv string) {
			if !total[field].add(same) {
				diffs = append(diffs, fmt.Sprintf("%s %s %s %s, gpsd %s", name, w.Time, field, gv, wv))
			}
		}
		diff("position", within(g.Lat, w.Lat, 2e-7) && within(g.Lon, w.Lon, 2e-7), show(g.Lat)+" "+show(g.Lon), show(w.Lat)+" "+show(w.Lon))
		if w.AltMSL != nil {
			diff("altMSL", within(g.AltMSL, w.AltMSL, 0.06), show(g.AltMSL), show(w.AltMSL))
		}
		if w.Speed != nil {
			diff("speed", within(g.Speed, w.Speed, 0.06), show(g.Speed), show(w.Speed))
		}
		if w.Track != nil {
			diff("track", g.Track != nil && math.Abs(math.Remainder(*g.Track-*w.Track, 360)) <= 0.06, show(g.Track), show(w.Track))
		}
		diff("mode", g.Mode == w.Mode, fmt.Sprint(g.Mode), fmt.Sprint(w.Mode))
	}
	return diffs
}

func within(a, b *float64, d float64) bool {
	return a != nil && b != nil && math.Abs(*a-*b) <= d+1e-12
}

func show(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}
