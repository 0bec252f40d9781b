// Package nmeatest judges fixes by the sentences of their epoch alone. It knows nothing of the Assembler but what a caller
// knows, and nothing of gpsd, so every path from bytes to fixes can be held against it.
package nmeatest

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"gpsbridge/nmea"
)

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
func written(n int, hz float64) map[string][]byte {
	w := map[string][]byte{}
	for _, kind := range Kinds {
		for text := range strings.SplitSeq(measure(n, hz).sentence(kind), "\n") {
			w[kind] = append(w[kind], Sentence(text)...)
		}
	}
	return w
}

// Sentence returns a sentence with its checksum and line end.
func Sentence(text string) []byte {
	var sum byte
	for i := range len(text) {
		sum ^= text[i]
	}
	return fmt.Appendf(nil, "$%s*%02X\r\n", text, sum)
}

// shelf keeps what was written before: the tests drive the same epochs thousands of times.
var shelf struct {
	sync.Mutex
	epochs map[float64][]map[string][]byte
}

func fromShelf(n int, hz float64) map[string][]byte {
	shelf.Lock()
	defer shelf.Unlock()
	if shelf.epochs == nil {
		shelf.epochs = map[float64][]map[string][]byte{}
	}
	for len(shelf.epochs[hz]) <= n {
		shelf.epochs[hz] = append(shelf.epochs[hz], written(len(shelf.epochs[hz]), hz))
	}
	return shelf.epochs[hz][n]
}

// Kinds are the sentences that a made-up receiver may send.
var Kinds = []string{"RMC", "GGA", "GLL", "VTG", "GSA", "GSV", "ZDA", "GST"}

// timedKind reports whether a sentence has a time.
func timedKind(kind string) bool { return kind != "VTG" && kind != "GSA" && kind != "GSV" }

// Trip is a stream of epochs, in none of which a value is that of a neighbour.
type Trip struct {
	Order  []string // of Kinds
	Hz     float64
	Pauses bool    // between epochs, and that the reader sees them
	Skip   int     // sentences of the first epoch that are not heard
	Loss   float64 // of a sentence
	Seed   uint64  // of the losses
	Epochs int
	From   int // epoch from which values are judged; that each is one fix is judged for all

	heard []map[string]bool // by epoch
}

func (tr *Trip) String() string {
	return fmt.Sprintf("%s, %g Hz, pauses %t, begins with sentence %d, loss %g, seed %d", strings.Join(tr.Order, " "), tr.Hz, tr.Pauses, tr.Skip, tr.Loss, tr.Seed)
}

// Bursts yields what is heard of each epoch, in pieces of a sentence or the group of GSV.
func (tr *Trip) Bursts() iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		tr.heard = nil
		dice := rand.New(rand.NewPCG(tr.Seed, 5))
		var burst [][]byte
		for n := range tr.Epochs {
			burst = burst[:0]
			sentences, heard := fromShelf(n, tr.Hz), map[string]bool{}
			for i, kind := range tr.Order {
				if n == 0 && i < tr.Skip || dice.Float64() < tr.Loss {
					continue
				}
				heard[kind] = true
				burst = append(burst, sentences[kind])
			}
			tr.heard = append(tr.heard, heard)
			if !yield(burst) {
				return
			}
		}
	}
}

