package nmea

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests of this file judge fixes by the sentences of their epoch alone. They know nothing of the Assembler but what a
// caller knows, and nothing of gpsd.

// instant is what a made-up receiver measures at one epoch. No two neighbours have anything in common.
type instant struct {
	n     int
	tod   float64 // seconds
	lat   float64 // minutes north of 51 degrees
	lon   float64 // minutes west of 0 degrees
	knots float64
	track float64
	alt   float64
	dops  [3]float64 // PDOP, HDOP, VDOP
	used  int
	seen  int
	dim   int
	sigma float64
}

func measure(n int, hz float64) instant {
	i, f := n%7, float64(n)
	step := float64(i) / 10
	return instant{
		n: n, tod: 36000 + f/hz, lat: 30 + f/1000, lon: 7 - f/1000, knots: 20 + 0.5*f, track: math.Mod(84+3*f, 360), alt: 11.2 + 0.4*f,
		dops: [3]float64{1.3 + step, 0.8 + step, 1.1 + step}, used: 5 + i, seen: 9 + n%3, dim: 3 - (n%5)/4, sigma: 1 + step,
	}
}

// sentence is what the receiver sends of the instant.
func (m instant) sentence(kind string) string {
	at := clock(m.tod)
	place := fmt.Sprintf("51%08.5f,N,000%08.5f,W", m.lat, m.lon)
	switch kind {
	case "RMC":
		return fmt.Sprintf("GNRMC,%s,A,%s,%.2f,%.2f,231126,,,A,V", at, place, m.knots, m.track)
	case "GGA":
		return fmt.Sprintf("GNGGA,%s,%s,1,%02d,%.1f,%.1f,M,46.7,M,,", at, place, m.used, m.dops[1], m.alt)
	case "GLL":
		return fmt.Sprintf("GNGLL,%s,%s,A,A", place, at)
	case "VTG":
		return fmt.Sprintf("GNVTG,%.2f,T,,M,%.2f,N,%.2f,K,A", m.track, m.knots, m.knots*1.852)
	case "GSA":
		satellites := strings.Repeat(",", 12)
		for i := range m.used {
			satellites = strings.Replace(satellites, ",", fmt.Sprintf(";%02d", i+1), 1)
		}
		return fmt.Sprintf("GNGSA,A,%d%s,%.1f,%.1f,%.1f", m.dim, strings.ReplaceAll(satellites, ";", ","), m.dops[0], m.dops[1], m.dops[2])
	case "GSV":
		var b strings.Builder
		for i := range m.seen {
			if i%4 == 0 {
				if i > 0 {
					b.WriteString("\n")
				}
				fmt.Fprintf(&b, "GPGSV,%d,%d,%02d", (m.seen+3)/4, i/4+1, m.seen)
			}
			fmt.Fprintf(&b, ",%02d,40,083,46", i+1)
		}
		return b.String()
	case "ZDA":
		return fmt.Sprintf("GNZDA,%s,23,11,2026,00,00", at)
	case "GST":
		return fmt.Sprintf("GNGST,%s,1.2,,,,%.1f,%.1f,%.1f", at, m.sigma, m.sigma, m.sigma)
	}
	panic(kind)
}

// written are the sentences of an instant, by kind, as a receiver writes them.
func written(n int, hz float64) map[string][][]byte {
	w := map[string][][]byte{}
	for _, kind := range []string{"RMC", "GGA", "GLL", "VTG", "GSA", "GSV", "ZDA", "GST"} {
		for text := range strings.SplitSeq(measure(n, hz).sentence(kind), "\n") {
			w[kind] = append(w[kind], []byte("$"+text+"*00")) // the Scanner checks, not the Assembler
		}
	}
	return w
}

// shelf keeps what was written before: the tests drive the same epochs thousands of times.
var shelf = map[float64][]map[string][][]byte{}

func fromShelf(n int, hz float64) map[string][][]byte {
	for len(shelf[hz]) <= n {
		shelf[hz] = append(shelf[hz], written(len(shelf[hz]), hz))
	}
	return shelf[hz][n]
}

// timedKind reports whether a sentence has a time.
func timedKind(kind string) bool { return kind != "VTG" && kind != "GSA" && kind != "GSV" }

