package nmea

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// The tests of this file hold where the limits of the package lie: just within, and just beyond.

// fixesOf gives sentences, without `$` and checksum, to an Assembler. An empty one is a pause.
func fixesOf(o Options, sentences ...string) *recorder {
	r := &recorder{}
	a := NewAssembler(r, o)
	for _, s := range sentences {
		if s == "" {
			a.Flush()
			continue
		}
		r.n++
		a.Push([]byte("$" + s + "*00"))
	}
	a.Flush()
	return r
}

func rmcAt(clock, date string) string {
	return "GNRMC," + clock + ",A,5130.0,N,00030.0,E,10.0,20.0," + date + ",,,A"
}

func ggaAt(clock string) string {
	return "GNGGA," + clock + ",5130.0,N,00030.0,E,1,09,0.8,11.2,M,46.7,M,,"
}

// TestLimitsOfFields holds for numbers at the limits of what is plausible.
func TestLimitsOfFields(t *testing.T) {
	gga := func(alt, sep, hdop, used string) string {
		return "GNGGA,100000,5130.0,N,00030.0,E,1," + used + "," + hdop + "," + alt + ",M," + sep + ",M,,"
	}
	for _, tt := range []struct {
		text string
		q    quantity
		want Value
	}{
		{gga("-2000", "0", "1", "9"), altMSL, some(-2000)},
		{gga("-2000.1", "0", "1", "9"), altMSL, Value{}},
		{gga("100000", "0", "1", "9"), altMSL, some(100000)},
		{gga("100000.1", "0", "1", "9"), altMSL, Value{}},
		{gga("0", "-250", "1", "9"), geoidSep, some(-250)},
		{gga("0", "250", "1", "9"), geoidSep, some(250)},
		{gga("0", "250.1", "1", "9"), geoidSep, Value{}},
		{gga("0", "-250.1", "1", "9"), geoidSep, Value{}},
		{gga("0", "0", "0.01", "9"), hdop, some(0.01)},
		{gga("0", "0", "0.009", "9"), hdop, Value{}},
		{gga("0", "0", "89.99", "9"), hdop, some(89.99)},
		{gga("0", "0", "90", "9"), hdop, Value{}},
		{gga("0", "0", "1", "255"), uSat, some(255)},
		{gga("0", "0", "1", "256"), uSat, Value{}},
		{gga("0", "0", "1", "0"), uSat, some(0)},
		{gga(" 11.2", "0", "1", "9"), altMSL, some(11.2)},
		{gga("11.2 ", "0", "1", "9"), altMSL, some(11.2)},
		{gga("  ", "0", "1", "9"), altMSL, Value{}},
		{"GNRMC,100000,A,5130.0,N,00030.0,E,0,0,231126,0.1,W,A", magVar, some(-0.1)},
		{"GNRMC,100000,A,5130.0,N,00030.0,E,0,0,231126,0.09,W,A", magVar, Value{}},
		{"GNRMC,100000,A,5130.0,N,00030.0,E,0,0,231126,180,E,A", magVar, some(180)},
		{"GNRMC,100000,A,5130.0,N,00030.0,E,0,0,231126,180.1,E,A", magVar, Value{}},
		{"GNRMC,100000,A,5130.0,N,00030.0,E,0,0,231126,5.0,X,A", magVar, Value{}},
		{"GNRMC,100000,A,5130.0,N,00030.0,E,0,360.1,231126,,,A", track, Value{}},
		{"GNRMC,100000,A,5130.0,N,00030.0,E,-1,0,231126,,,A", speed, Value{}},
		{"GNVTG,0,T,,M,,N,3600,K,A", speed, some(1000)},
		{"GNVTG,0,T,,M,,N,3600.1,K,A", speed, Value{}},
		{"PGRMZ,-6561,f,3", altMSL, some(-6561 * 0.3048)},
		{"PGRMZ,-6562,f,3", altMSL, Value{}},
		{"PGRMZ,100,m,3", altMSL, Value{}},
		{"GNGST,100000,,,,,0,0,0", eph, Value{}},
		{"GNGST,100000,,,,,0,0,0", epv, Value{}},
		{"GNGST,100000,,,,,0,3,0", eph, some(6)},
		{"GNGST,100000,,,,,3,0,1", epv, some(2)},
		{"GNGST,100000,,,,,3,,1", eph, Value{}},
		{"GNGST,100000,,,,,1000000,0,1", eph, some(2e6)},
		{"GNGST,100000,,,,,1000000.1,0,1", eph, Value{}},
		{"PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,G3,2.5,5.0,36.0,084.4,-1000,,0.8,1.1,0.6,9,0,0", climb, some(1000)},
		{"PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,G3,2.5,5.0,36.0,084.4,1000.1,,0.8,1.1,0.6,9,0,0", climb, Value{}},
		{"PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,D2,2.5,5.0,36.0,084.4,0,,0.8,1.1,0.6,9,0,0", altHAE, some(57.9)},
		{"PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,DR,2.5,5.0,36.0,084.4,0,,0.8,1.1,0.6,9,0,0", uSat, some(9)},
		{"PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,RK,2.5,5.0,36.0,084.4,0,,0.8,1.1,0.6,9,0,0", track, some(84.4)},
	} {
		if got := say(t, tt.text).values[tt.q]; got.Set != tt.want.Set || got.Set && (got.V-tt.want.V > 1e-9 || tt.want.V-got.V > 1e-9) {
			t.Errorf("%s: %s is %+v, want %+v", tt.text, quantities[tt.q].key, got, tt.want)
		}
	}
	for text, placed := range map[string]bool{
		"GPGLL,9000.0,N,18000.0,E,100000,A": true, "GPGLL,9000.0,S,18000.0,W,100000,A": true,
		"GPGLL,9000.1,N,18000.0,E,100000,A": false, "GPGLL,9000.0,N,18000.1,E,100000,A": false,
	} {
		if got := say(t, text).lat.Set; got != placed {
			t.Errorf("%s: a position %t, want %t", text, got, placed)
		}
	}
	for status, want := range map[string]Status{"G2": StatusGPS, "D3": StatusDGPS, "DR": StatusDeadReckoning, "RK": StatusGNSSDR} {
		r := say(t, "PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,"+status+",2.5,5.0,36.0,084.4,0,,0.8,1.1,0.6,9,0,0")
		if r.status != want || r.verdict != valid || (r.dim == ModeUnknown) != (status[1] != '2' && status[1] != '3') {
			t.Errorf("PUBX %s: status %d, verdict %d, dimension %d", status, r.status, r.verdict, r.dim)
		}
	}
}

