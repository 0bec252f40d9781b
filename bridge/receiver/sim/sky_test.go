package sim

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestSky(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {Seed: 9, Baud: 9600}, {Seed: 2, Baud: 4800}} {
		g := generator(t, c)
		for range 2 * 3600 / 60 {
			for range 60 {
				g.Skip()
			}
			s := g.State
			perSystem := map[int]int{}
			for _, sat := range s.Satellites {
				perSystem[sat.System]++
				if sat.Elevation < 5 || sat.Elevation > 90 || sat.Azimuth < 0 || sat.Azimuth > 359 || sat.CN0 < 15 || sat.CN0 > 54 {
					t.Fatalf("%+v", sat)
				}
				if sat.Used != (sat.Elevation >= maskUse && sat.CN0 >= minUse) {
					t.Fatalf("%+v is used or not against the rule", sat)
				}
			}
			for system := range g.profile.systems {
				if n := perSystem[system]; n < 8 || n > gsaPlaces {
					t.Errorf("%v: %d satellites of constellation %d in view", s.Time, n, system)
				}
			}
			near(t, "PDOP", math.Hypot(s.HDOP, s.VDOP), s.PDOP, 1e-9)
			if s.HDOP < 0.3 || s.HDOP > 3 || s.VDOP < s.HDOP {
				t.Errorf("%v: DOPs %.2f %.2f %.2f of %d satellites", s.Time, s.HDOP, s.VDOP, s.PDOP, s.Used)
			}
		}
	}
}

// TestSkyMovesSlowly: satellites of these orbits move by less than 0.7° a minute.
func TestSkyMovesSlowly(t *testing.T) {
	t.Parallel()
	g := generator(t, Config{})
	g.Skip()
	type place struct{ elevation, cn0 int }
	before := map[[2]int]place{}
	var moved bool
	for range 3600 {
		g.Skip()
		now := map[[2]int]place{}
		for _, sat := range g.State.Satellites {
			key := [2]int{sat.System, sat.Number}
			now[key] = place{sat.Elevation, sat.CN0}
			last, seen := before[key]
			if !seen {
				continue
			}
			if d := sat.Elevation - last.elevation; d < -1 || d > 1 {
				t.Fatalf("%v moved by %d° in a second", key, d)
			} else if d != 0 {
				moved = true
			}
			if d := sat.CN0 - last.cn0; d < -6 || d > 6 {
				t.Fatalf("C/N0 of %v jumped by %d dB", key, d)
			}
		}
		before = now
	}
	if !moved {
		t.Error("nothing moved in an hour")
	}
}

// TestSatellitesAgree: GSV lists what is in view, GSA what is used of it, GGA how many that are.
func TestSatellitesAgree(t *testing.T) {
	t.Parallel()
	g := generator(t, Config{Seed: 4})
	ids := []string{"1", "2", "3", "4"}
	for range 300 {
		all := sentences(t, g.Epoch())
		used := 0
		for _, s := range all {
			if s[0] != "GNGSA" {
				continue
			}
			system := slices.Index(ids, s[18])
			for _, number := range s[3:15] {
				if number == "" {
					continue
				}
				used++
				n, _ := strconv.Atoi(number)
				if !slices.ContainsFunc(g.State.Satellites, func(sat Satellite) bool {
					return sat.System == system && sat.Number == n && sat.Used
				}) {
					t.Fatalf("GSA lists satellite %s of system %s, which is not used", number, s[18])
				}
			}
		}
		if got := find(t, all, "GNGGA")[7]; got != strconv.Itoa(used) {
			t.Fatalf("GGA says %s satellites, GSA lists %d", got, used)
		}
		for system, address := range []string{"GPGSV", "GLGSV", "GAGSV", "GBGSV"} {
			listed := 0
			for _, s := range all {
				if s[0] == address {
					if len(s) == 5 || (len(s)-5)%4 != 0 {
						t.Fatalf("%v has %d fields", s, len(s))
					}
					listed += (len(s) - 5) / 4
					if s[3] != find(t, all, address)[3] || s[len(s)-1] != string(systems[system].signal) {
						t.Fatalf("%v", s)
					}
				}
			}
			if want := len(g.sky.of(system)); listed != want {
				t.Fatalf("%s list %d satellites of %d", address, listed, want)
			}
		}
	}
}

// TestNeed: what a configuration is said to need is never exceeded in a second, and not wildly more than it sends.
func TestNeed(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {Rate: 10, Baud: 115200}, {Baud: 9600}, {Baud: 4800}} {
		g := generator(t, c)
		rate := max(c.Rate, 1)
		// GSV of a slow receiver come every 5 s; over these the line has to carry it.
		span := g.profile.gsv
		most := 0
		for range 600 {
			n := 0
			for range span * rate {
				n += len(g.Epoch())
			}
			most = max(most, n/span)
		}
		need := g.profile.need(rate)
		t.Logf("%d Hz, %d baud: needs %d, sends up to %d bytes a second", rate, c.Baud, need, most)
		if most > need || most < need*2/3 {
			t.Errorf("%d Hz, %d baud: needs %d, sends up to %d bytes a second", rate, c.Baud, need, most)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	tests := []struct {
		config Config
		want   string // "" when it is right
	}{
		{Config{}, ""},
		{Config{Rate: 25, Baud: 460800, Start: time.Unix(0, 0)}, ""},
		{Config{Rate: 26}, "simulate a receiver at 26 Hz: use a rate of 1 to 25"},
		{Config{Rate: -1}, "simulate a receiver at -1 Hz: use a rate of 1 to 25"},
		{Config{Baud: -1}, "simulate a receiver at -1 baud: use 4800 to 921600, or 0 for a line without limit"},
		{Config{Rate: 10, Baud: 9600}, "simulate a receiver: 10 Hz needs up to 4468 bytes a second, 9600 baud carry 960: use 115200 baud, or at most 1 Hz"},
		{Config{Rate: 5, Baud: 19200}, "simulate a receiver: 5 Hz needs up to 3595 bytes a second, 19200 baud carry 1920: use 38400 baud, or at most 1 Hz"},
		{Config{Rate: 1, Baud: 1200}, "simulate a receiver: 1 Hz needs up to 268 bytes a second, 1200 baud carry 120: use 4800 baud"},
	}
	for _, test := range tests {
		_, err := New(test.config)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("New(%+v)\n got %s\nwant %s", test.config, got, test.want)
		}
	}
}
