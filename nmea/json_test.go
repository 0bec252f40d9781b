package nmea

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	gonmea "github.com/adrianmo/go-nmea"
)

func TestFixJSON(t *testing.T) {
	want := `{"class":"TPV","mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",` +
		`"lat":51.5033635000,"lon":-0.1276248000,"altMSL":11.2000,"altHAE":57.9000,"geoidSep":46.7000,` +
		`"speed":13.8900,"track":84.400,"heading":83.900,"climb":0.100,"magvar":0.6,` +
		`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.200,"epv":25.300,"uSat":9,"nSat":14}`
	if got := string(fullFix().AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string((&Fix{Mode: ModeNone}).AppendJSON([]byte("x"))); got != `x{"class":"TPV","mode":1}` {
		t.Errorf("without a fix: %s", got)
	}
	if got := string((&Sky{}).AppendJSON(nil)); got != `{"class":"SKY","satellites":[],"nSat":0,"uSat":0}` {
		t.Errorf("empty sky: %s", got)
	}
	s := Sky{Time: time.Date(2026, 11, 23, 9, 0, 1, 0, time.UTC), Satellites: make([]Satellite, 2)}
	if got := s.AppendJSON(nil); !json.Valid(got) || !strings.HasPrefix(string(got), `{"class":"SKY","time":"2026-11-23T09:00:01.000Z","satellites":[{`) {
		t.Errorf("sky: %s", got)
	}
}

func TestAppendValue(t *testing.T) {
	tests := []struct {
		v        Value
		decimals int
		want     string
	}{
		{Value{}, 2, ""},
		{some(math.NaN()), 2, ""},
		{some(math.Inf(1)), 2, ""},
		{some(math.Inf(-1)), 0, ""},
		{some(0), 0, "0"},
		{some(0), 2, "0.00"},
		{some(math.Copysign(0, -1)), 2, "0.00"},
		{some(-0.004), 2, "0.00"},
		{some(-0.006), 2, "-0.01"},
		{some(9.999), 2, "10.00"},
		{some(-179.99999999), 8, "-179.99999999"},
		{some(1e-10), 10, "0.0000000001"},
		{some(1e15), 3, "1000000000000000.000"},
		{some(-1e300), 0, "-1" + strings.Repeat("0", 2)},
	}
	for _, tt := range tests {
		got := string(appendValue(nil, "", tt.v, tt.decimals))
		if tt.v.V == -1e300 {
			if !json.Valid([]byte(got)) {
				t.Errorf("%v: %s", tt.v, got)
			}
			continue
		}
		if got != tt.want {
			t.Errorf("appendValue(%v, %d) = %q, want %q", tt.v, tt.decimals, got, tt.want)
		}
	}
}

func TestAppendJSONAllocatesNothing(t *testing.T) {
	f := fullFix()
	s := &Sky{Time: f.Time, Satellites: []Satellite{{SVID: 5, El: some(40)}}, HDOP: some(1)}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		buf = f.AppendJSON(buf[:0])
		buf = s.AppendJSON(buf[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMilliseconds holds that every digit of a time is written.
func TestMilliseconds(t *testing.T) {
	for ms, want := range map[int]string{7: ".007Z", 60: ".060Z", 500: ".500Z", 987: ".987Z"} {
		f := Fix{Mode: ModeNone, Time: time.Date(2026, 11, 23, 9, 0, 1, ms*1e6, time.UTC)}
		if got := string(f.AppendJSON(nil)); !strings.Contains(got, `T09:00:01`+want) {
			t.Errorf("%d ms: %s", ms, got)
		}
	}
}

// TestDigits holds that a message has the digits that the sentences state: no more, and none less that tells two numbers apart.
func TestDigits(t *testing.T) {
	rmc := func(lat, knots, track string) string {
		return "GNRMC,100000,A," + lat + ",N,00030.0,E," + knots + "," + track + ",231126,,,A"
	}
	gga := func(hdop, alt, sep string) string {
		return "GNGGA,100000,5130.0,N,00030.0,E,1,09," + hdop + "," + alt + ",M," + sep + ",M,,"
	}
	for _, tt := range []struct {
		member, want string
		sentences    []string
	}{
		{"lat", "51.5000000", []string{rmc("5130.0", "", "")}},
		{"lat", "51.5033633", []string{rmc("5130.2018", "", "")}},
		{"lat", "51.50336350", []string{rmc("5130.20181", "", "")}},
		{"lat", "51.50336350", []string{rmc("5130.201810", "", "")}},
		{"lat", "51.5033635000", []string{rmc("5130.2018100000", "", "")}}, // 0.01 mm is enough
		{"speed", "5.1", []string{rmc("5130.0", "10", "")}},
		{"speed", "5.14", []string{rmc("5130.0", "10.0", "")}},
		{"speed", "5.1444", []string{rmc("5130.0", "10.000", "")}},
		{"speed", "5.1444", []string{rmc("5130.0", "10.000000", "")}}, // 0.1 mm/s is enough
		{"speed", "10.00", []string{rmc("5130.0", "", ""), "GNVTG,,T,,M,,N,36.0,K,A", gga("", "", "")}},
		{"track", "84", []string{rmc("5130.0", "", "084")}},
		{"track", "84.4", []string{rmc("5130.0", "", "084.4")}},
		{"track", "84.400", []string{rmc("5130.0", "", "084.40000")}},
		{"altMSL", "11", []string{gga("0.8", "11", "46.7")}},
		{"altHAE", "57.7", []string{gga("0.8", "11", "46.7")}},
		{"altHAE", "57.900", []string{gga("0.8", "11.2", "46.700")}},
		{"altMSL", "30.5", []string{"GNRMC,100000,A,5130.0,N,00030.0,E,,,231126,,,A", "GNGSA,A,3,01,02,03,04,,,,,,,,,1,1,1", "PGRMZ,100,f,3"}},
		{"hdop", "1", []string{gga("1", "11", "")}},
		{"eph", "15.2", []string{gga("0.8", "11", "")}},
		{"eph", "15.20", []string{gga("0.80", "11", "")}},
		{"eph", "10.00", []string{gga("0.8", "11", ""), "GNGST,100000,,,,,3,4.0,5"}},
		{"epv", "10", []string{gga("0.8", "11", ""), "GNGST,100000,,,,,3,4.0,5"}},
		{"climb", "0.3", []string{gga("0.8", "11.0", ""), "", strings.Replace(gga("0.8", "11.3", ""), "100000", "100001", 1)}},
		{"climb", "0.15", []string{gga("0.8", "11.0", ""), "", strings.Replace(gga("0.8", "11.3", ""), "100000", "100002", 1)}},
	} {
		r := fixesOf(Options{}, tt.sentences...)
		var members map[string]json.RawMessage
		if err := json.Unmarshal(r.fixes[len(r.fixes)-1].AppendJSON(nil), &members); err != nil {
			t.Fatal(err)
		}
		if got := string(members[tt.member]); got != tt.want {
			t.Errorf("%s of %q is %s, want %s", tt.member, tt.sentences, got, tt.want)
		}
	}
}

// TestDigitsTellNumbersApart holds that no two numbers that a sentence can state become one in a message.
func TestDigitsTellNumbersApart(t *testing.T) {
	for name, parse := range map[string]func(*reading) Value{
		"knots": func(r *reading) Value { return r.scaled(0, 0, maxSpeed, knot) },
		"km/h":  func(r *reading) Value { return r.scaled(0, 0, maxSpeed, kmh) },
		"feet":  func(r *reading) Value { return r.altitude(0, foot) },
	} {
		for decimals := range 4 {
			seen := map[string]string{}
			for n := range 1900 {
				text := strconv.FormatFloat(float64(n)/pow10[decimals], 'f', decimals, 64)
				r := reading{BaseSentence: gonmea.BaseSentence{Fields: []string{text}}}
				v := parse(&r)
				got := string(appendValue(nil, "", v, v.stated.or(maxDecimals)))
				if was, twice := seen[got]; twice {
					t.Fatalf("%s and %s %s are both %s", was, text, name, got)
				}
				seen[got] = text
			}
		}
	}
}