// TestLimitsOfEpochs holds how far the times of one epoch may lie apart.
func TestLimitsOfEpochs(t *testing.T) {
	for _, tt := range []struct {
		name      string
		sentences []string
		want      int
	}{
		{"10 ms", []string{rmcAt("100000.000", "231126"), ggaAt("100000.010")}, 1},
		{"10 ms back", []string{rmcAt("100000.010", "231126"), ggaAt("100000.000")}, 1},
		{"11 ms", []string{rmcAt("100000.000", "231126"), ggaAt("100000.011")}, 2},
		{"10 ms over midnight", []string{rmcAt("235959.995", "231126"), ggaAt("000000.005")}, 1},
		{"11 ms over midnight", []string{rmcAt("235959.995", "231126"), ggaAt("000000.006")}, 2},
		{"a dropped zero", []string{rmcAt("100000.076", "231126"), ggaAt("100000.76")}, 1},
		{"a dropped zero, the other way", []string{rmcAt("100000.76", "231126"), ggaAt("100000.076")}, 1},
		{"a dropped zero of 10", []string{rmcAt("100000.010", "231126"), ggaAt("100000.10")}, 1},
		{"a zero that was not dropped", []string{rmcAt("100000.009", "231126"), ggaAt("100000.09")}, 2},
		{"the same type 1 ms later", []string{ggaAt("100000.000"), ggaAt("100000.001")}, 2},
		{"the same type again", []string{ggaAt("100000.000"), ggaAt("100000.000")}, 1},
		{"another talker 1 ms later", []string{ggaAt("100000.000"), "GP" + ggaAt("100000.001")[2:]}, 1},
	} {
		if got := len(fixesOf(Options{}, tt.sentences...).fixes); got != tt.want {
			t.Errorf("%s: %d fixes, want %d", tt.name, got, tt.want)
		}
	}
}

