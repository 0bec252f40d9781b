package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/receiver/sim"
)

func TestMeasure(t *testing.T) {
	origin := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	at := func(i int, after time.Duration) time.Time { return origin.Add(time.Duration(i)*time.Second + after) }
	var epochs []epoch
	var log []sent
	for i := range 4 {
		epochs = append(epochs, epoch{time: at(i, 0).Format(stampLayout)})
		log = append(log, sent{first: at(i, time.Millisecond), complete: at(i, 20*time.Millisecond)})
	}
	var got result
	got.measure(epochs, log, []fix{
		{origin, "2026-11-23T08:59:59.000Z"}, // of the warm-up
		{at(0, 21*time.Millisecond), epochs[0].time},
		{at(1, 22*time.Millisecond), epochs[1].time},
		{at(1, 32*time.Millisecond), epochs[1].time}, // a second message of the same epoch
		{at(3, 11*time.Millisecond), epochs[3].time}, // before the epoch was complete
	})
	want := result{FixesPerEpoch: 1, EpochsWithout: 1, FirstByte: &span{Median: 20, P99: 21}, LastByte: &span{Median: 1, P99: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measure (-want +got):\n%s", diff)
	}
}

func TestEpochIsCompleteAtTheLastSentenceOfThePosition(t *testing.T) {
	e := newEpoch("", []byte("$GNRMC,1\r\n$GNGSA,1\r\n$GNGSA,2\r\n$GPGSV,1\r\n"))
	if diff := cmp.Diff([]int{10, 20, 30, 40}, e.ends); diff != "" || e.complete != 30 {
		t.Errorf("complete after %d bytes, want 30; sentences end (-want +got):\n%s", e.complete, diff)
	}
	var got []int
	for at := 0; at < 20; {
		at = e.chunkEnd(at, 8)
		got = append(got, at)
	}
	if diff := cmp.Diff([]int{8, 10, 18, 20}, got); diff != "" {
		t.Errorf("chunks end (-want +got):\n%s", diff)
	}
}

func TestPlayKeepsToTheSpeedOfTheLine(t *testing.T) {
	epochs, err := simulate(sim.Config{Rate: 10, Baud: 115200}, 2)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLine()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const period, byteAt = 100 * time.Millisecond, 10 * time.Second / 115200
	origin := time.Now()
	log, err := l.play(t.Context(), epochs, period, byteAt, origin)
	if err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Clone(epochs[0].data), epochs[1].data...)
	got := make([]byte, len(want))
	if err := l.Slave.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(l.Slave, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("other bytes came out (%v):\n%s\nwant\n%s", err, got, want)
	}
	for i, s := range log {
		// Never before the line could have carried it; how much later depends on the machine.
		due := origin.Add(time.Duration(i)*period + time.Duration(epochs[i].complete)*byteAt)
		if s.complete.Before(due) {
			t.Errorf("epoch %d was complete %v too early", i, due.Sub(s.complete))
		}
	}
}

func TestTable(t *testing.T) {
	r := report{GPSD: "3.22", Scenarios: []outcome{{Scenario: "1hz-9600", Programs: []result{
		{Program: "gpsd", FixesPerEpoch: 1, FirstByte: &span{40, 50}, LastByte: &span{20, 21}, CPU: 60, Resident: 5, Private: 1},
		{Program: "gpsbridge", FixesPerEpoch: 1, FirstByte: &span{10, 25}, LastByte: &span{-5, -4}, CPU: 30, Resident: 15, Private: 6},
	}}, {Scenario: "10hz-9600", LeftOut: "too slow"}}}
	var b strings.Builder
	if err := r.print(&b); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"1hz-9600 gpsd 1.00 0 40.0 50.0 20.0 21.0 60.00 5.0 1.0 1hz-9600 gpsbridge 1.00 0 10.0 25.0 -5.0 -4.0 30.00 15.0 6.0 /gpsd 0.25 0.50 3.00 6.00",
		"10hz-9600 left out: too slow",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}
