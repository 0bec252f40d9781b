package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPanelShowsTheNewestFixAndCountsTheRest(t *testing.T) {
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	p := newPanel("ws://relay/ws/gps-tracking/van_7/", start)
	contains := func(now time.Time, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(p.text(now), w) {
				t.Errorf("no %q in\n%s", w, p.text(now))
			}
		}
	}
	contains(at(1), "joining for 1s", "fix       none yet", "satellites none reported")

	p.enter("joined", "", at(1))
	tpv := func(seq int, more string) []byte {
		return fmt.Appendf(nil, `{"class":"TPV","device_id":"van_7","run":"aa","seq":%d,"mode":3,"lat":51.5,"lon":-0.125,"speed":10,"track":84.4,"uSat":9%s}`, seq, more)
	}
	for i := range 10 {
		p.message(tpv(10+i, ""), at(1+float64(i)/2))
	}
	contains(at(5.7), "joined for 5s", "10, 2.0 fixes a second, 0 not here, 0 repeats, 0 late", "3D, 0.2 s ago",
		"van_7, run aa, number 19", "51.5000000 -0.1250000", "36.0 km/h, course 84°", "9 satellites used")

	p.message(tpv(23, ""), at(6))
	contains(at(6), "3 not here", "number 23")
	p.message(tpv(20, `,"backlog":true`), at(6))
	contains(at(6), "2 not here, 0 repeats, 1 late", "number 23") // what is late is no newer fix
	p.message(tpv(23, ""), at(6))
	contains(at(6), "2 not here, 1 repeats")
	contains(at(10), "OLD, 4s ago", "0.0 fixes a second")

	p.message([]byte(`{"class":"SKY","satellites":[{"gnssid":0,"svid":5,"el":71,"az":210,"ss":30,"used":true},{"gnssid":6,"svid":7,"ss":44}]}`), at(10))
	contains(at(11), "G05*    71  210    30 ===============\n", "R07                44 ======================\n")
	if text := p.text(at(11)); strings.Index(text, "R07") > strings.Index(text, "G05") {
		t.Error("the stronger satellite does not come first")
	}
	contains(at(60), "satellites none reported")

	p.message([]byte(`{"class":"TPV","device_id":"van_7","mode":3}`), at(60.5)) // held back by a limit of [report]
	contains(at(60.6), "device    van_7\n")
	p.enter("not joined", "connection refused", at(60.6))
	contains(at(63), "not joined for 2s: connection refused\n")

	for _, odd := range []string{`{`, `7`, `{"class":"CHAT","text":"hello"}`, `{"class":"TPV","mode":"x"}`, `{"class":"TPV","mode":-3}`} {
		p.message([]byte(odd), at(61))
	}
	contains(at(61), "20, ")
}

// TestPanelSurvivesWhatAMemberMaySend: one message of another member of the group must not end the program, nor stop the picture.
func TestPanelSurvivesWhatAMemberMaySend(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	p := newPanel("ws://relay/ws/gps-tracking/van_7/", now)
	tpv := func(run string, seq uint64, device string) {
		p.message(fmt.Appendf(nil, `{"class":"TPV","device_id":%q,"run":%q,"seq":%d,"mode":3,"lat":51.5,"lon":-0.125}`, device, run, seq), now)
	}
	for _, strength := range []string{"1e10", "1e308", "-1e308"} {
		p.message([]byte(`{"class":"SKY","satellites":[{"gnssid":0,"svid":5,"ss":`+strength+`}`+strings.Repeat(`,{"ss":40}`, 10_000)+`]}`), now)
		for line := range strings.Lines(p.text(now)) {
			if len(line) > 500 {
				t.Errorf("of a signal of %s dB-Hz a line of %d bytes is made", strength, len(line))
			}
		}
		if n := strings.Count(p.text(now), "\n"); n > 300 {
			t.Errorf("%d lines", n)
		}
	}

	// A number that cannot be right holds up no fix that comes after it.
	tpv("aa", 7, "van_7")
	tpv("aa", 1<<63, "van_7")
	tpv("aa", 8, "van_7")
	if text := p.text(now); !strings.Contains(text, "number 8\n") || !strings.Contains(text, " 0 not here, 0 repeats") {
		t.Errorf("after a number that was wrong:\n%s", text)
	}

	tpv("bb", 1, strings.Repeat("x", 100_000))
	if n := len(p.text(now)); n > 50_000 {
		t.Errorf("a picture of %d bytes", n)
	}
	for i := range 1000 {
		tpv(fmt.Sprint(i), 1, "van_7")
	}
	if len(p.newest) > mostRuns {
		t.Errorf("%d runs are remembered", len(p.newest))
	}
}
