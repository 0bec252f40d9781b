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

// corpusDir returns the directory of recorded logs, and skips the test when there
// is none. TEST_GPSBRIDGE_CORPUS names it; where TEST_GPSBRIDGE_REAL is set, the
// test fails instead of skipping, unless the name is "absent".
func corpusDir(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("TEST_GPSBRIDGE_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus", "gpsd")
	}
	if logs, _ := filepath.Glob(filepath.Join(dir, "*.log")); len(logs) == 0 {
		if os.Getenv("TEST_GPSBRIDGE_REAL") != "" && dir != "absent" {
			tb.Fatalf("no recorded logs in %q: set TEST_GPSBRIDGE_CORPUS to their directory", dir)
		}
		tb.Skipf("no recorded logs in %q: set TEST_GPSBRIDGE_CORPUS to their directory", dir)
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

// compared are the fields of the comparison, in order.
var compared = []string{"epoch", "position", "altMSL", "speed", "track", "mode"}

// explained lists the differences from gpsd that stay, each with what the
// sentences of the log show.
var explained = []struct {
	log, field string
	n          int // epochs
	reason     string
}{
	{"ericsson-gru04-02-70sec", "position", 2,
		"gpsd takes PERC,GPavp, the receiver's survey average once a minute, for the position; GNS and GLL say another"},
	{"garmin25lp", "mode", 1,
		"the first fix: GGA states the altitude that gpsd reports, but gpsd's mode follows one epoch later"},
	{"sl869", "mode", 1,
		"the first fix: GGA states the altitude that gpsd reports, but gpsd's mode follows one epoch later"},
	{"iTrek", "mode", 1,
		"RMC alone, and the GSA before it states 2; gpsd keeps the 3 of an earlier epoch"},
	{"garmin38", "altMSL", 3,
		"gpsd replaces GGA's altitude by PGRMZ's, which is rounded to feet"},
	{"rst39", "speed", 36,
		"GGA alone at 10 Hz; gpsd derives a speed from two positions"},
	{"mr-350p", "speed", 12,
		"GGA, GSA and ZDA alone; gpsd derives a speed from two positions"},
	{"tr737A+", "speed", 1,
		"the log ends before the RMC; gpsd derives a speed from two positions"},
	{"triton400", "speed", 1,
		"GGA is torn and RMC is lost; gpsd derives a speed from two positions"},
}

// TestCorpus compares with gpsd on every recorded log. Every epoch must be
// there; of each field 99.5 % must agree, the explained differences apart, and
// of the positions 98 % with them.
func TestCorpus(t *testing.T) {
	dir := corpusDir(t)
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	total := map[string]*agreement{}
	for _, k := range compared {
		total[k] = &agreement{}
	}
	for _, log := range logs {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := Decode(t.Context(), &out, bytes.NewReader(raw), DecodeOptions{}); err != nil {
			t.Errorf("decode %s: %v", log, err)
		}
		checkOnce(t, log, readTPV(t, out.Bytes()))
		want, err := os.ReadFile(strings.TrimSuffix(log, ".log") + ".tpv.jsonl")
		if err != nil {
			continue // gpsd has no fix
		}
		name := strings.TrimSuffix(filepath.Base(log), ".log")
		diffs := compareLog(readTPV(t, out.Bytes()), readTPV(t, want), total)
		explain(t, name, diffs, total)
	}
	for _, k := range compared {
		a := total[k]
		t.Logf("%-8s %4d of %4d same, %d explained, %.2f %%", k, a.same, a.all, a.explained, a.percent())
		if a.percent() < 99.5 {
			t.Errorf("%s: %.2f %% agree with gpsd, want 99.5", k, a.percent())
		}
	}
	if p := total["position"]; float64(p.same) < 0.98*float64(total["epoch"].all) {
		t.Errorf("%d of %d epochs have gpsd's position, want 98 %%", p.same, total["epoch"].all)
	}
}

// checkOnce fails when a log has two fixes of one time.
func checkOnce(t *testing.T, log string, fixes []tpv) {
	t.Helper()
	seen := map[time.Time]bool{}
	for _, f := range fixes {
		if seen[f.at] {
			t.Errorf("%s: two fixes of %v", log, f.at)
		}
		seen[f.at] = true
	}
}

// explain takes the explained differences out and logs the others.
func explain(t *testing.T, log string, diffs map[string][]string, total map[string]*agreement) {
	t.Helper()
	for field, lines := range diffs {
		for _, e := range explained {
			if e.log != log || e.field != field {
				continue
			}
			if len(lines) > e.n {
				t.Errorf("%s: %d differences in %s, %d are explained", log, len(lines), field, e.n)
			}
			total[field].explained += len(lines)
			lines = nil
		}
		for _, l := range lines {
			t.Logf("%s %s: %s", log, field, l)
		}
	}
}

// agreement counts comparisons of one field.
type agreement struct{ same, explained, all int }

func (a agreement) percent() float64 {
	if a.all == 0 {
		return 100
	}
	return 100 * float64(a.same+a.explained) / float64(a.all)
}

// compareLog compares the fixes of one log and returns the differences by field.
func compareLog(got, want []tpv, total map[string]*agreement) map[string][]string {
	diffs := map[string][]string{}
	note := func(w tpv, field string, same bool, text string) {
		total[field].all++
		if same {
			total[field].same++
			return
		}
		diffs[field] = append(diffs[field], w.Time+" "+text)
	}
	for _, w := range want {
		i := nearest(got, w.at)
		note(w, "epoch", i >= 0, "missing")
		if i < 0 {
			continue
		}
		g := got[i]
		note(w, "position", within(g.Lat, w.Lat, 2e-7) && within(g.Lon, w.Lon, 2e-7), differ(g.Lat, w.Lat)+" "+differ(g.Lon, w.Lon))
		note(w, "mode", g.Mode == w.Mode, fmt.Sprintf("%d, gpsd %d", g.Mode, w.Mode))
		if w.AltMSL != nil {
			note(w, "altMSL", within(g.AltMSL, w.AltMSL, 0.06), differ(g.AltMSL, w.AltMSL))
		}
		if w.Speed != nil {
			note(w, "speed", within(g.Speed, w.Speed, 0.06), differ(g.Speed, w.Speed))
		}
		if w.Track != nil {
			same := g.Track != nil && math.Abs(math.Remainder(*g.Track-*w.Track, 360)) <= 0.06
			note(w, "track", same, differ(g.Track, w.Track))
		}
	}
	return diffs
}

func within(a, b *float64, d float64) bool {
	return a != nil && b != nil && math.Abs(*a-*b) <= d+1e-12
}

// differ shows two values, where nil is absent.
func differ(got, gpsd *float64) string {
	show := func(v *float64) string {
		if v == nil {
			return "absent"
		}
		return fmt.Sprint(*v)
	}
	return show(got) + ", gpsd " + show(gpsd)
}