// trip is a stream of epochs and what is known about it.
type trip struct {
	order  []string
	hz     float64
	pauses bool    // between epochs
	skip   int     // sentences of the first epoch that were not heard
	loss   float64 // of a sentence
	seed   uint64
	epochs int

	heard []map[string]bool // by epoch
}

func (tr *trip) String() string {
	return fmt.Sprintf("%s, %g Hz, pauses %t, begins with sentence %d, loss %g, seed %d", strings.Join(tr.order, " "), tr.hz, tr.pauses, tr.skip, tr.loss, tr.seed)
}

// drive gives the trip to an Assembler and returns its fixes.
func (tr *trip) drive() []Fix {
	r := &recorder{}
	a := NewAssembler(r, Options{})
	dice := rand.New(rand.NewPCG(tr.seed, 5))
	for n := range tr.epochs {
		sentences, heard := fromShelf(n, tr.hz), map[string]bool{}
		for i, kind := range tr.order {
			if n == 0 && i < tr.skip || dice.Float64() < tr.loss {
				continue
			}
			heard[kind] = true
			for _, text := range sentences[kind] {
				a.Push(text)
			}
		}
		tr.heard = append(tr.heard, heard)
		if tr.pauses {
			a.Flush()
		}
	}
	a.Flush()
	return r.fixes
}

// judge returns what is wrong with the fixes.
func (tr *trip) judge(fixes []Fix) (wrong []string) {
	say := func(n int, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("epoch %d: ", n)+fmt.Sprintf(format, args...))
	}
	seen := make([]int, tr.epochs)
	for i := range fixes {
		f := &fixes[i]
		n := int(math.Round(((f.Lat.V-51)*60 - 30) * 1000))
		if !f.Lat.Set || n < 0 || n >= tr.epochs {
			say(-1, "a fix of no epoch: %+v", f)
			continue
		}
		seen[n]++
		tr.judgeFix(n, f, func(format string, args ...any) { say(n, format, args...) })
	}
	for n, heard := range tr.heard {
		want := 0
		if heard["RMC"] || heard["GGA"] || heard["GLL"] {
			want = 1
		}
		if seen[n] != want {
			say(n, "%d fixes, want %d", seen[n], want)
		}
	}
	return wrong
}

// judgeFix judges the fix of an epoch: what it has must be stated by a sentence of the epoch that was heard, or be carried from
// one before as the package's documentation says.
func (tr *trip) judgeFix(n int, f *Fix, say func(string, ...any)) {
	m, heard := measure(n, tr.hz), tr.heard[n]
	if !f.Time.IsZero() && math.Abs(f.Time.Sub(f.Time.Truncate(24*time.Hour)).Seconds()-m.tod) > 0.002 {
		say("time %v", f.Time)
	}
	// Between pauses nothing shows of which epoch a sentence without a time is when all with a time of its epoch were lost.
	orphan := !tr.pauses && (tr.unheard(n-1) || tr.unheard(n+1))
	check := func(name string, v Value, stated bool, want, tolerance float64) {
		if orphan {
			return
		}
		if v.Set && !stated {
			say("%s is %.3f, and no sentence states it", name, v.V)
		} else if v.Set && math.Abs(v.V-want) > tolerance {
			say("%s is %.3f, want %.3f", name, v.V, want)
		}
	}
	moving := heard["RMC"] || heard["VTG"]
	check("speed", f.Speed, moving, m.knots*1852/3600, 0.01)
	check("track", f.Track, moving, m.track, 0.01)
	check("altMSL", f.AltMSL, heard["GGA"], m.alt, 0.01)
	check("geoidSep", f.GeoidSep, heard["GGA"], 46.7, 0.01)
	check("altHAE", f.AltHAE, heard["GGA"], m.alt+46.7, 0.01)
	check("uSat", f.USat, heard["GGA"] || heard["GSA"], float64(m.used), 0)
	check("hdop", f.HDOP, heard["GGA"] || heard["GSA"], m.dops[1], 0.01)
	check("vdop", f.VDOP, heard["GSA"], m.dops[2], 0.01)
	check("pdop", f.PDOP, heard["GSA"], m.dops[0], 0.01)
	tr.judgeCarried(n, f, say)
	if n >= 10 {
		tr.judgePresence(n, f, say)
	}
}

// unheard reports whether no sentence with a time was heard of an epoch.
func (tr *trip) unheard(n int) bool {
	return n >= 0 && n < len(tr.heard) && !slices.ContainsFunc(tr.order, func(k string) bool { return timedKind(k) && tr.heard[n][k] })
}

