package nmea

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/problem"
)

// TestMidnight holds for sentences in either order around midnight.
func TestMidnight(t *testing.T) {
	for _, order := range [][]string{{"RMC", "GGA"}, {"GGA", "RMC"}, {"GGA", "GLL", "ZDA"}} {
		var s stream
		for i := range 6 {
			sec := 86397 + float64(i)
			s.date = "311226"
			if sec >= 86400 {
				sec, s.date = sec-86400, "010127"
			}
			s.epoch(sec, order...)
		}
		r := assemble(s.Bytes(), Options{})
		r.oneEach(t, 6)
		want := "31T23:59:57.00 31T23:59:58.00 31T23:59:59.00 01T00:00:00.00 01T00:00:01.00 01T00:00:02.00"
		if got := r.times(); got != want {
			t.Errorf("%v: %s", order, got)
		}
	}
}

// TestDateChangesBesideMidnight holds that a receiver that changes its date an
// epoch too late or too early does not jump by a day.
func TestDateChangesBesideMidnight(t *testing.T) {
	for _, change := range []float64{86399, 86401} {
		var s stream
		for i := range 6 {
			sec := 86397 + float64(i)
			s.date = "311226"
			if sec >= change {
				s.date = "010127"
			}
			s.epoch(math.Mod(sec, 86400), "RMC", "GGA")
		}
		want := "31T23:59:57.00 31T23:59:58.00 31T23:59:59.00 01T00:00:00.00 01T00:00:01.00 01T00:00:02.00"
		if got := assemble(s.Bytes(), Options{}).times(); got != want {
			t.Errorf("date changed at second %.0f: %s", change, got)
		}
	}
}

// TestMidnightWithoutFix holds that the date goes on without a fix.
// TestOneEpochAroundMidnight holds that sentences that round its time differently are of one epoch at midnight too.
func TestOneEpochAroundMidnight(t *testing.T) {
	for _, order := range []string{"GGA RMC", "RMC GGA"} {
		var sentences []string
		for i := range 6 {
			sec, date := 86396+float64(i), "231126"
			if i >= 4 {
				sec, date = float64(i-4), "241126"
			}
			of := map[string]string{"GGA": ggaAt(clock(math.Mod(sec+86399.999, 86400))), "RMC": rmcAt(clock(sec), date)}
			for kind := range strings.FieldsSeq(order) {
				sentences = append(sentences, of[kind])
			}
		}
		r := fixesOf(Options{}, sentences...)
		r.oneEach(t, 6)
		for i, f := range r.fixes {
			want := time.Date(2026, 11, 23, 23, 59, 56+i, 0, time.UTC)
			if !f.Speed.Set || !f.AltMSL.Set || f.Time.Sub(want).Abs() > time.Millisecond {
				t.Errorf("%s: fix %d: %+v", order, i, f)
			}
		}
	}
}

