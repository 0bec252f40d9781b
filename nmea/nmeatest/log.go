package nmeatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gpsbridge/nmea"
)

// Logs returns the recorded logs in the directory that TEST_GPSBRIDGE_CORPUS names, or in shared/corpus/gpsd beside the
// project, and skips the test when there are none; where TEST_GPSBRIDGE_REAL is set it fails instead, unless the name is "absent".
func Logs(tb testing.TB) []string {
	tb.Helper()
	dir := os.Getenv("TEST_GPSBRIDGE_CORPUS")
	for root := ".."; dir == "" && len(root) < len("../../../../.."); root = filepath.Join("..", root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			dir = filepath.Join(root, "..", "shared", "corpus", "gpsd")
		}
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	if len(logs) > 0 {
		return logs
	}
	if os.Getenv("TEST_GPSBRIDGE_REAL") != "" && dir != "absent" {
		tb.Fatalf("no recorded logs in %q: set TEST_GPSBRIDGE_CORPUS to their directory", dir)
	}
	tb.Skipf("no recorded logs in %q: set TEST_GPSBRIDGE_CORPUS to their directory", dir)
	return nil
}

// logSentence is a sentence of a recorded log, read without the package's parsers.
type logSentence struct {
	typ    string
	fields []string
	tod    float64 // -1 without a time
}

// readLog returns the sentences of a log whose checksums are right, with their times of day.
func readLog(raw []byte) (sentences []logSentence) {
	clocks := map[string]int{"RMC": 0, "GGA": 0, "GNS": 0, "ZDA": 0, "GST": 0, "GBS": 0, "GLL": 4}
	for rest := raw; ; {
		i := bytes.IndexByte(rest, '$')
		if i < 0 {
			return sentences
		}
		rest = rest[i+1:]
		star := bytes.IndexByte(rest, '*')
		if star < 0 || star+3 > len(rest) || bytes.IndexByte(rest[:star], '$') >= 0 || bytes.IndexByte(rest[:star], '\n') >= 0 {
			continue
		}
		var sum byte
		for _, c := range rest[:star] {
			sum ^= c
		}
		if want, err := strconv.ParseUint(string(rest[star+1:star+3]), 16, 8); err != nil || byte(want) != sum {
			continue
		}
		fields := strings.Split(string(rest[:star]), ",")
		s := logSentence{typ: fields[0], fields: fields[1:], tod: -1}
		if len(s.typ) == 5 && s.typ[0] != 'P' {
			s.typ = s.typ[2:]
		}
		clock, timed := clocks[s.typ]
		if s.typ == "PUBX" && s.number(0) == 0 {
			clock, timed = 1, true
		}
		if timed {
			if v := s.number(clock); !math.IsNaN(v) {
				s.tod = math.Floor(v/10000)*3600 + math.Mod(math.Floor(v/100), 100)*60 + math.Mod(v, 100)
			}
		}
		sentences = append(sentences, s)
	}
}