// judgeCarried judges what may come from an epoch before.
func (tr *trip) judgeCarried(n int, f *Fix, say func(string, ...any)) {
	among := func(name string, v Value, back float64, of func(m instant) float64) {
		if !v.Set {
			return
		}
		for k := n; k >= 0 && float64(n-k)/tr.hz <= back; k-- {
			if math.Abs(v.V-of(measure(k, tr.hz))) < 0.011 {
				return
			}
		}
		say("%s %.3f is of no epoch of the last %g s", name, v.V, back)
	}
	among("nSat", f.NSat, 10, func(m instant) float64 { return float64(m.seen) })
	if slices.Contains(tr.order, "GST") {
		h, v := among, among
		if n == 0 || tr.loss > 0 || tr.skip > 0 { // none was heard: an error by the DOP
			h = func(string, Value, float64, func(instant) float64) {}
			v = h
		}
		h("eph", f.Eph, 2.5, func(m instant) float64 { return 2 * math.Sqrt2 * m.sigma })
		v("epv", f.Epv, 2.5, func(m instant) float64 { return 2 * m.sigma })
	} else {
		if f.Eph.Set && math.Abs(f.Eph.V-f.HDOP.V*19) > 0.01 {
			say("eph %.3f", f.Eph.V)
		}
		if f.Epv.Set && math.Abs(f.Epv.V-f.VDOP.V*23) > 0.01 {
			say("epv %.3f", f.Epv.V)
		}
	}
	if f.Climb.Set && math.Abs(f.Climb.V-0.4*tr.hz) > 0.06*tr.hz {
		say("climb %.3f", f.Climb.V)
	}
	if f.AltMSL.Set != (f.Mode == Mode3D) && f.AltMSL.Set {
		say("mode %v with an altitude", f.Mode)
	}
	if f.Mode == Mode3D && !f.AltMSL.Set {
		among("mode", some(float64(f.Mode)), 10, func(m instant) float64 { return float64(m.dim) })
	}
}

// judgePresence judges that nothing is missing of what was heard, once the receiver is known.
func (tr *trip) judgePresence(n int, f *Fix, say func(string, ...any)) {
	heard := tr.heard[n]
	at := func(kind string) int { return slices.Index(tr.order, kind) }
	// A sentence without a time is of this epoch for certain when it stands between two with a time, and when pauses show it.
	first := slices.IndexFunc(tr.order, func(k string) bool { return timedKind(k) && heard[k] })
	last := len(tr.order) - 1
	for last >= 0 && !(timedKind(tr.order[last]) && heard[tr.order[last]]) {
		last--
	}
	certain := func(kind string) bool {
		return heard[kind] && (tr.pauses || at(kind) > first && at(kind) < last)
	}
	has := func(name string, stated bool, v Value) {
		if stated && !v.Set {
			say("%s is missing", name)
		}
	}
	has("speed", heard["RMC"] || certain("VTG"), f.Speed)
	has("track", heard["RMC"] || certain("VTG"), f.Track)
	has("altMSL", heard["GGA"], f.AltMSL)
	has("hdop", heard["GGA"] || certain("GSA"), f.HDOP)
	fits := heard["GSA"] && heard["GGA"] && tr.loss == 0 // their HDOP shows which belong together
	has("vdop", certain("GSA") || fits, f.VDOP)
	has("pdop", certain("GSA") || fits, f.PDOP)
	has("uSat", heard["GGA"] || certain("GSA"), f.USat)
	has("nSat", at("GSV") >= 0 && tr.loss == 0, f.NSat)
	if (at("RMC") >= 0 || at("ZDA") >= 0) && f.Time.IsZero() {
		say("time is missing")
	}
}

// orders calls yield with every order of two to most of the sentences that has a position.
func orders(most int, yield func(order []string)) {
	kinds := []string{"RMC", "GGA", "GLL", "VTG", "GSA", "GSV", "ZDA", "GST"}
	var extend func(order []string)
	extend = func(order []string) {
		if len(order) >= 2 && slices.ContainsFunc(order, func(k string) bool { return k == "RMC" || k == "GGA" || k == "GLL" }) {
			yield(slices.Clone(order))
		}
		if len(order) == most {
			return
		}
		for _, k := range kinds {
			if !slices.Contains(order, k) {
				extend(append(order, k))
			}
		}
	}
	extend(nil)
}

