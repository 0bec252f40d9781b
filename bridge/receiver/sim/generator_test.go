package sim

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func generator(t testing.TB, c Config) *Generator {
	t.Helper()
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// sentences splits a burst into fields, the address first. Each line has to be whole, with the right checksum.
func sentences(t testing.TB, burst []byte) [][]string {
	t.Helper()
	var all [][]string
	for _, l := range strings.SplitAfter(strings.TrimSuffix(string(burst), "\r\n")+"\r\n", "\n") {
		if l == "" {
			continue
		}
		body, sum, found := strings.Cut(strings.TrimSuffix(l, "\r\n"), "*")
		if !found || body[0] != '$' || !strings.HasSuffix(l, "\r\n") {
			t.Fatalf("not a sentence: %q", l)
		}
		x := byte(0)
		for i := 1; i < len(body); i++ {
			x ^= body[i]
		}
		if want := fmt.Sprintf("%02X", x); sum != want {
			t.Fatalf("checksum of %q is %s", l, want)
		}
		if len(l) > 82 {
			t.Errorf("%d bytes, the standard allows 82: %q", len(l), l)
		}
		all = append(all, strings.Split(body[1:], ","))
	}
	return all
}

func addresses(all [][]string) []string {
	var names []string
	for _, s := range all {
		names = append(names, s[0])
	}
	return slices.Compact(names)
}

func find(t testing.TB, all [][]string, address string) []string {
	t.Helper()
	i := slices.IndexFunc(all, func(s []string) bool { return s[0] == address })
	if i < 0 {
		t.Fatalf("no %s in %v", address, all)
	}
	return all[i]
}

func TestOrderOfSentences(t *testing.T) {
	full := []string{"GNRMC", "GNVTG", "GNGGA", "GNGSA", "GPGSV", "GLGSV", "GAGSV", "GBGSV", "GNGLL", "GNGST", "GNZDA"}
	short := []string{"GNRMC", "GNVTG", "GNGGA", "GNGSA", "GNGLL"}
	tests := []struct {
		name   string
		config Config
		want   [][]string // of the first epochs
	}{
		{"1 Hz", Config{}, [][]string{full, full}},
		{"3 Hz", Config{Rate: 3}, [][]string{full, short, short, full}},
		{"9600 baud", Config{Baud: 9600}, [][]string{{"GNRMC", "GNVTG", "GNGGA", "GNGSA", "GPGSV", "GLGSV", "GNGLL", "GNGST", "GNZDA"}}},
		{"4800 baud", Config{Baud: 4800}, [][]string{
			{"GPRMC", "GPGGA", "GPGSA", "GPGSV"}, {"GPRMC", "GPGGA", "GPGSA"}, {"GPRMC", "GPGGA", "GPGSA"},
			{"GPRMC", "GPGGA", "GPGSA"}, {"GPRMC", "GPGGA", "GPGSA"}, {"GPRMC", "GPGGA", "GPGSA", "GPGSV"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := generator(t, test.config)
			for i, want := range test.want {
				if diff := cmp.Diff(want, addresses(sentences(t, g.Epoch()))); diff != "" {
					t.Errorf("epoch %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestSentencesSayTheState(t *testing.T) {
	t.Parallel()
	start := time.Date(2027, time.December, 31, 23, 59, 58, 0, time.UTC)
	g := generator(t, Config{Rate: 4, Start: start, Seed: 3})
	for i := range 4000 {
		all := sentences(t, g.Epoch())
		s := g.State
		if want := start.Add(time.Duration(i) * 250 * time.Millisecond); !s.Time.Equal(want) {
			t.Fatalf("epoch %d at %v, want %v", i, s.Time, want)
		}
		rmc, gga := find(t, all, "GNRMC"), find(t, all, "GNGGA")
		if got, want := rmc[1]+" "+rmc[9], s.Time.Format("150405.00 020106"); got != want {
			t.Fatalf("RMC is of %s, want %s", got, want)
		}
		near(t, "RMC lat", degrees(t, rmc[3], rmc[4]), s.Lat, 1e-7)
		near(t, "RMC lon", degrees(t, rmc[5], rmc[6]), s.Lon, 1e-7)
		near(t, "GGA lat", degrees(t, gga[2], gga[3]), s.Lat, 1e-7)
		near(t, "GGA lon", degrees(t, gga[4], gga[5]), s.Lon, 1e-7)
		near(t, "RMC speed", float(t, rmc[7])*1852/3600, s.Speed, 0.0003)
		near(t, "GGA altitude", float(t, gga[9]), s.AltMSL, 0.051)
		near(t, "GGA HDOP", float(t, gga[8]), s.HDOP, 0.0051)
		near(t, "GGA used", float(t, gga[7]), float64(s.Used), 0)
		if moving := rmc[8] != ""; moving != s.Moving {
			t.Fatalf("course %q at %v m/s", rmc[8], s.Speed)
		} else if moving {
			near(t, "RMC course", math.Remainder(float(t, rmc[8])-s.Track, 360), 0, 0.0051)
		}
	}
}

func TestDeterministic(t *testing.T) {
	bytesOf := func(c Config) []byte {
		g := generator(t, c)
		var b []byte
		for range 500 {
			b = g.AppendEpoch(b)
		}
		return b
	}
	c := Config{Rate: 5, Seed: 7, Tunnel: true}
	first := bytesOf(c)
	if !bytes.Equal(first, bytesOf(c)) {
		t.Error("the same configuration gave other bytes")
	}
	c.Seed = 8
	if bytes.Equal(first, bytesOf(c)) {
		t.Error("another seed gave the same bytes")
	}
}

func TestSkipIsAnEpochThatIsNotSent(t *testing.T) {
	said, skipped := generator(t, Config{Rate: 7}), generator(t, Config{Rate: 7})
	for range 100 {
		said.Epoch()
		skipped.Skip()
	}
	if diff := cmp.Diff(string(said.Epoch()), string(skipped.Epoch())); diff != "" {
		t.Error(diff)
	}
}

// TestNoSky: in a tunnel the sentences have the time and nothing else.
func TestNoSky(t *testing.T) {
	g := generator(t, Config{Rate: 2, Tunnel: true})
	for g.Skip(); g.State.Fix; g.Skip() {
	}
	for range 12 {
		all := sentences(t, g.Epoch())
		if g.State.Fix {
			t.Fatal("a tunnel of some seconds")
		}
		stamp := g.State.Time.Format("150405.00")
		want := map[string]string{
			"GNRMC": "GNRMC," + stamp + ",V,,,,,,,231126,,,N,V",
			"GNVTG": "GNVTG,,,,,,,,,N",
			"GNGGA": "GNGGA," + stamp + ",,,,,0,00,99.99,,,,,,",
			"GNGLL": "GNGLL,,,,," + stamp + ",V,N",
			"GNGSA": "GNGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99,1",
		}
		for address, sentence := range want {
			if diff := cmp.Diff(sentence, strings.Join(find(t, all, address), ",")); diff != "" {
				t.Errorf("%v (-want +got):\n%s", g.State.Time, diff)
			}
		}
	}
}

func TestTunnels(t *testing.T) {
	t.Parallel()
	g := generator(t, Config{Tunnel: true})
	var lengths []int
	dark := 0
	for range 1800 {
		g.Skip()
		if !g.State.Fix {
			dark++
		} else if dark > 0 {
			lengths = append(lengths, dark)
			dark = 0
		}
	}
	if len(lengths) < 4 || slices.Min(lengths) < 10 || slices.Max(lengths) > 60 {
		t.Errorf("in half an hour the sky was lost for %v s, want some times 10 to 60", lengths)
	}
	t.Logf("tunnels, s: %v", lengths)
}

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Fatalf("%s is %v, want %v ± %v", what, got, want, tolerance)
	}
}

func float(t testing.TB, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// degrees reads ddmm.mmmmm and its side.
func degrees(t testing.TB, s, side string) float64 {
	t.Helper()
	v := float(t, s)
	d := math.Floor(v / 100)
	v = d + (v-100*d)/60
	if side == "S" || side == "W" {
		return -v
	}
	return v
}

func BenchmarkEpoch(b *testing.B) {
	g := generator(b, Config{Rate: 10})
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = g.AppendEpoch(buf[:0])
	}
}
