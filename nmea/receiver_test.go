package nmea

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestFixLostAndFound holds that an epoch without a fix is a fix of mode 1, and that the first one with a fix is whole.
func TestFixLostAndFound(t *testing.T) {
	var s stream
	for i := range 30 {
		s.void = i < 5 || i >= 15 && i < 20
		s.epoch(36000+float64(i), "RMC", "VTG", "GGA", "GSA", "GLL")
	}
	r := assemble(s.Bytes(), Options{})
	if want := "111113333333333111113333333333"; r.modes() != want {
		t.Errorf("modes %s, want %s", r.modes(), want)
	}
	for i, f := range r.fixes {
		if f.Mode == ModeNone && (f.Lat.Set || f.Lon.Set || f.AltMSL.Set || f.Speed.Set || f.Status != 0) {
			t.Errorf("fix %d without a fix: %+v", i, f)
		}
		if i < 5 != f.Time.IsZero() {
			t.Errorf("fix %d: time %v", i, f.Time)
		}
		if f.Mode == Mode3D && !(f.AltMSL.Set && f.Speed.Set && f.VDOP.Set) {
			t.Errorf("fix %d is not whole: %+v", i, f)
		}
	}
}

// TestNoTimeAtAll holds for a receiver that has just been switched on: it sends
// neither time nor position, and each round of it is one fix of mode 1.
func TestNoTimeAtAll(t *testing.T) {
	var s stream
	for range 5 {
		s.say("GPRMC,,V,,,,,,,,,,N", "GPVTG,,,,,,,,,N", "GPGGA,,,,,,0,00,99.99,,,,,,", "GPGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99", "GPGLL,,,,,,V,N")
	}
	for i := range 3 {
		s.epoch(36000+float64(i), "RMC", "VTG", "GGA", "GSA", "GLL")
	}
	if r := assemble(s.Bytes(), Options{}); r.modes() != "11111333" {
		t.Errorf("modes %s, want 11111333", r.modes())
	}
}

// TestClockStandsStill holds for a receiver without a fix whose clock does not run: each round is one fix of mode 1 still.
func TestClockStandsStill(t *testing.T) {
	s := stream{void: true}
	for range 5 {
		s.epoch(0, "RMC", "GGA", "GSA")
	}
	if r := assemble(s.Bytes(), Options{}); r.modes() != "11111" {
		t.Errorf("modes %s, want 11111", r.modes())
	}
}

// TestFlush holds that a quiet line lets the fix go, that the rest of its epoch makes no second one, and that what comes before
// the next stamp is the next epoch's.
func TestFlush(t *testing.T) {
	r := &recorder{}
	a := NewAssembler(r, Options{})
	push := func(sec float64, kinds ...string) {
		var s stream
		s.epoch(sec, kinds...)
		var sc Scanner
		sc.Scan(s.Bytes(), a.Push)
	}
	push(36000, "GGA")
	a.Flush()
	a.Flush()
	if len(r.fixes) != 1 {
		t.Fatalf("%d fixes after Flush, want 1", len(r.fixes))
	}
	push(36000, "RMC")
	push(36000, "GSA")
	if a.Flush(); len(r.fixes) != 1 {
		t.Errorf("the rest of the epoch made a second fix: %s", r.times())
	}
	if n := a.Stats().Late; n != 1 {
		t.Errorf("%d late sentences, want 1", n)
	}
	push(36001, "VTG", "GGA")
	a.Flush()
	if len(r.fixes) != 2 || !r.fixes[1].Speed.Set {
		t.Errorf("VTG before the stamp is lost: %+v", r.fixes)
	}
}