// TestEveryOrder judges every order of two to five sentences at 1 to 25 Hz, with pauses between the epochs, as a daemon sees
// them, and without, as in a file; three in a short run. No value may be another epoch's, and there is one fix an epoch.
func TestEveryOrder(t *testing.T) {
	most := 5
	if testing.Short() {
		most = 3
	}
	streams, bad := 0, 0
	judge := func(tr *trip) {
		streams++
		if wrong := tr.judge(tr.drive()); len(wrong) > 0 {
			if bad++; bad <= 20 {
				t.Errorf("%v: %d faults: %s", tr, len(wrong), strings.Join(wrong[:min(3, len(wrong))], "; "))
			}
		}
	}
	orders(most, func(order []string) {
		for _, hz := range []float64{1, 5, 10, 25} {
			for _, pauses := range []bool{false, true} {
				judge(&trip{order: order, hz: hz, pauses: pauses, epochs: 14})
			}
		}
		if len(order) <= 4 { // a reader that begins in the middle of an epoch
			for skip := 1; skip < len(order); skip++ {
				judge(&trip{order: order, hz: 1, skip: skip, epochs: 14})
				judge(&trip{order: order, hz: 1, skip: skip, epochs: 14, pauses: true})
			}
		}
	})
	t.Logf("%d of %d streams are wrong", bad, streams)
}

// TestLosses judges drives on which sentences are lost, among them two in a row, in a pattern that looks like a rhythm: a fix
// has what was heard of its epoch.
func TestLosses(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 1
	}
	for _, order := range []string{
		"RMC VTG GGA GSA GSV GLL", "RMC VTG GGA GSA GSV GLL GST ZDA", "GGA GSA GSV RMC", "GGA GSA GSV RMC VTG", "GSV GSA VTG RMC GGA", "RMC GGA",
		"GGA RMC", "VTG GGA", "GGA VTG", "RMC GGA GSA", "GSA RMC GGA", "GGA GLL GSA GST ZDA VTG", "GST VTG RMC GGA ZDA", "RMC", "GLL",
	} {
		for _, hz := range []float64{1, 10} {
			for seed := range seeds {
				for _, pauses := range []bool{false, true} {
					tr := &trip{order: strings.Fields(order), hz: hz, pauses: pauses, loss: 0.05, seed: seed, epochs: 400}
					if pauses {
						tr.loss = 0.1
					}
					if wrong := tr.judge(tr.drive()); len(wrong) > 0 {
						t.Errorf("%v: %d faults: %s", tr, len(wrong), strings.Join(wrong[:min(3, len(wrong))], "; "))
					}
				}
			}
		}
	}
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
		if len(s.fields) >= 27 {
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

// TestLogs judges the fixes of every recorded log: each value must be one that a sentence of its epoch states.
func TestLogs(t *testing.T) {
	logs, _ := filepath.Glob(filepath.Join(corpusDir(t), "*.log"))
	fixes, values := 0, 0
	for _, log := range logs {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		sentences := readLog(raw)
		for _, f := range assemble(raw, Options{}).fixes {
			if f.Time.IsZero() || f.LeapSecond || f.Mode < Mode2D {
				continue
			}
			fixes++
			tod := f.Time.Sub(f.Time.Truncate(24 * time.Hour)).Seconds()
			states := defensible(sentences, tod)
			for _, c := range []struct {
				name      string
				v         Value
				tolerance float64
			}{
				{"speed", f.Speed, 0.006}, {"track", f.Track, 0.006}, {"altMSL", f.AltMSL, 0.006}, {"geoidSep", f.GeoidSep, 0.006},
				{"hdop", f.HDOP, 0.006}, {"vdop", f.VDOP, 0.006}, {"pdop", f.PDOP, 0.006}, {"heading", f.Heading, 0.006},
			} {
				if !c.v.Set {
					continue
				}
				values++
				near := func(v float64) bool { return math.Abs(math.Remainder(v-c.v.V, 360)) <= c.tolerance }
				if !slices.ContainsFunc(states[c.name], near) {
					t.Errorf("%s at %v: %s is %.3f, and the epoch states %v", filepath.Base(log), f.Time, c.name, c.v.V, states[c.name])
				}
			}
		}
	}
	t.Logf("%d values of %d fixes of %d logs are stated", values, fixes, len(logs))
}