func TestMidnightWithoutFix(t *testing.T) {
	var s stream
	s.epoch(86398, "RMC", "GGA")
	s.void = true
	s.epoch(86399, "RMC", "GGA")
	s.epoch(0, "RMC", "GGA")
	want := "23T23:59:58.00 23T23:59:59.00 24T00:00:00.00"
	if got := assemble(s.Bytes(), Options{}).times(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestClockSet holds that the time is unknown when a receiver without a fix jumps, until it states a date with a fix.
func TestClockSet(t *testing.T) {
	var s stream
	s.epoch(36000, "RMC")
	s.void, s.date = true, "060180"
	s.epoch(86382, "RMC")
	s.epoch(86383, "RMC")
	s.void, s.date = false, "241126"
	s.epoch(50000, "RMC")
	want := "23T10:00:00.00 - - 24T13:53:20.00"
	if got := assemble(s.Bytes(), Options{}).times(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLeapSecond holds that 23:59:60 is a second of its own and the day after it the next one.
func TestLeapSecond(t *testing.T) {
	for _, kinds := range [][]string{{"RMC", "GGA"}, {"GGA", "RMC"}, {"GGA"}} {
		s := stream{date: "311216"}
		s.epoch(86398, "GGA", "RMC")
		for _, half := range []float64{86399, 86399.5, 86400, 86400.5} {
			s.epoch(half, kinds...)
		}
		s.date = "010117"
		s.epoch(0, kinds...)
		s.epoch(0.5, kinds...)
		r := assemble(s.Bytes(), Options{})
		want := "31T23:59:58.00 31T23:59:59.00 31T23:59:59.50 01T00:00:00.00(leap) 01T00:00:00.50(leap) 01T00:00:00.00 01T00:00:00.50"
		if got := r.times(); got != want {
			t.Errorf("%v:\ngot  %s\nwant %s", kinds, got, want)
		}
		var times []string
		for i := range r.fixes {
			times = append(times, string(appendTime(nil, r.fixes[i].Time, r.fixes[i].LeapSecond)))
		}
		if times[3] != `,"time":"2016-12-31T23:59:60.000Z"` || times[4] != `,"time":"2016-12-31T23:59:60.500Z"` {
			t.Errorf("%v: %s", kinds, times)
		}
	}
}

// system is a system's clock that stands.
func system(day string, behind time.Duration) func() (time.Time, time.Duration) {
	now, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return func() (time.Time, time.Duration) { return now, behind }
}

// TestRollover holds that whole 1024 weeks are added when a date is before the floor, or nearer to the system's time then.
func TestRollover(t *testing.T) {
	at := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	tests := []struct {
		name, date, want string
		o                Options
		n                int
	}{
		{name: "no floor", date: "220899", want: "1999-08-22"},
		{name: "floor", date: "220899", o: Options{Floor: at("2019-01-01")}, want: "2019-04-07", n: 1},
		{name: "floor, twice", date: "220899", o: Options{Floor: at("2026-10-01")}, want: "2038-11-21", n: 2},
		{name: "right date", date: "231126", o: Options{Floor: at("2026-10-01")}, want: "2026-11-23"},
		{name: "system", date: "100407", o: Options{System: system("2026-11-24", 0)}, want: "2026-11-24", n: 1},
		{name: "system, right date", date: "231126", o: Options{Floor: at("2026-10-01"), System: system("2026-11-24", 0)}, want: "2026-11-23"},
		{name: "system of the past", date: "231126", o: Options{Floor: at("2026-10-01"), System: system("2000-01-01", 0)}, want: "2026-11-23"},
		{name: "a day before the floor", date: "221126", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 0)}, want: "2026-11-22"},
		{name: "the day of the floor", date: "231126", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 0)}, want: "2026-11-23"},
		{name: "a replay", date: "150619", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 0)}, want: "2019-06-15"},
		{name: "a cold receiver", date: "060180", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 0)}, want: "0001-01-01"},
		{name: "the first rollover", date: "220899", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 0)}, want: "0001-01-01"},
		{name: "a few days ahead", date: "011226", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 0)}, want: "2026-12-01"},
		{name: "too far ahead", date: "021226", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 0)}, want: "0001-01-01"},
		{name: "a board that was off", date: "021226", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 365*24*time.Hour)}, want: "2026-12-02"},
		{name: "a rollover that is a month ahead of a board that was off", date: "130607", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 365*24*time.Hour)}, want: "2007-06-13"},
		{name: "a board that was off, and a replay", date: "221126", o: Options{Floor: at("2026-11-23"), System: system("2026-11-28", 365*24*time.Hour)}, want: "2026-11-22"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stream{date: tt.date}
			for i := range 3 {
				s.epoch(36000+float64(i), "GGA", "RMC")
			}
			r := &recorder{}
			a := NewAssembler(r, tt.o)
			var sc Scanner
			sc.Scan(s.Bytes(), a.Push)
			a.Flush()
			for i, f := range r.fixes {
				if got := f.Time.Format(time.DateOnly); got != tt.want {
					t.Errorf("fix %d: %s, want %s", i, got, tt.want)
				}
			}
			if got := a.Stats().Rollovers; got != tt.n {
				t.Errorf("%d rollovers, want %d", got, tt.n)
			}
			var code problem.Code
			switch {
			case tt.want == "0001-01-01":
				code = DateImplausible
			case at(tt.want).Before(tt.o.Floor):
				code = DateOld
			}
			if p := a.Stats().Date; (p == nil) != (code == "") || p != nil && p.Code != code {
				t.Errorf("problem %v, want %q", p, code)
			}
			d, _ := parseDate(tt.date)
			if stated := fmt.Sprintf("%d-%02d-%02d", d.year, d.month, d.day); code != "" && !strings.Contains(a.Stats().Date.Cause, stated) {
				t.Errorf("%q does not name the date %s", a.Stats().Date.Cause, stated)
			}
		})
	}
}

// TestDate holds that a fix has no time until a date is known, and that a date of a receiver without a fix is not believed.
func TestDate(t *testing.T) {
	tests := []struct {
		name string
		say  func(s *stream)
		want string
	}{
		{"GGA alone", func(s *stream) { s.epoch(36000, "GGA"); s.epoch(36001, "GGA") }, "- -"},
		{"RMC comes later", func(s *stream) { s.epoch(36000, "GGA"); s.epoch(36001, "GGA", "RMC"); s.epoch(36002, "GGA") }, "- - 23T10:00:02.00"},
		{"ZDA alone", func(s *stream) { s.epoch(36000, "GGA", "ZDA"); s.epoch(36001, "GGA") }, "23T10:00:00.00 23T10:00:01.00"},
		{"without a fix", func(s *stream) {
			s.void = true
			s.epoch(36000, "RMC", "ZDA")
			s.void = false
			s.epoch(36001, "GGA")
		}, "- -"},
		{"malformed", func(s *stream) {
			s.say("GPRMC,100000,A,5130.0,N,00030.0,E,1.0,2.0,2208-1,,,A", "GPRMC,100001,A,5130.0,N,00030.0,E,1.0,2.0,320126,,,A")
		}, "- -"},
		{"malformed later", func(s *stream) {
			s.epoch(36000, "RMC")
			s.say("GPRMC,100001,A,5130.0,N,00030.0,E,1.0,2.0,2208-1,,,A")
		}, "23T10:00:00.00 23T10:00:01.00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s stream
			tt.say(&s)
			r := assemble(s.Bytes(), Options{})
			if got := r.times(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			for _, f := range r.fixes[1:] {
				if !f.Lat.Set {
					t.Errorf("no position: %+v", f)
				}
			}
		})
	}
}
