package nmea

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestQuality checks the members that say how good a fix is.
func TestQuality(t *testing.T) {
	const gga = "GNGGA,100000,5130.0,N,00030.0,E,%s,%s,0.8,11.2,M,46.7,M,,"
	tests := []struct {
		name string
		say  []string
		want string
	}{
		{"GPS", []string{fmt.Sprintf(gga, "1", "09")}, `"mode":3,"status":1,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":15.2,"uSat":9`},
		{"DGPS", []string{fmt.Sprintf(gga, "2", "09")}, `"mode":3,"status":2,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":3.8,"uSat":9`},
		{"GSA", []string{fmt.Sprintf(gga, "4", "09"), "GNGSA,A,3,01,02,03,04,05,06,07,08,09,,,,1.4,0.8,1.1"},
			`"mode":3,"status":3,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"vdop":1.1,"pdop":1.4,"eph":15.2,"epv":25.3,"uSat":9`},
		{"GST", []string{fmt.Sprintf(gga, "5", "09"), "GNGST,100000,1.2,,,,3.0,4.0,5.0"},
			`"mode":3,"status":4,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":10.00,"epv":10.0,"uSat":9`},
		{"GST first", []string{"GNGST,100000,1.2,,,,3.0,4.0,5.0", fmt.Sprintf(gga, "5", "09")},
			`"mode":3,"status":4,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":10.00,"epv":10.0,"uSat":9`},
		{"GST and GBS", []string{fmt.Sprintf(gga, "5", "09"), "GNGST,100000,1.2,,,,3.0,4.0,5.0", "GNGBS,100000,1.0,1.0,1.0,,,,"},
			`"mode":3,"status":4,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":10.00,"epv":10.0,"uSat":9`},
		{"GBS", []string{fmt.Sprintf(gga, "5", "09"), "GNGBS,100000,3.0,4.0,1.0,,,,"},
			`"mode":3,"status":4,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":10.00,"epv":2.0,"uSat":9`},
		{"no altitude", []string{"GNGGA,100000,5130.0,N,00030.0,E,1,03,2.5,,M,,M,,", "GNGSA,A,2,01,02,03,,,,,,,,,,2.7,2.5,1.0"},
			`"mode":2,"status":1,"lat":51.5000000,"lon":0.5000000,"hdop":2.5,"vdop":1.0,"pdop":2.7,"eph":47.5,"uSat":3`},
		{"altitude above the ellipsoid alone", []string{"GNGGA,100000,5130.0,N,00030.0,E,1,09,0.8,,M,46.7,M,,", "PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,G3,2.5,5.0,36.0,084.4,-0.5,,0.8,1.1,0.6,9,0,0"},
			`"mode":3,"status":1,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":10.00,"track":84.4,"climb":0.5,"hdop":0.8,"vdop":1.1,"eph":5.0,"epv":10.0,"uSat":9`},
		{"RMC without a fix first, of a talker without one so far", []string{"GPRMC,100000,V,5130.0,N,00030.0,E,1.0,2.0,231126,,,N", strings.Replace(fmt.Sprintf(gga, "1", "09"), "GN", "GP", 1)}, `"mode":1,"uSat":9`},
		{"RMC without a fix first, of another talker", []string{"AIRMC,100000,V,,,,,,,231126,,,N", fmt.Sprintf(gga, "1", "09")},
			`"mode":3,"status":1,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":15.2,"uSat":9`},
		{"no separation", []string{"GNGGA,100000,5130.0,N,00030.0,E,1,05,2.5,11.2,M,,M,,"},
			`"mode":3,"status":1,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"hdop":2.5,"eph":47.5,"uSat":5`},
		{"void", []string{fmt.Sprintf(gga, "0", "02")}, `"mode":1,"uSat":2`},
		{"RMC without a fix", []string{fmt.Sprintf(gga, "1", "09"), "GNRMC,100000,V,5130.0,N,00030.0,E,1.0,2.0,231126,,,N"}, `"mode":1,"uSat":9`},
		{"simulated", []string{fmt.Sprintf(gga, "8", "09"), "GNRMC,100000,V,5130.0,N,00030.0,E,1.0,2.0,231126,,,S"},
			`"mode":3,"status":8,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":15.2,"uSat":9`},
		{"dead reckoning in a tunnel", []string{"GNRMC,100000,V,5130.0,N,00030.0,E,19.44,,231126,,,E", fmt.Sprintf(gga, "6", "00")},
			`"mode":3,"status":5,"time":"2026-11-23T10:00:00.000Z","lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":10.001,"hdop":0.8,"eph":15.2,"uSat":0`},
		{"dead reckoning for which no other sentence stands", []string{"GNRMC,100000,V,5130.0,N,00030.0,E,19.44,,,,,E"}, `"mode":1`},
		{"GNS for each constellation", []string{"GNGNS,100000,5130.0,N,00030.0,E,DA,14,0.8,11.2,46.7,,,V", "GPGNS,100000,,,,,,7,,,,5.2,23,V", "GLGNS,100000,,,,,,7,,,,5.2,23,V"},
			`"mode":3,"status":2,"lat":51.5000000,"lon":0.5000000,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":3.8,"uSat":14`},
		{"GSA of a constellation that is not used", []string{"GNRMC,100000,A,5130.0,N,00030.0,E,,,,,,A", "GNGSA,A,3,01,02,03,04,,,,,,,,,1.4,0.8,1.1,1", "GNGSA,A,1,,,,,,,,,,,,,1.4,0.8,1.1,2"},
			`"mode":3,"status":1,"lat":51.5000000,"lon":0.5000000,"hdop":0.8,"vdop":1.1,"pdop":1.4,"eph":15.2,"epv":25.3,"uSat":4`},
		{"no quality", []string{fmt.Sprintf(gga, "", "09")}, `"mode":1,"uSat":9`},
		{"latitude 3600", []string{"GNGGA,100000,360000.0,N,00030.0,E,1,05,2.5,11.2,M,,M,,"}, `"mode":1,"uSat":5`},
		{"latitude 91", []string{"GNGGA,100000,9100.0,N,00030.0,E,1,05,2.5,11.2,M,,M,,"}, `"mode":1,"uSat":5`},
		{"longitude 181", []string{"GNGGA,100000,5130.0,N,18100.0,E,1,05,2.5,11.2,M,,M,,"}, `"mode":1,"uSat":5`},
		{"2000 m/s", []string{"GNRMC,100000,A,5130.0,N,00030.0,E,3900.0,2.0,,,,A"}, `"mode":2,"status":1,"lat":51.5000000,"lon":0.5000000,"track":2.0`},
		{"RTK decimals", []string{"GNRMC,100000,A,5130.12345678,N,00030.12345678,E,,,,,,R"}, `"mode":2,"status":3,"lat":51.5020576130,"lon":0.5020576130`},
		{"the finer position", []string{"GNGGA,100000,5130.12345,N,00030.12345,E,1,05,2.5,,M,,M,,", "GNRMC,100000,A,5130.12,N,00030.12,E,,,,,,A"},
			`"mode":2,"status":1,"lat":51.50205750,"lon":0.50205750,"hdop":2.5,"eph":47.5,"uSat":5`},
		{"track 360", []string{"GNRMC,100000,A,5130.0,N,00030.0,E,0.0,360.0,,,,A"}, `"mode":2,"status":1,"lat":51.5000000,"lon":0.5000000,"speed":0.00,"track":0.0`},
		{"heading", []string{"GNRMC,100000,A,5130.0,N,00030.0,E,0.0,,,,,A", "GPHDT,274.07,T"}, `"mode":2,"status":1,"lat":51.5000000,"lon":0.5000000,"speed":0.00,"heading":274.07`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s stream
			s.say(tt.say...)
			r := assemble(s.Bytes(), Options{})
			if len(r.fixes) != 1 {
				t.Fatalf("%d fixes", len(r.fixes))
			}
			if got := string(r.fixes[0].AppendMembers(nil, 0)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestClimb holds that altitudes a second or more apart give a climb.
func TestClimb(t *testing.T) {
	tests := []struct {
		step float64
		want string
	}{
		{2, "- 0.50 0.50 0.50 0.50 0.50"},
		{1, "- 1.00 1.00 1.00 1.00 1.00"},
		{0.5, "- - 2.00 2.00 2.00 2.00"},
		{6, "- - - - - -"},
	}
	for _, tt := range tests {
		var s stream
		for i := range 6 {
			s.say(fmt.Sprintf("GNGGA,%s,5130.0,N,00030.0,E,1,09,0.8,%d.5,M,46.7,M,,", clock(36000+float64(i)*tt.step), 11+i))
		}
		var got []string
		for _, f := range assemble(s.Bytes(), Options{}).fixes {
			c := "-"
			if f.Climb.Set {
				c = fmt.Sprintf("%.2f", f.Climb.V)
			}
			got = append(got, c)
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("step %v: %s, want %s", tt.step, g, tt.want)
		}
	}
}

// TestClimbOverLeapSecond holds that the climb stays what it is while the clock shows 23:59:60, or is absent.
func TestClimbOverLeapSecond(t *testing.T) {
	for _, step := range []float64{1, 0.5} {
		var s stream
		n := 0
		say := func(at string) {
			s.say(fmt.Sprintf("GNGGA,%s,5130.0,N,00030.0,E,1,09,0.8,%.1f,M,46.7,M,,", at, 10+step*float64(n)))
			n++
		}
		for sec := 86396.0; sec < 86401; sec += step {
			say(clock(sec))
		}
		for sec := 0.0; sec < 5; sec += step {
			say(clock(sec))
		}
		with := 0
		for i, f := range assemble(s.Bytes(), Options{}).fixes {
			if f.Climb.Set {
				with++
				if math.Abs(f.Climb.V-1) > 1e-9 {
					t.Errorf("a fix in %g s: climb %.2f at fix %d, want 1", step, f.Climb.V, i)
				}
			}
		}
		if with < n/2 {
			t.Errorf("a fix in %g s: %d of %d fixes with a climb", step, with, n)
		}
	}
}

// TestSky checks the view of the sky over constellations and signals.
func TestSky(t *testing.T) {
	var s stream
	cycle := func(sec int) {
		s.say(fmt.Sprintf("GNGGA,10%04d,5130.0,N,00030.0,E,1,04,0.8,11.2,M,46.7,M,,", sec),
			"GNGSA,A,3,05,31,,,,,,,,,,,1.4,0.8,1.1,1", "GNGSA,A,3,04,,,,,,,,,,,,1.4,0.8,1.1,3",
			"GPGSV,2,1,05,05,71,210,40,07,20,100,,31,15,300,22,12,05,010,18,1", "GPGSV,2,2,05,46,38,150,33,1",
			"GPGSV,1,1,02,05,71,210,43,07,20,100,,6", "GAGSV,1,1,01,04,51,190,39,7", "GLGSV,1,1,01,70,,,21,1")
	}
	cycle(0)
	s.say("GNGGA,100001,5130.0,N,00030.0,E,1,04,0.8,11.2,M,46.7,M,,", "GPGSV,2,2,05,46,38,150,33,1") // no whole group
	cycle(2)
	r := assemble(s.Bytes(), Options{})
	want := `{"class":"SKY","satellites":[` +
		`{"gnssid":0,"svid":5,"PRN":5,"el":71,"az":210,"ss":43,"used":true},` +
		`{"gnssid":0,"svid":7,"PRN":7,"el":20,"az":100,"used":false},` +
		`{"gnssid":0,"svid":31,"PRN":31,"el":15,"az":300,"ss":22,"used":true},` +
		`{"gnssid":0,"svid":12,"PRN":12,"el":5,"az":10,"ss":18,"used":false},` +
		`{"gnssid":1,"svid":133,"PRN":133,"el":38,"az":150,"ss":33,"used":false},` +
		`{"gnssid":2,"svid":4,"PRN":304,"el":51,"az":190,"ss":39,"used":true},` +
		`{"gnssid":6,"svid":6,"PRN":70,"ss":21,"used":false}],` +
		`"hdop":0.8,"vdop":1.1,"pdop":1.4,"nSat":7,"uSat":3}`
	if len(r.skies) != 2 {
		t.Fatalf("%d skies, want 2", len(r.skies))
	}
	for i := range r.skies {
		if got := string(r.skies[i].AppendJSON(nil)); got != want {
			t.Errorf("sky %d\ngot  %s\nwant %s", i, got, want)
		}
	}
	if f := r.fixes[2]; !f.NSat.Set || f.NSat.V != 7 {
		t.Errorf("nSat %+v, want 7", f.NSat)
	}
}

// TestSignalsShareNumbers holds for GSV whose parts are numbered across the signals of a constellation.
func TestSignalsShareNumbers(t *testing.T) {
	var s stream
	for second := range 3 {
		s.say(fmt.Sprintf("GNGGA,10000%d,5130.0,N,00030.0,E,1,04,0.8,11.2,M,46.7,M,,", second),
			"GPGSV,3,1,07,05,71,210,40,07,20,100,,31,15,300,22,12,05,010,18,1", "GPGSV,3,2,07,46,38,150,33,1", "GPGSV,3,3,07,05,71,210,44,31,15,300,20,8",
			"GAGSV,2,1,02,04,51,190,39,7", "GAGSV,2,2,02,04,51,190,41,1",
			"GBGSV,1,1,01,21,30,060,35,1", "GBGSV,1,1,01,21,30,060,38,5") // and one that is numbered by signals
	}
	r := assemble(s.Bytes(), Options{})
	for i, want := range []float64{0, 7, 7} {
		if got := r.fixes[i].NSat; got.V != want {
			t.Errorf("fix %d: nSat %+v, want %g", i, got, want)
		}
	}
	strongest := map[int]float64{}
	for _, sat := range r.skies[0].Satellites {
		strongest[sat.PRN] = sat.SS.V
	}
	want := map[int]float64{5: 44, 7: 0, 31: 22, 12: 18, 133: 33, 304: 41, 421: 38}
	if d := cmp.Diff(want, strongest); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestSkyBeforeTheClock holds that a reader that begins in the middle of an epoch sees the satellites that were listed before the first
// sentence that states the time.
func TestSkyBeforeTheClock(t *testing.T) {
	var s stream
	s.say("GPGSV,1,1,02,05,71,210,40,07,20,100,31", "GLGSV,1,1,01,70,12,120,21",
		"GNGLL,5130.0,N,00030.0,E,182200,A,A", "GNGLL,5130.0,N,00030.0,E,182201,A,A")
	skies := assemble(s.Bytes(), Options{}).skies
	if len(skies) != 1 || skies[0].NSat != 3 {
		t.Errorf("%+v, want one with 3 satellites", skies)
	}
}

// TestManySatellites holds that GSA counts where GGA ends at 12.
func TestManySatellites(t *testing.T) {
	var s stream
	for i := range 3 {
		s.say(fmt.Sprintf("GNGGA,10000%d,5130.0,N,00030.0,E,1,12,0.8,11.2,M,46.7,M,,", i),
			"GNGSA,A,3,01,02,03,04,05,06,07,08,09,10,11,12,1.4,0.8,1.1,1", "GNGSA,A,3,01,02,,,,,,,,,,,1.4,0.8,1.1,3")
	}
	r := assemble(s.Bytes(), Options{})
	if f := r.fixes[2]; !f.USat.Set || f.USat.V != 14 {
		t.Errorf("uSat %+v, want 14", f.USat)
	}
}

// counts has one of each reason.
func counts(reasons ...string) (n [len(flawNames)]uint64) {
	for _, r := range reasons {
		n[slices.Index(flawNames[:], r)]++
	}
	return n
}

// TestRefused holds that a panic and refusals are counted, and that the rest goes on.
func TestRefused(t *testing.T) {
	var s stream
	s.say("IIALC", "GNRMC,990000,A,5130.0,N,00030.0,E,3900.0,2.0,,,,A", "PMTK010,001", "GPFOO,1")
	s.epoch(36000, "RMC")
	a := NewAssembler(&recorder{}, Options{})
	var sc Scanner
	sc.Scan(s.Bytes(), a.Push)
	a.Flush()
	want := map[string]TypeStats{
		"other":   {Refused: 1, reasons: counts("parser panic")},
		"GNRMC":   {Good: 1, Refused: 1, reasons: counts("malformed time", "implausible value")},
		"PMTK010": {Unsupported: 1},
		"GPFOO":   {Unsupported: 1},
	}
	st := a.Stats()
	if d := cmp.Diff(want, st.Types, cmp.AllowUnexported(TypeStats{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if st.Refused != 2 {
		t.Errorf("counters: %+v", st)
	}
}

// TestText holds that the antenna and the firmware that a receiver names are kept.
func TestText(t *testing.T) {
	tests := []struct{ in, antenna, firmware string }{
		{"GNTXT,01,01,02,ANTSTATUS=SHORT", "SHORT", ""},
		{"GPTXT,01,01,01,ANTENNA OPEN", "OPEN", ""},
		{"GNTXT,01,01,02,FWVER=SPG 4.04", "", "SPG 4.04"},
		{"GNTXT,01,01,02,FWVER=\xff\x01x", "", "x"},
		{"GNTXT,01,01,02,FWVER=~1", "", "~1"},
		{"GPTXT,DEFAULT PVT CONFIGURATION", "", ""},
	}
	for _, tt := range tests {
		a := NewAssembler(&recorder{}, Options{})
		a.Push([]byte(sentence(tt.in)))
		if st := a.Stats(); st.Antenna != tt.antenna || st.Firmware != tt.firmware {
			t.Errorf("%q: antenna %q, firmware %q", tt.in, st.Antenna, st.Firmware)
		}
	}
}

// Garmin's altitude in feet serves where no other sentence has one, and waits for nothing where one does.
func TestAltitudeInFeet(t *testing.T) {
	rmc := func(second int) string {
		return fmt.Sprintf("GPRMC,0900%02d,A,5130.0000,N,00007.5000,W,27.0,84.4,231126,,", second)
	}
	gga := func(second int) string {
		return fmt.Sprintf("GPGGA,0900%02d,5130.0000,N,00007.5000,W,1,09,0.8,11.2,M,46.7,M,,", second)
	}
	for name, test := range map[string]struct {
		epoch func(second int) []string
		want  float64
	}{
		"alone":      {func(s int) []string { return []string{rmc(s), "PGRMZ,100,f,3"} }, 30.48},
		"before GGA": {func(s int) []string { return []string{rmc(s), "PGRMZ,100,f,3", gga(s)} }, 11.2},
		"after GGA":  {func(s int) []string { return []string{gga(s), rmc(s), "PGRMZ,100,f,3"} }, 11.2},
	} {
		var got []Fix
		a := NewAssembler(fixes(func(f *Fix) { got = append(got, *f) }), Options{})
		for second := range 10 {
			for _, body := range test.epoch(second) {
				a.Push([]byte("$" + body + "*00")) // the Scanner checks, not the Assembler
			}
		}
		a.Flush()
		if len(got) != 10 {
			t.Errorf("%s: %d fixes of 10 epochs", name, len(got))
		}
		for i, f := range got[2:] {
			if f.Mode != Mode3D || f.AltMSL.V < test.want-0.001 || f.AltMSL.V > test.want+0.001 {
				t.Errorf("%s: epoch %d: mode %v, altitude %+v, want 3D and %g", name, i+2, f.Mode, f.AltMSL, test.want)
			}
		}
	}
}

// fixes is a Handler of fixes alone.
type fixes func(*Fix)

func (f fixes) Fix(fix *Fix) { f(fix) }
func (f fixes) Sky(*Sky)     {}
