package nmea

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestFixJSON(t *testing.T) {
	want := `{"class":"TPV","mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",` +
		`"lat":51.50336350,"lon":-0.12762480,"altMSL":11.200,"altHAE":57.900,"geoidSep":46.700,` +
		`"speed":13.890,"track":84.40,"heading":83.90,"climb":0.10,"magvar":0.6,` +
		`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.20,"epv":25.30,"uSat":9,"nSat":14}`
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