// number returns a field as a number, NaN when it is none.
func (s logSentence) number(i int) float64 {
	if i >= len(s.fields) {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(s.fields[i]), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// states returns the values that a sentence states, by the names in a message.
func (s logSentence) states() map[string]float64 {
	const knot = 1852.0 / 3600
	switch s.typ {
	case "RMC":
		return map[string]float64{"speed": s.number(6) * knot, "track": s.number(7)}
	case "VTG":
		if len(s.fields) < 8 && s.fields[1] != "T" {
			return map[string]float64{"speed": s.number(2) * knot, "track": s.number(0)}
		}
		return map[string]float64{"speed": s.number(4) * knot, "speed in km/h": s.number(6) / 3.6, "track": s.number(0)}
	case "GGA":
		return map[string]float64{"altMSL": s.number(8), "hdop": s.number(7), "uSat": s.number(6), "geoidSep": s.number(10)}
	case "GNS":
		return map[string]float64{"altMSL": s.number(8), "hdop": s.number(7), "uSat": s.number(6), "geoidSep": s.number(9)}
	case "GSA":
		slots := 12
		if len(s.fields) >= 29 {
			slots = 24
		}
		return map[string]float64{"pdop": s.number(slots + 2), "hdop": s.number(slots + 3), "vdop": s.number(slots + 4)}
	case "PUBX":
		return map[string]float64{"speed": s.number(10) / 3.6, "track": s.number(11), "hdop": s.number(14), "vdop": s.number(15), "uSat": s.number(17)}
	case "PGRMZ":
		return map[string]float64{"altMSL": s.number(0) * 0.3048}
	case "HDT", "THS":
		return map[string]float64{"heading": s.number(0)}
	}
	return nil
}

// defensible returns, by name, what the sentences of the epoch of a time of day state, and the companions around it: those
// between its sentences, and between them and the nearest with another time. What a sentence with a time states goes before
// what a companion does.
func defensible(sentences []logSentence, tod float64) map[string][]float64 {
	timed, companions := map[string][]float64{}, map[string][]float64{}
	within := func(s logSentence) bool {
		d := math.Abs(s.tod - tod)
		return d < 0.0101 || math.Mod(s.tod, 1) != 0 && int(s.tod) == int(tod) && d < 1 // see shortened
	}
	collect := func(to map[string][]float64, s logSentence) {
		for name, v := range s.states() {
			if name = strings.TrimSuffix(name, " in km/h"); !math.IsNaN(v) {
				to[name] = append(to[name], v)
			}
		}
	}
	for i, s := range sentences {
		if s.tod < 0 || !within(s) {
			continue
		}
		collect(timed, s)
		for j := i - 1; j >= 0 && sentences[j].tod < 0; j-- {
			collect(companions, sentences[j])
		}
		for j := i + 1; j < len(sentences) && sentences[j].tod < 0; j++ {
			collect(companions, sentences[j])
		}
	}
	for name, v := range companions {
		if name != "speed" && name != "track" || timed[name] == nil {
			timed[name] = append(timed[name], v...)
		}
	}
	return timed
}

// JudgeLogs judges what fixesOf makes of every recorded log.
func JudgeLogs(t *testing.T, fixesOf func(log string, raw []byte) []nmea.Fix) {
	t.Helper()
	fixes, values := 0, 0
	logs := Logs(t)
	for _, log := range logs {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		f, v, wrong := judgeLog(raw, fixesOf(log, raw))
		fixes, values = fixes+f, values+v
		for _, w := range wrong {
			t.Errorf("%s: %s", filepath.Base(log), w)
		}
	}
	t.Logf("%d values of %d fixes of %d logs are stated", values, fixes, len(logs))
}

// judgeLog judges the fixes of a recorded log: each value must be one that a sentence of its epoch states. It returns how many
// fixes and values it looked at.
func judgeLog(raw []byte, decoded []nmea.Fix) (fixes, values int, wrong []string) {
	const tolerance = 0.006
	sentences := readLog(raw)
	for i := range decoded {
		f := &decoded[i]
		if f.Time.IsZero() || f.Mode < nmea.Mode2D {
			continue
		}
		fixes++
		states := defensible(sentences, f.Time.Sub(f.Time.Truncate(24*time.Hour)).Seconds())
		for _, c := range []struct {
			name string
			v    nmea.Value
		}{
			{"speed", f.Speed}, {"track", f.Track}, {"altMSL", f.AltMSL}, {"geoidSep", f.GeoidSep},
			{"hdop", f.HDOP}, {"vdop", f.VDOP}, {"pdop", f.PDOP}, {"heading", f.Heading},
		} {
			if !c.v.Set {
				continue
			}
			values++
			near := func(v float64) bool { return math.Abs(math.Remainder(v-c.v.V, 360)) <= tolerance }
			if !slices.ContainsFunc(states[c.name], near) {
				wrong = append(wrong, fmt.Sprintf("%v: %s is %.3f, and the epoch states %v", f.Time, c.name, c.v.V, states[c.name]))
			}
		}
	}
	return fixes, values, wrong
}

// ReadFixes reads fixes as JSON has them, one object a line, and passes over satellites. A leap second has no time.
func ReadFixes(lines []byte) (fixes []nmea.Fix, err error) {
	for line := range bytes.Lines(lines) {
		var m struct {
			Class                                                            string
			Mode                                                             nmea.Mode
			Status                                                           nmea.Status
			Time                                                             string
			Lat, Lon, AltMSL, AltHAE, GeoidSep, Speed, Track, Heading, Climb *float64
			HDOP, VDOP, PDOP, Eph, Epv, USat, NSat                           *float64
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, fmt.Errorf("read %s: %w", line, err)
		}
		if m.Class == "SKY" {
			continue
		}
		f := nmea.Fix{Mode: m.Mode, Status: m.Status}
		f.Time, _ = time.Parse(time.RFC3339, m.Time)
		for v, p := range map[*nmea.Value]*float64{
			&f.Lat: m.Lat, &f.Lon: m.Lon, &f.AltMSL: m.AltMSL, &f.AltHAE: m.AltHAE, &f.GeoidSep: m.GeoidSep, &f.Speed: m.Speed,
			&f.Track: m.Track, &f.Heading: m.Heading, &f.Climb: m.Climb, &f.HDOP: m.HDOP, &f.VDOP: m.VDOP, &f.PDOP: m.PDOP,
			&f.Eph: m.Eph, &f.Epv: m.Epv, &f.USat: m.USat, &f.NSat: m.NSat,
		} {
			if p != nil {
				*v = nmea.Value{V: *p, Set: true}
			}
		}
		fixes = append(fixes, f)
	}
	return fixes, nil
}
