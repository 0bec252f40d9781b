package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/receiver/sim"
)

// drive is n epochs of three sentences, each of which takes 10 ms on the line, a second apart from origin on.
func drive(origin time.Time, n int) (epochs []epoch, log []sent) {
	for i := range n {
		at := origin.Add(time.Duration(i) * time.Second)
		e := newEpoch(at.Format(stampLayout), []byte("$GPRMC,1*00\r\n$GPGSA,A*00\r\n$GPGLL,1*00\r\n"))
		s := sent{first: at.Add(time.Millisecond)}
		for k := range e.kinds {
			s.ends = append(s.ends, at.Add(time.Duration(10*(k+1))*time.Millisecond))
		}
		epochs, log = append(epochs, e), append(log, s)
	}
	return epochs, log
}

func TestMeasure(t *testing.T) {
	origin := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	epochs, log := drive(origin, 4)
	fixAt := func(i int, after time.Duration) fix {
		return fix{origin.Add(time.Duration(i)*time.Second + after), epochs[i].time}
	}
	list := []fix{
		{origin, "2026-11-23T08:59:59.000Z"}, // of the warm-up
		fixAt(0, 21*time.Millisecond),
		fixAt(1, 22*time.Millisecond),
		fixAt(1, 32*time.Millisecond), // a second message of the same epoch
		fixAt(3, 35*time.Millisecond), // at another sentence than the others
	}
	got := measure(epochs, log, list)
	want := result{
		FixesPerEpoch: 1, EpochsWithout: 1, ReportsAt: "GSA",
		FirstByte: &span{Median: 21, P99: 34},
		LastByte:  &span{Median: 2, P99: 15},
		Reaction:  &span{Median: 2, P99: 15},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measure (-want +got):\n%s", diff)
	}
}

func TestSpan(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i)*time.Millisecond)
	}
	if got, want := newSpan(all), (&span{Median: 101, P99: 198}); !cmp.Equal(got, want) {
		t.Errorf("span of 1 to 200 ms: %+v, want %+v", got, want)
	}
	if got := newSpan(nil); got != nil {
		t.Errorf("span of nothing: %+v, want none", got)
	}
}

func TestFixesHaveAPosition(t *testing.T) {
	all := []arrival{
		{msg: []byte(`{"class":"TPV","mode":1,"time":"a"}`)},
		{msg: []byte(`{"class":"TPV","mode":2,"time":"b"}`)},
		{msg: []byte(`{"class":"TPV",`)},
		{msg: []byte(`{"class":"TPV","mode":3}`)},
	}
	got := fixes(all)
	if len(got) != 2 || got[0].time != "b" || got[1].time != "" {
		t.Errorf("fixes %v, want those of mode 2 and 3", got)
	}
}

func TestPlaces(t *testing.T) {
	e := newEpoch("", []byte("noise\r\n$GNRMC,1\r\n$GNGSA,1\r\n$GNGSA,2\r\n$GPGSV,1"))
	if want := []string{"RMC", "GSA", "GSA", "GSV"}; !cmp.Equal(e.kinds, want) {
		t.Fatalf("sentences %q, want %q", e.kinds, want)
	}
	if got := e.places()[2].String(); got != "GSA 2" {
		t.Errorf("third place %q, want the second GSA", got)
	}
	if got := e.last(positionKinds...); got != 2 {
		t.Errorf("last sentence of a position is %d, want 2", got)
	}
	if got := e.ends[len(e.ends)-1]; got != len(e.data) {
		t.Errorf("the last sentence ends at %d, want %d", got, len(e.data))
	}
}

func TestLoadCountsSentencesAndEpochs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drive.log")
	log := "# comment\n$GPRMC,090000,A\r\n$GPGGA,090000,1\r\n$GPGSV,1,1\r\n$GPGLL,1,N,2,E,090001,A\r\n$GPGGA,,\r\n"
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	// Two epochs in five sentences, repeated.
	if r.sentences != defaultSentences || r.epochs != defaultSentences/5*2 || len(r.data) != defaultSentences/5*len(log) {
		t.Errorf("%d sentences in %d epochs, %d bytes, want %d sentences in 2/5 as many epochs", r.sentences, r.epochs, len(r.data), defaultSentences)
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
	p := pace{period: 100 * time.Millisecond, byteAt: 10 * time.Second / 115200, chunk: time.Millisecond}
	origin := time.Now()
	log, err := l.play(t.Context(), epochs, p, origin)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(epochs[0].data)+len(epochs[1].data))
	if err := l.Slave.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(l.Slave, got); err != nil {
		t.Fatal(err)
	}
	if want := append(bytes.Clone(epochs[0].data), epochs[1].data...); !bytes.Equal(got, want) {
		t.Errorf("other bytes came out:\n%s\nwant\n%s", got, want)
	}
	for i, s := range log {
		if len(s.ends) != len(epochs[i].ends) {
			t.Fatalf("epoch %d: %d sentences have a time, want %d", i, len(s.ends), len(epochs[i].ends))
		}
		// Never before the line could have carried it; how much later is the machine's affair.
		for k, end := range epochs[i].ends {
			due := origin.Add(time.Duration(i)*p.period + time.Duration(end)*p.byteAt)
			if s.ends[k].Before(due) {
				t.Errorf("epoch %d: sentence %d was there %v too early", i, k, due.Sub(s.ends[k]))
			}
		}
	}
}

func TestChunksEndWithSentences(t *testing.T) {
	e := newEpoch("", []byte("$GPRMC,1\r\n$GPGGA,12345\r\n"))
	var got []int
	for at := 0; at < len(e.data); {
		at = e.chunkEnd(at, 8)
		got = append(got, at)
	}
	if want := []int{8, 10, 18, 24}; !cmp.Equal(got, want) {
		t.Errorf("chunks end at %v, want %v", got, want)
	}
}

func TestTable(t *testing.T) {
	o := outcome{About: "1 Hz", Epochs: 2, Sentences: 20, Programs: []result{
		{Program: "gpsd", FixesPerEpoch: 1, FirstByte: &span{40, 50}, LastByte: &span{20, 21}, ReportsAt: "GLL", CPU: 60, Memory: 5},
		{Program: "gpsbridge", FixesPerEpoch: 1, FirstByte: &span{10, 25}, LastByte: &span{-5, -4}, ReportsAt: "GSA 2", CPU: 30, Memory: 15},
	}}
	var b strings.Builder
	o.print(&b)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	var words []string
	for _, l := range lines[len(lines)-3:] {
		words = append(words, strings.Join(strings.Fields(l), " "))
	}
	want := []string{
		"gpsd 1.00 0 40.00 50.00 20.00 21.00 60.00 5.0 at GLL",
		"gpsbridge 1.00 0 10.00 25.00 -5.00 -4.00 30.00 15.0 at GSA 2",
		"gpsbridge/gpsd 0.25 0.50 0.50 3.00",
	}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("table (-want +got):\n%s\n%s", diff, b.String())
	}
}