// Judge returns what is wrong with the fixes of Bursts.
func (tr *Trip) Judge(fixes []nmea.Fix) (wrong []string) {
	say := func(n int, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("epoch %d: ", n)+fmt.Sprintf(format, args...))
	}
	seen := make([]int, tr.Epochs)
	for i := range fixes {
		f := &fixes[i]
		n := int(math.Round(((f.Lat.V-51)*60 - 30) * 1000))
		if !f.Lat.Set || n < 0 || n >= tr.Epochs {
			say(n, "a fix of no epoch: %+v", f)
			continue
		}
		seen[n]++
		if n >= tr.From {
			tr.judgeFix(n, f, func(format string, args ...any) { say(n, format, args...) })
		}
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
func (tr *Trip) judgeFix(n int, f *nmea.Fix, say func(string, ...any)) {
	m, heard := measure(n, tr.Hz), tr.heard[n]
	if !f.Time.IsZero() && math.Abs(f.Time.Sub(f.Time.Truncate(24*time.Hour)).Seconds()-m.tod) > 0.002 {
		say("time %v", f.Time)
	}
	// Between pauses nothing shows of which epoch a sentence without a time is when all with a time of its epoch were lost.
	orphan := !tr.Pauses && (tr.unheard(n-1) || tr.unheard(n+1))
	check := func(name string, v nmea.Value, stated bool, want, tolerance float64) {
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
func (tr *Trip) unheard(n int) bool {
	return n >= 0 && n < len(tr.heard) && !slices.ContainsFunc(tr.Order, func(k string) bool { return timedKind(k) && tr.heard[n][k] })
}

// judgeCarried judges what may come from an epoch before.
func (tr *Trip) judgeCarried(n int, f *nmea.Fix, say func(string, ...any)) {
	among := func(name string, v nmea.Value, back float64, of func(m instant) float64) {
		if !v.Set {
			return
		}
		for k := n; k >= 0 && float64(n-k)/tr.Hz <= back; k-- {
			if math.Abs(v.V-of(measure(k, tr.Hz))) < 0.011 {
				return
			}
		}
		say("%s %.3f is of no epoch of the last %g s", name, v.V, back)
	}
	among("nSat", f.NSat, 10, func(m instant) float64 { return float64(m.seen) })
	if slices.Contains(tr.Order, "GST") {
		h, v := among, among
		if n == 0 || tr.Loss > 0 || tr.Skip > 0 { // none was heard: an error by the DOP
			h = func(string, nmea.Value, float64, func(instant) float64) {}
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
	if f.Climb.Set && math.Abs(f.Climb.V-0.4*tr.Hz) > 0.06*tr.Hz {
		say("climb %.3f", f.Climb.V)
	}
	if f.AltMSL.Set != (f.Mode == nmea.Mode3D) && f.AltMSL.Set {
		say("mode %v with an altitude", f.Mode)
	}
	if f.Mode == nmea.Mode3D && !f.AltMSL.Set {
		among("mode", nmea.Value{V: float64(f.Mode), Set: true}, 10, func(m instant) float64 { return float64(m.dim) })
	}
}

// judgePresence judges that nothing is missing of what was heard, once the receiver is known.
func (tr *Trip) judgePresence(n int, f *nmea.Fix, say func(string, ...any)) {
	heard := tr.heard[n]
	at := func(kind string) int { return slices.Index(tr.Order, kind) }
	// A sentence without a time is of this epoch for certain when it stands between two with a time, and when pauses show it.
	first := slices.IndexFunc(tr.Order, func(k string) bool { return timedKind(k) && heard[k] })
	last := len(tr.Order) - 1
	for last >= 0 && !(timedKind(tr.Order[last]) && heard[tr.Order[last]]) {
		last--
	}
	certain := func(kind string) bool {
		return heard[kind] && (tr.Pauses || at(kind) > first && at(kind) < last)
	}
	has := func(name string, stated bool, v nmea.Value) {
		if stated && !v.Set {
			say("%s is missing", name)
		}
	}
	has("speed", heard["RMC"] || certain("VTG"), f.Speed)
	has("track", heard["RMC"] || certain("VTG"), f.Track)
	has("altMSL", heard["GGA"], f.AltMSL)
	has("hdop", heard["GGA"] || certain("GSA"), f.HDOP)
	fits := heard["GSA"] && heard["GGA"] && tr.Loss == 0 // their HDOP shows which belong together
	has("vdop", certain("GSA") || fits, f.VDOP)
	has("pdop", certain("GSA") || fits, f.PDOP)
	has("uSat", heard["GGA"] || certain("GSA"), f.USat)
	has("nSat", at("GSV") >= 0 && tr.Loss == 0, f.NSat)
	if (at("RMC") >= 0 || at("ZDA") >= 0) && f.Time.IsZero() {
		say("time is missing")
	}
}

// Orders yields every order of two to most of the kinds that has a position.
func Orders(most int) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		var extend func(order []string) bool
		extend = func(order []string) bool {
			if len(order) >= 2 && slices.ContainsFunc(order, func(k string) bool { return k == "RMC" || k == "GGA" || k == "GLL" }) {
				if !yield(slices.Clone(order)) {
					return false
				}
			}
			for _, k := range Kinds {
				if len(order) < most && !slices.Contains(order, k) && !extend(append(order, k)) {
					return false
				}
			}
			return true
		}
		extend(nil)
	}
}

// clock returns a time of day in seconds as receivers write it.
func clock(sec float64) string {
	ms := int(math.Round(sec * 1000))
	return fmt.Sprintf("%02d%02d%02d.%03d", ms/3600000, ms/60000%60, ms/1000%60, ms%1000)
}