// TestManyOfEverything holds that more talkers, companions, groups and satellites than there is room for do no harm.
func TestManyOfEverything(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("%c%cRMC,100000,A,5130.0,N,00030.0,E,10.0,20.0,231126,,,A", 'A'+i%20, 'A'+i/20))
	}
	for i := range 40 {
		many = append(many, fmt.Sprintf("%c%cVTG,20.0,T,,M,10.0,N,,K,A", 'A'+i%20, 'A'+i/20))
	}
	for i := range 60 {
		many = append(many, fmt.Sprintf("%c%cGSV,1,1,01,01,38,160,35,1", 'A'+i%20, 'A'+i/20))
	}
	for i := range 40 {
		many = append(many, fmt.Sprintf("GPGSV,40,%d,99,%02d,38,160,35,%02d,38,160,35,%02d,38,160,35,%02d,38,160,35", i+1, i, i+40, i%9, i%7))
	}
	for second := range 5 {
		var again []string
		for _, s := range many {
			again = append(again, strings.Replace(s, ",100000,", fmt.Sprintf(",1000%02d,", second), 1))
		}
		r := fixesOf(Options{}, again...)
		if len(r.fixes) != 1 || !r.fixes[0].Speed.Set {
			t.Errorf("%d fixes of one epoch: %+v", len(r.fixes), r.fixes)
		}
	}
	a := NewAssembler(&recorder{}, Options{})
	for i := range 600 {
		a.Push([]byte(fmt.Sprintf("$A%c%cXXX,1*00", 'A'+i%26, 'A'+i/26)))
	}
	if n := len(a.Stats().Types); n != maxAddresses+1 || a.Stats().Types[others].Unsupported != 600-maxAddresses {
		t.Errorf("%d addresses are counted, %+v apart from them", n, a.Stats().Types[others])
	}
	a.Push([]byte("$GNTXT,01,01,02,FWVER=" + strings.Repeat("x", 100) + "*00"))
	if got := a.Stats().Firmware; len(got) != maxText-len("FWVER=") {
		t.Errorf("firmware of %d characters", len(got))
	}
}

// TestLimitsOfDates holds at the limits of what moves, keeps and refuses a date.
func TestLimitsOfDates(t *testing.T) {
	bounded := Options{Floor: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), System: system("2026-11-28", 0)}
	early := Options{Floor: bounded.Floor, System: system("2026-11-23", 0)}
	for _, tt := range []struct {
		name, date, want string
		o                Options
	}{
		{"the day of the floor", "231126", "2026-11-23", bounded},
		{"a rollover to three days ahead", "170407", "2026-12-01", bounded},
		{"a rollover to four days ahead", "180407", "2007-04-18", bounded},
		{"a rollover to the floor", "090407", "2026-11-23", bounded},
		{"a rollover to before the floor", "080407", "2007-04-08", bounded},
		{"the first plausible day", "010100", "2000-01-01", bounded},
		{"the last that is not", "311299", "-", bounded},
		{"a system of the day of the floor", "221126", "2026-11-22", early},
		{"a system before the floor is not asked", "221126", "2046-07-08", Options{Floor: bounded.Floor, System: system("2026-11-22", 0)}},
		{"no system", "221126", "2046-07-08", Options{Floor: bounded.Floor}},
		{"no system, the day of the floor", "231126", "2026-11-23", Options{Floor: bounded.Floor}},
		{"a system without a time", "221126", "2046-07-08", Options{Floor: bounded.Floor, System: func() (time.Time, time.Duration) { return time.Time{}, 0 }}},
		{"as far ahead as the system may be behind", "031226", "2026-12-03", Options{Floor: bounded.Floor, System: system("2026-11-28", 48*time.Hour)}},
		{"farther", "041226", "-", Options{Floor: bounded.Floor, System: system("2026-11-28", 48*time.Hour)}},
	} {
		got := "-"
		if f := fixesOf(tt.o, rmcAt("100000", tt.date)).fixes[0]; !f.Time.IsZero() {
			got = f.Time.Format(time.DateOnly)
		}
		if got != tt.want {
			t.Errorf("%s: %s is %s, want %s", tt.name, tt.date, got, tt.want)
		}
	}
}