// TestReset holds that a reopened port closes the epoch, forgets the cycle and keeps the date.
func TestReset(t *testing.T) {
	r := &recorder{}
	a := NewAssembler(r, Options{})
	push := func(sec float64, kinds ...string) {
		var s stream
		s.epoch(sec, kinds...)
		var sc Scanner
		sc.Scan(s.Bytes(), a.Push)
	}
	for i := range 5 {
		push(36000+float64(i), "RMC", "GGA")
	}
	push(36005, "RMC")
	a.Reset()
	if len(r.fixes) != 6 {
		t.Fatalf("%d fixes after Reset, want 6", len(r.fixes))
	}
	push(36100, "GGA") // another receiver: GGA and VTG
	if len(r.fixes) != 6 {
		t.Errorf("the cycle was not forgotten")
	}
	push(36100, "VTG")
	a.Flush()
	if f := r.fixes[6]; f.Time.IsZero() || !f.Speed.Set {
		t.Errorf("after Reset: %+v", f)
	}
}

// TestStamps holds for stamps of one epoch that are written differently.
func TestStamps(t *testing.T) {
	var s stream
	for i := range 10 {
		s.say(fmt.Sprintf("GPGLL,5130.0%d,N,00030.0,E,0144%02d.076,A,A", i, 13+i),
			fmt.Sprintf("GPGGA,0144%02d.08,5130.0%d,N,00030.0,E,1,05,1.0,11.0,M,,M,,", 13+i, i),
			fmt.Sprintf("GPRMC,0144%02d.76,A,5130.0%d,N,00030.0,E,1.0,2.0,231126,,,A", 13+i, i))
	}
	r := assemble(s.Bytes(), Options{})
	r.oneEach(t, 10)
	for i, f := range r.fixes {
		if !f.Speed.Set || !f.AltMSL.Set {
			t.Errorf("fix %d: %+v", i, f)
		}
	}
}

// TestTalkers holds for receivers that repeat sentences for several talkers.
func TestTalkers(t *testing.T) {
	var s stream
	for i := range 10 {
		at := clock(36000 + float64(i))
		for _, talker := range []string{"GP", "GL", "GN"} {
			s.say(talker+"RMC,"+at+",A,5130.0,N,00030.0,E,1.0,2.0,231126,,,A",
				talker+"GGA,"+at+",5130.0,N,00030.0,E,1,05,1.0,11.0,M,,M,,")
		}
	}
	assemble(s.Bytes(), Options{}).oneEach(t, 10)
}

// TestFrozen holds for a receiver that goes on with the same time and a fix: that
// is no fix any more. A copy or two of a sentence are none the less one epoch.
func TestFrozen(t *testing.T) {
	for want, kinds := range map[string][]string{"3331133": {"RMC", "GGA"}, "2221122": {"RMC"}} {
		for _, quiet := range []bool{false, true} {
			r := &recorder{}
			a := NewAssembler(r, Options{})
			for _, sec := range []float64{36000, 36000, 36001, 36002, 36002, 36002, 36002, 36002, 36003, 36004} {
				var s stream
				s.epoch(sec, kinds...)
				var sc Scanner
				sc.Scan(s.Bytes(), a.Push)
				if quiet {
					a.Flush()
				}
			}
			a.Flush()
			if r.modes() != want {
				t.Errorf("%v, quiet %v: modes %s, want %s", kinds, quiet, r.modes(), want)
			}
		}
	}
}

// TestWholeSeconds holds for a receiver that sends four or five times a second and states whole seconds alone: each of them is one
// fix, when that is known.
func TestWholeSeconds(t *testing.T) {
	for rate, want := range map[int]string{4: "3133333333333", 5: "31133333333333"} { // no fix for the copies of the first second
		for _, quiet := range []bool{false, true} {
			r := &recorder{}
			a := NewAssembler(r, Options{})
			for i := range 12 * rate {
				var s stream
				s.epoch(36000+float64(i/rate), "RMC", "GGA")
				var sc Scanner
				sc.Scan(s.Bytes(), a.Push)
				if quiet {
					a.Flush()
				}
			}
			a.Flush()
			if got := r.modes(); got != want {
				t.Errorf("%d a second, quiet %v: modes %s, want %s", rate, quiet, got, want)
			}
		}
	}
}

