package nmea_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gpsbridge/nmea"
	"gpsbridge/nmea/nmeatest"
)

// readFixes reads fixes, one JSON object a line, and returns those that have a time and a position.
func readFixes(t *testing.T, b []byte) []nmea.Fix {
	t.Helper()
	fixes, err := nmeatest.ReadFixes(b)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(fixes, func(f nmea.Fix) bool { return f.Time.IsZero() || !f.Lat.Set })
}

// apart returns the seconds between two times but for week rollovers.
func apart(a, b time.Time) float64 {
	const era = 1024 * 7 * 24 * 3600.0
	return math.Abs(math.Remainder(a.Sub(b).Seconds(), era))
}

// nearest returns the place of the fix of a time, within 0.01 s, or -1.
func nearest(fixes []nmea.Fix, at time.Time) int {
	best, place := 0.01+1e-9, -1
	for i, f := range fixes {
		if d := apart(f.Time, at); d < best || d == best && place < 0 {
			best, place = d, i
		}
	}
	return place
}

// compared are the fields of the comparison, in order.
var compared = []string{"epoch", "position", "altMSL", "speed", "track", "mode"}

// explained lists the differences from gpsd that stay, each with what the sentences of the log show.
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

// TestCorpus compares with gpsd on every recorded log. Every epoch must be there; of each field 99.5 % must agree, the
// explained differences apart, and of the positions 98 % with them.
func TestCorpus(t *testing.T) {
	logs := nmeatest.Logs(t)
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
		if _, err := nmea.Decode(t.Context(), &out, bytes.NewReader(raw), nmea.DecodeOptions{}); err != nil {
			t.Errorf("decode %s: %v", log, err)
		}
		checkOnce(t, log, readFixes(t, out.Bytes()))
		want, err := os.ReadFile(strings.TrimSuffix(log, ".log") + ".tpv.jsonl")
		if err != nil {
			continue // gpsd has no fix
		}
		name := strings.TrimSuffix(filepath.Base(log), ".log")
		diffs := compareLog(readFixes(t, out.Bytes()), readFixes(t, want), total)
		explain(t, name, diffs, total)
	}
	for _, k := range compared {
		a := total[k]
		t.Logf("%-8s %4d of %4d same, %d explained, %.2f %%", k, a.same, a.all, a.explained, a.percent())
		if a.percent() < 99.5 {
			t.Errorf("%s: %.2f %% agree with gpsd, want 99.5", k, a.percent())
		}
	}
	if total["epoch"].all == 0 {
		t.Error("nothing was compared: no log has an answer of gpsd beside it")
	}
	if p := total["position"]; float64(p.same) < 0.98*float64(total["epoch"].all) {
		t.Errorf("%d of %d epochs have gpsd's position, want 98 %%", p.same, total["epoch"].all)
	}
}

// checkOnce fails when a log has two fixes of one time.
func checkOnce(t *testing.T, log string, fixes []nmea.Fix) {
	t.Helper()
	seen := map[time.Time]bool{}
	for _, f := range fixes {
		if seen[f.Time] {
			t.Errorf("%s: two fixes of %v", log, f.Time)
		}
		seen[f.Time] = true
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
func compareLog(got, want []nmea.Fix, total map[string]*agreement) map[string][]string {
	diffs := map[string][]string{}
	note := func(w nmea.Fix, field string, same bool, text string) {
		total[field].all++
		if same {
			total[field].same++
			return
		}
		diffs[field] = append(diffs[field], w.Time.Format(time.RFC3339Nano)+" "+text)
	}
	for _, w := range want {
		i := nearest(got, w.Time)
		note(w, "epoch", i >= 0, "missing")
		if i < 0 {
			continue
		}
		g := got[i]
		note(w, "position", within(g.Lat, w.Lat, 2e-7) && within(g.Lon, w.Lon, 2e-7), differ(g.Lat, w.Lat)+" "+differ(g.Lon, w.Lon))
		note(w, "mode", g.Mode == w.Mode, fmt.Sprintf("%d, gpsd %d", g.Mode, w.Mode))
		if w.AltMSL.Set {
			note(w, "altMSL", within(g.AltMSL, w.AltMSL, 0.06), differ(g.AltMSL, w.AltMSL))
		}
		if w.Speed.Set {
			note(w, "speed", within(g.Speed, w.Speed, 0.06), differ(g.Speed, w.Speed))
		}
		if w.Track.Set {
			same := g.Track.Set && math.Abs(math.Remainder(g.Track.V-w.Track.V, 360)) <= 0.06
			note(w, "track", same, differ(g.Track, w.Track))
		}
	}
	return diffs
}

func within(a, b nmea.Value, d float64) bool {
	return a.Set && b.Set && math.Abs(a.V-b.V) <= d+1e-12
}

// differ shows two values.
func differ(got, gpsd nmea.Value) string {
	show := func(v nmea.Value) string {
		if !v.Set {
			return "absent"
		}
		return fmt.Sprint(v.V)
	}
	return show(got) + ", gpsd " + show(gpsd)
}