// TestLimitsOfMidnight holds how far from midnight a date may change by a day and is taken to change at midnight.
func TestLimitsOfMidnight(t *testing.T) {
	for _, tt := range []struct{ name, before, date, after, nextDate, want string }{
		{"5 s before", "235954", "231126", "235955", "241126", "23T23:59:55.00"},
		{"5.001 s before", "235954", "231126", "235954.999", "241126", "24T23:59:55.00"},
		{"4.999 s after", "235958", "231126", "000004.999", "231126", "24T00:00:05.00"},
		{"5 s after", "235958", "231126", "000005", "231126", "23T00:00:05.00"},
		{"two days", "235958", "231126", "000001", "251126", "25T00:00:01.00"},
	} {
		r := fixesOf(Options{}, rmcAt(tt.before, tt.date), rmcAt(tt.after, tt.nextDate))
		f := r.fixes[len(r.fixes)-1]
		if got := f.Time.Round(10 * time.Millisecond).Format("02T15:04:05.00"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	for step, known := range map[string]bool{"110000": true, "110001": false, "090000": true, "085959": false} {
		r := fixesOf(Options{}, rmcAt("100000", "231126"), "GNRMC,"+step+",V,,,,,,,,,,N")
		if got := !r.fixes[1].Time.IsZero(); got != known {
			t.Errorf("a clock that jumps from 10:00:00 to %s without a fix: the date is known %t, want %t", step, got, known)
		}
	}
}

// TestLimitsOfCarrying holds for how long values are carried.
func TestLimitsOfCarrying(t *testing.T) {
	gll := func(clock string) string { return "GNGLL,5130.0,N,00030.0,E," + clock + ",A,A" }
	gsa := "GNGSA,A,3,01,02,03,04,,,,,,,,,,,"
	gsv := "GPGSV,1,1,02,05,71,210,40,07,20,100,31"
	last := func(sentences ...string) Fix {
		r := fixesOf(Options{}, sentences...)
		return r.fixes[len(r.fixes)-1]
	}
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"dimension, 10 s", last(gll("100000"), gsa, "", gll("100010")).Mode, Mode3D},
		{"dimension, 10.01 s", last(gll("100000"), gsa, "", gll("100010.01")).Mode, Mode2D},
		{"dimension of an altitude, 10 s", last(ggaAt("100000"), "", gll("100010")).Mode, Mode3D},
		{"dimension of an altitude, 10.01 s", last(ggaAt("100000"), "", gll("100010.01")).Mode, Mode2D},
		{"estimate, 2.5 s", last(gll("100000"), "GNGST,100000,,,,,3,4,5", "", gll("100002.5")).Eph, some(10)},
		{"estimate, 2.51 s", last(gll("100000"), "GNGST,100000,,,,,3,4,5", "", gll("100002.51")).Eph, Value{}},
		{"satellites in view, 10 s", last(gll("100000"), gsv, "", gll("100010")).NSat, some(2)},
		{"satellites in view, 10.01 s", last(gll("100000"), gsv, "", gll("100010.01")).NSat, Value{}},
		{"climb, 5 s", last(ggaAt("100000"), "", strings.Replace(ggaAt("100005"), "11.2", "21.2", 1)).Climb, some(2)},
		{"climb, 5.01 s", last(ggaAt("100000"), "", strings.Replace(ggaAt("100005.01"), "11.2", "21.2", 1)).Climb, Value{}},
		{"climb, 0.985 s", last(ggaAt("100000.000"), "", strings.Replace(ggaAt("100000.985"), "11.2", "13.17", 1)).Climb.Set, true},
		{"climb, 0.984 s", last(ggaAt("100000.000"), "", strings.Replace(ggaAt("100000.984"), "11.2", "13.17", 1)).Climb, Value{}},
		{"climb from an altitude 0.985 s back", math.Abs(last(ggaAt("100000.000"), "", strings.Replace(ggaAt("100000.985"), "11.2", "13.2", 1), "", strings.Replace(ggaAt("100001.970"), "11.2", "14.185", 1)).Climb.V-1) < 1e-9, true},
		{"satellites of a GSA that comes twice", last(gll("100000"), gsa, gsa, gll("100000")).USat, some(4)},
		{"climb after an epoch in two dimensions", last(ggaAt("100000"), "", "GNRMC,100001,V,,,,,,,,,,N", "", ggaAt("100002")).Climb, Value{}},
		{"three satellites", last("GNGGA,100000,5130.0,N,00030.0,E,1,03,0.8,11.2,M,46.7,M,,").Mode, Mode2D},
		{"four satellites", last("GNGGA,100000,5130.0,N,00030.0,E,1,04,0.8,11.2,M,46.7,M,,").Mode, Mode3D},
		{"three satellites, and another sentence", last("GNGGA,100000,5130.0,N,00030.0,E,1,03,0.8,11.2,M,46.7,M,,", gll("100000")).Mode, Mode3D},
		{"12 of GGA and 13 of GSA", last(ggaTwelve("100000"), gsaOf(9), gsaOfGalileo(4), "", ggaTwelve("100001")).USat, some(13)},
		{"12 of GGA and 12 of GSA", last(ggaTwelve("100000"), gsaOf(9), gsaOfGalileo(3), "", ggaTwelve("100001")).USat, some(12)},
		{"11 of GGA and 13 of GSA", last(ggaTwelve("100000"), gsaOf(9), gsaOfGalileo(4), "", strings.Replace(ggaTwelve("100001"), ",12,", ",11,", 1)).USat, some(11)},
	} {
		if v, is := tt.got.(Value); is {
			tt.got = Value{V: v.V, Set: v.Set} // TestDigits is about the decimals
		}
		if fmt.Sprint(tt.got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func ggaTwelve(clock string) string { return strings.Replace(ggaAt(clock), ",09,", ",12,", 1) }

// gsaOf is a GSA with n satellites of GPS.
func gsaOf(n int) string {
	var b strings.Builder
	for i := range 12 {
		b.WriteByte(',')
		if i < n {
			fmt.Fprintf(&b, "%02d", i+1)
		}
	}
	return "GNGSA,A,3" + b.String() + ",1.4,0.8,1.1,1"
}

func gsaOfGalileo(n int) string { return strings.TrimSuffix(gsaOf(n), "1") + "3" }

// TestLimitsOfTheSky holds when the satellites of a constellation that is no longer listed leave the sky, with a clock and
// without, and which signal of a satellite counts.
func TestLimitsOfTheSky(t *testing.T) {
	gps, glonass := "GPGSV,1,1,01,05,71,210,40", "GLGSV,1,1,01,70,12,120,21"
	sky := func(clock func(i int) string) (n []int) {
		sentences := []string{clock(0), gps, glonass}
		for i := 1; i < 13; i++ {
			sentences = append(sentences, clock(i), gps)
		}
		for _, s := range fixesOf(Options{}, sentences...).skies {
			n = append(n, s.NSat)
		}
		return n
	}
	if got := fmt.Sprint(sky(func(i int) string { return ggaAt(fmt.Sprintf("1000%02d", i)) })); got != "[2 2 2 2 2 2 2 2 2 2 2 1 1]" {
		t.Errorf("satellites in view: %s, want those of GLONASS for 10 s", got)
	}
	if got := fmt.Sprint(sky(func(int) string { return "GNGLL,,,,,,V,N" })); got != "[2 2 2 1 1 1 1 1 1 1 1 1 1]" {
		t.Errorf("satellites in view without a clock: %s, want those of GLONASS for 3 cycles", got)
	}
	r := fixesOf(Options{}, ggaAt("100000"), "GPGSV,1,1,01,05,,,40,1", "GPGSV,1,1,01,05,71,210,40,5", "GPGSV,1,1,01,05,72,211,39,6", "GPGSV,1,1,01,05,73,212,41,8")
	if got := r.skies[0].Satellites; len(got) != 1 || got[0].SS.V != 41 || got[0].El.V != 71 || got[0].Az.V != 210 {
		t.Errorf("%+v, want the strongest signal and the first direction", got)
	}
	var three []string
	for i := range 17 { // 68 satellites, more than a group may have
		three = append(three, fmt.Sprintf("GPGSV,17,%d,68,%02d,1,1,1,%02d,1,1,1,%02d,1,1,1,%02d,1,1,1", i+1, i+1, i+20, i+40, i+60))
	}
	if r := fixesOf(Options{}, append([]string{ggaAt("100000")}, three...)...); len(r.skies) != 0 {
		t.Errorf("a group of 68 satellites makes a sky of %d", r.skies[0].NSat)
	}
	if r := fixesOf(Options{}, append([]string{ggaAt("100000")}, sixteen(three)...)...); len(r.skies) != 1 {
		t.Errorf("a group of 64 satellites makes %d skies", len(r.skies))
	}
}

// sixteen are the first 16 of 17 parts.
func sixteen(parts []string) (out []string) {
	for _, p := range parts[:16] {
		out = append(out, strings.Replace(p, "GPGSV,17,", "GPGSV,16,", 1))
	}
	return out
}