// TestLoop holds that a recording played in a loop does not fall silent.
func TestLoop(t *testing.T) {
	for kinds, want := range map[string]int{"RMC GGA": 23, "RMC": 22} {
		var s stream
		for i := range 300 {
			s.epoch(36000+float64(i%3), strings.Fields(kinds)...)
		}
		if r := assemble(s.Bytes(), Options{}); len(r.fixes) != want {
			t.Errorf("%s: %d fixes, want %d: those of the first round, and after that one for every 32 late sentences or more", kinds, len(r.fixes), want)
		}
	}
}

// TestPauses holds for a receiver that pauses in the middle of its epochs for so
// long that the line counts as quiet: that is learned, and unlearned.
func TestPauses(t *testing.T) {
	r := &recorder{}
	a := NewAssembler(r, Options{})
	push := func(sec float64, kinds ...string) {
		var s stream
		s.epoch(sec, kinds...)
		var sc Scanner
		sc.Scan(s.Bytes(), a.Push)
		a.Flush()
	}
	for i := range 20 {
		push(36000+float64(i), "GGA", "GSA")
		push(36000+float64(i), "RMC", "VTG")
	}
	r.oneEach(t, 20)
	for i, f := range r.fixes[4:] {
		if !f.Speed.Set || !f.AltMSL.Set {
			t.Errorf("fix %d: %+v", i+4, f)
		}
	}
	for i := range 20 {
		push(36100+float64(i), "GGA", "RMC")
		if i > 10 && len(r.fixes) != 21+i {
			t.Errorf("%d fixes after epoch %d: Flush lets them wait still", len(r.fixes), 20+i)
		}
	}
	push(36200, "GGA") // one Flush is enough again, though RMC is lost
	r.oneEach(t, 41)
}

// TestVoidOfAnotherSource holds for a line that several sources share, of which one has a fix: whatever the others send, and
// wherever, each of its epochs is one fix, and no other comes between.
func TestVoidOfAnotherSource(t *testing.T) {
	for _, foreign := range []string{
		"AIRMC,,V,,,,,,,,,,N", "IIGLL,,,,,,V,N", "GNRMC,,V,,,,,,,,,,N", "GNGGA,,,,,,0,00,99.99,,,,,,", "GNGNS,,,,,,NNN,00,,,,,,V",
		"GNRMC,1000%02d,V,,,,,,,231126,,,N", "GNRMC,1000%02d.50,V,,,,,,,231126,,,N", "IIGLL,5130.0,N,00030.0,E,1000%02d,V,N", "GNGGA,0000%02d,,,,,0,,,,,,,,",
	} {
		for place := range 4 {
			for _, pauses := range []bool{false, true} {
				var sentences []string
				for second := range 20 {
					own := []string{
						fmt.Sprintf("GPRMC,1000%02d,A,5130.0,N,00030.0,E,10.0,20.0,231126,,,A", second), "GPGSA,A,3,01,02,03,04,,,,,,,,,1.4,0.8,1.1",
						fmt.Sprintf("GPGGA,1000%02d,5130.0,N,00030.0,E,1,09,0.8,11.2,M,46.7,M,,", second),
					}
					other := foreign
					if strings.Contains(foreign, "%") {
						other = fmt.Sprintf(foreign, second)
					}
					sentences = append(sentences, slices.Insert(own, place, other)...)
					if pauses {
						sentences = append(sentences, "")
					}
				}
				var good int
				for i, f := range fixesOf(Options{}, sentences...).fixes {
					if f.Mode == Mode3D && f.Speed.Set && f.AltMSL.Set {
						good++
					} else if i > 2 {
						t.Errorf("%s at %d, pauses %t: fix %d is %v at %v", foreign, place, pauses, i, f.Mode, f.Time)
					}
				}
				if good < 18 || good > 20 {
					t.Errorf("%s at %d, pauses %t: %d whole fixes of 20 epochs", foreign, place, pauses, good)
				}
			}
		}
	}
}

