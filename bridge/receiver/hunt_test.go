package receiver

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/nmea"
)

// simulate runs a receiver behind a line that garbles what is read at another speed.
func simulate(t *testing.T, c sim.Config, link string) *sim.Receiver {
	t.Helper()
	c.Garble = true
	r, err := sim.Open(c, link)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = r.Close()
	})
	return r
}

// status waits until the status fulfils a condition.
func waitStatus(t *testing.T, r *Receiver, what string, enough func(Status) bool) Status {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s := r.Status()
		if enough(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("no %s within 30 s: %+v", what, s)
		}
	}
}

// TestEachSpeedIsFound: at 1 Hz, with nothing known but the path. What the consumer gets is clear from the first byte on.
func TestEachSpeedIsFound(t *testing.T) {
	type hunted struct {
		baud int
		r    *Receiver
		rec  *recorder
	}
	var all []hunted
	for _, baud := range slices.Sorted(slices.Values(speeds)) {
		device := simulate(t, sim.Config{Baud: baud}, "")
		r, rec, stop := start(t, Config{Source: device.Path()})
		defer stop()
		all = append(all, hunted{baud, r, rec})
	}
	for _, h := range all {
		h.rec.wait(t, "two epochs", func(data string) bool { return strings.Count(data, "RMC,") > 1 })
		t.Logf("%6d baud: first sentence after %v", h.baud, h.rec.firstData().Round(10*time.Millisecond))
		if s := h.r.Status(); s.Baud != h.baud || s.Protocol != "NMEA" || s.State != Reading || s.Opens != 1 {
			t.Errorf("%d baud: status: %+v", h.baud, s)
		}
		wantClear(t, h.rec)
	}
}

// firstData is when the first bytes came, since the start.
func (r *recorder) firstData() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.What != "opened" && e.What != "quiet" {
			return e.At
		}
	}
	return 0
}

// wantClear wants the data to be sentences, but for the first one, which may be cut off in front.
func wantClear(t *testing.T, rec *recorder) {
	t.Helper()
	rec.mu.Lock()
	data := rec.data.String()
	rec.mu.Unlock()
	if i := strings.IndexByte(data, '$'); i < 0 || i > 82 {
		t.Errorf("%d bytes come before the first sentence: %q", i, data[:min(len(data), 200)])
	} else {
		data = data[i:]
	}
	var scanner nmea.Scanner
	scanner.Scan([]byte(data), func([]byte) {})
	if st := scanner.Stats(); st.BadChecksum+st.NoiseBytes > 0 || st.Sentences < 5 {
		t.Errorf("what was read: %+v", st)
	}
}

// TestBinaryIsNamed: a receiver that speaks UBX alone, at a speed that has to be found first.
func TestBinaryIsNamed(t *testing.T) {
	t.Parallel()
	m := newTree(t)
	device := simulate(t, sim.Config{Baud: 38400, UBX: true, Rate: 5}, "")
	m.plug("ttyUSB0", device.Path())
	named, rec, stopNamed := start(t, Config{Source: device.Path()})
	s := waitStatus(t, named, "protocol", func(s Status) bool { return s.Protocol != "" })
	stopNamed()
	want := device.Path() + " sends UBX at 38400 baud, a binary protocol, and no NMEA: switch NMEA output on with u-center or ubxtool, and save it; "
	if s.Protocol != "UBX" || s.Baud != 38400 || !strings.HasPrefix(text(s.Problem), want) || s.State != Waiting {
		t.Errorf("status: %+v", s)
	}
	found, _, stopFound := startSource(t, Config{Source: "auto"}, &auto{system: m.system})
	defer stopFound()
	s = waitStatus(t, found, "protocol", func(s Status) bool { return s.Protocol != "" })
	if s.Protocol != "UBX" || s.Baud != 38400 || !strings.Contains(text(s.Problem), " sends UBX at 38400 baud") {
		t.Errorf("status: %+v", s)
	}
	if events := rec.what(); len(events) > 0 {
		t.Errorf("the consumer got %q", events)
	}
}

// TestSpeedChanges: a receiver that is reset to another speed is found again, and nothing garbled makes a sentence.
func TestSpeedChanges(t *testing.T) {
	device := simulate(t, sim.Config{Baud: 38400, Rate: 2}, "")
	r, rec, stop := start(t, Config{Source: device.Path()})
	defer stop()
	rec.wait(t, "sentence", func(data string) bool { return strings.Contains(data, "RMC,") })
	device.SetBaud(115200)
	waitStatus(t, r, "new speed", func(s Status) bool { return s.Baud == 115200 && s.State == Reading && s.Opens == 2 })
	rec.mu.Lock()
	before := rec.data.Len()
	rec.mu.Unlock()
	rec.wait(t, "more", func(data string) bool { return strings.Count(data[before:], "RMC,") > 1 })
	var scanner nmea.Scanner
	scanner.Scan([]byte(rec.data.String()), func(s []byte) {
		if !addressed(s) {
			t.Errorf("sentence %q", s)
		}
	})
}

// TestWrongSpeedIsNamed: the user wants a speed that is not the line's. The bytes come as they are.
func TestWrongSpeedIsNamed(t *testing.T) {
	t.Parallel()
	device := simulate(t, sim.Config{Baud: 9600, Rate: 1}, "")
	r, rec, stop := start(t, Config{Source: device.Path() + "?baud=57600"})
	defer stop()
	s := waitStatus(t, r, "hint", func(s Status) bool { return text(s.Warning) != "" })
	if want := "no NMEA sentence comes at 57600 baud: leave ?baud= out and the speed is found"; text(s.Warning) != want || s.Baud != 57600 || s.Protocol != "" {
		t.Errorf("status: %+v", s)
	}
	if len(rec.what()) < 2 {
		t.Errorf("the bytes do not come: %q", rec.what())
	}
}

// TestMemory: what worked is begun with at the next start, and not written again.
func TestMemory(t *testing.T) {
	t.Parallel()
	m, folder := newTree(t), t.TempDir()
	m.plug("ttyUSB0", newLine(t).path)
	m.plug("ttyUSB1", simulate(t, sim.Config{Baud: 57600, Rate: 5}, "").Path())
	path := filepath.Join(folder, "receiver-auto.json")
	var written time.Time
	var kept string
	for i := range 2 {
		r, rec, stop := startSource(t, Config{Source: "auto", State: folder}, &auto{system: m.system})
		rec.wait(t, "sentence", func(data string) bool { return strings.Contains(data, "RMC,") })
		stop()
		if s := r.Status(); s.Baud != 57600 {
			t.Errorf("start %d: status: %+v", i, s)
		}
		t.Logf("start %d: first sentence after %v", i, rec.firstData().Round(time.Millisecond))
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			written, kept = info.ModTime(), string(text)
		} else if string(text) != kept || !info.ModTime().Equal(written) {
			t.Errorf("%s was written again: %s", path, text)
		}
	}
	a := newAuto(m)
	a.memory = newMemory(folder, "auto", slog.New(slog.DiscardHandler))
	ports, _ := a.usable(true)
	if len(ports) != 2 || filepath.Base(ports[0].Path) != "ttyUSB1" || a.memory.baud(ports[0].Path) != 57600 {
		t.Errorf("tried first: %+v", ports)
	}
	for _, text := range []string{"", "no JSON", `[{"path":"/dev/ttyUSB0","baud":7}]`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m := newMemory(folder, "auto", slog.New(slog.DiscardHandler)); len(m.ports) != 0 {
			t.Errorf("%q is remembered as %+v", text, m.ports)
		}
	}
}