// TestTalkerOfATunnel holds for a receiver whose talker shows which constellations it uses, and changes when it has no fix: after
// some sentences the loss counts, and its epochs are fixes of mode 1.
func TestTalkerOfATunnel(t *testing.T) {
	var sentences []string
	for i := range 60 {
		at := fmt.Sprintf("1000%02d", i)
		if i >= 20 && i < 50 {
			sentences = append(sentences, "GPRMC,"+at+",V,,,,,,,231126,,,N", "GPGGA,"+at+",,,,,0,00,99.9,,,,,,")
		} else {
			sentences = append(sentences, rmcAt(at, "231126"), ggaAt(at))
		}
	}
	lost := (maxOutvotes + 1) / 2 // epochs
	want := strings.Repeat("3", 20) + strings.Repeat("1", 30-lost) + strings.Repeat("3", 10)
	if got := fixesOf(Options{}, sentences...).modes(); got != want {
		t.Errorf("modes %s, want %s", got, want)
	}
}

// TestPlaceByTheFix holds that a receiver without RMC and without pauses shows by what VTG and GSA state where the fix is lost and
// found of which epoch they are; until then they are of none.
func TestPlaceByTheFix(t *testing.T) {
	for _, order := range []string{"GGA VTG", "VTG GGA", "GGA GSA VTG", "GSA VTG GGA", "GGA VTG GSA GSV", "GGA VTG HDT", "HDT GGA VTG", "GGA THS VTG", "GGA GSA", "GSA GGA"} {
		var sentences []string
		for i := range 60 {
			at := clock(36000 + float64(i)/10)
			said := map[string]string{
				"GGA": strings.Replace(ggaAt(at), ",0.8,", ",,", 1), "VTG": fmt.Sprintf("GNVTG,20.0,T,,M,%d.0,N,,K,A", i),
				"GSA": fmt.Sprintf("GNGSA,A,3,01,02,03,04,,,,,,,,,%d.4,,1.1", i), "GSV": "GPGSV,1,1,01,05,71,210,40", "HDT": fmt.Sprintf("GNHDT,%d,T", i), "THS": fmt.Sprintf("GNTHS,%d,A", i),
			}
			if i%20 < 5 {
				said = map[string]string{
					"GGA": "GNGGA," + at + ",,,,,0,00,,,,,,,", "VTG": "GNVTG,,T,,M,,N,,K,N", "GSA": "GNGSA,A,1,,,,,,,,,,,,,,,", "GSV": "GPGSV,1,1,00", "HDT": "GNHDT,,T", "THS": "GNTHS,,V",
				}
			}
			for kind := range strings.FieldsSeq(order) {
				sentences = append(sentences, said[kind])
			}
		}
		r := fixesOf(Options{}, sentences...)
		if len(r.fixes) != 60 {
			t.Errorf("%s: %d fixes, want 60", order, len(r.fixes))
			continue
		}
		for i, f := range r.fixes {
			if f.Heading.Set && f.Heading.V != float64(i) {
				t.Errorf("%s: fix %d has the heading %.0f of another epoch", order, i, f.Heading.V)
			}
			if i > 45 && !f.Heading.Set && (strings.Contains(order, "HDT") || strings.Contains(order, "THS")) {
				t.Errorf("%s: fix %d lacks its heading", order, i)
			}
			if f.Speed.Set && math.Abs(f.Speed.V-float64(i)*knot) > 0.01 || f.PDOP.Set && math.Abs(f.PDOP.V-float64(i)-0.4) > 0.01 {
				t.Errorf("%s: fix %d has the speed %.2f and the PDOP %.1f of another epoch", order, i, f.Speed.V, f.PDOP.V)
			}
			if i >= 45 && (strings.Contains(order, "VTG") && !f.Speed.Set || strings.Contains(order, "GSA") && !f.PDOP.Set) {
				t.Errorf("%s: fix %d lacks its speed or PDOP", order, i)
			}
		}
	}
}
