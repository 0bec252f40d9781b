package serial

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
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

// TestEachSpeedIsFound: at 1 Hz, with nothing known but the path. What the consumer gets is clear from the first byte on.
func TestEachSpeedIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds of real time")
	}
	t.Parallel()
	type hunted struct {
		baud int
		r    *receiver.Receiver
		rec  *receivertest.Recorder
	}
	var all []hunted
	for _, baud := range slices.Sorted(slices.Values(speeds)) {
		device := simulate(t, sim.Config{Baud: baud}, "")
		r, rec, stop := start(t, searched(device.Path()))
		defer stop()
		all = append(all, hunted{baud, r, rec})
	}
	for _, h := range all {
		h.rec.Wait(t, "two epochs", func(data string) bool { return strings.Count(data, "RMC,") > 1 && strings.Count(data, "\n") > 5 })
		t.Logf("%6d baud: first sentence after %v", h.baud, firstData(h.rec).Round(10*time.Millisecond))
		if s := h.r.Status(); s.Baud != h.baud || s.Protocol != "NMEA" || s.State != receiver.Reading || s.Opens != 1 {
			t.Errorf("%d baud: status: %+v", h.baud, s)
		}
		wantClear(t, h.rec)
	}
}

// firstData is when the first bytes came, since the start.
func firstData(rec *receivertest.Recorder) time.Duration {
	for _, e := range rec.Events() {
		if e.What != "opened" && e.What != "quiet" {
			return e.At
		}
	}
	return 0
}

// wantClear wants the data to be sentences, but for the first one, which may be cut off in front.
func wantClear(t *testing.T, rec *receivertest.Recorder) {
	t.Helper()
	data := rec.All()
	if i := strings.IndexByte(data, '$'); i < 0 || i > 82 {
		t.Errorf("%d bytes come before the first sentence: %q", i, data[:min(len(data), 200)])
	} else {
		data = data[i:]
	}
	var scanner nmea.Scanner
	scanner.Scan([]byte(data), func([]byte) {})
	if st := scanner.Stats(); st.BadChecksum+st.NoiseBytes > 0 || st.Sentences < 5 {
		t.Errorf("what was read: %+v of %q", st, data)
	}
}

// TestBinaryIsNamed: a receiver that speaks UBX alone, at a speed that has to be found first.
func TestBinaryIsNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds of real time")
	}
	t.Parallel()
	m := newTree(t)
	device := simulate(t, sim.Config{Baud: 38400, UBX: true, Rate: 5}, "")
	m.plug("ttyUSB0", device.Path())
	named, rec, stopNamed := start(t, searched(device.Path()))
	s := receivertest.WaitStatus(t, named, "protocol", func(s receiver.Status) bool { return s.Protocol != "" && s.Problem != nil })
	stopNamed()
	want := device.Path() + " sends UBX at 38400 baud, a binary protocol, and no NMEA: switch NMEA output on with u-center or ubxtool, and save it; "
	if s.Protocol != "UBX" || s.Baud != 38400 || !strings.HasPrefix(receivertest.Text(s.Problem), want) || s.State != receiver.Waiting {
		t.Errorf("status: %+v", s)
	}
	found, _, stopFound := start(t, &auto{finder: finder{system: m.system}})
	defer stopFound()
	s = receivertest.WaitStatus(t, found, "protocol", func(s receiver.Status) bool { return s.Protocol != "" && s.Problem != nil })
	if s.Protocol != "UBX" || s.Baud != 38400 || !strings.Contains(receivertest.Text(s.Problem), " sends UBX at 38400 baud") {
		t.Errorf("status: %+v", s)
	}
	if events := rec.What(); len(events) > 0 {
		t.Errorf("the consumer got %q", events)
	}
}

// TestSpeedChanges: a receiver that is reset to another speed is found again, and nothing garbled makes a sentence.
func TestSpeedChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 8 s")
	}
	t.Parallel()
	w := newWire(t, 38400)
	w.every(t, 500*time.Millisecond, func(i int) []byte {
		return []byte(receivertest.RMC(fmt.Sprintf("1200%02d", i%60)) + strings.Repeat(gsv, 10))
	})
	r, rec, stop := start(t, searched(w.path))
	defer stop()
	rec.Wait(t, "sentence", func(data string) bool { return strings.Contains(data, "RMC,") })
	w.baud.Store(115200)
	receivertest.WaitStatus(t, r, "new speed", func(s receiver.Status) bool { return s.Baud == 115200 && s.State == receiver.Reading && s.Opens == 2 })
	before := len(rec.All())
	rec.Wait(t, "more", func(data string) bool { return strings.Count(data[before:], "RMC,") > 1 })
	var scanner nmea.Scanner
	scanner.Scan([]byte(rec.All()), func(s []byte) {
		if !strings.HasPrefix(string(s[3:]), "RMC,") && !strings.Contains("GGA GSA GSV VTG GLL ZDA GST", string(s[3:6])) {
			t.Errorf("sentence %q", s)
		}
	})
}

// TestWrongSpeedIsNamed: the user wants a speed that is not the line's. The bytes come as they are.
func TestWrongSpeedIsNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	t.Parallel()
	device := simulate(t, sim.Config{Baud: 9600, Rate: 1}, "")
	r, rec, stop := start(t, fixed(device.Path(), 57600))
	defer stop()
	s := receivertest.WaitStatus(t, r, "hint", func(s receiver.Status) bool { return receivertest.Text(s.Warning) != "" })
	if want := "no NMEA sentence comes at 57600 baud: leave ?baud= out and the speed is found"; receivertest.Text(s.Warning) != want || s.Baud != 57600 || s.Protocol != "" {
		t.Errorf("status: %+v", s)
	}
	if len(rec.What()) < 2 {
		t.Errorf("the bytes do not come: %q", rec.What())
	}
}

// TestMemory: what worked is begun with at the next start, and not written again.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	t.Parallel()
	m, dir := newTree(t), t.TempDir()
	m.plug("ttyUSB0", newLine(t).path)
	m.plug("ttyUSB1", simulate(t, sim.Config{Baud: 57600, Rate: 5}, "").Path())
	path := filepath.Join(dir, "receiver-auto.json")
	var written time.Time
	var kept string
	for i := range 2 {
		r, rec, stop := receivertest.Start(t, &auto{finder: finder{system: m.system}}, receiver.Config{State: dir})
		rec.Wait(t, "sentence", func(data string) bool { return strings.Contains(data, "RMC,") })
		stop()
		if s := r.Status(); s.Baud != 57600 {
			t.Errorf("start %d: status: %+v", i, s)
		}
		t.Logf("start %d: first sentence after %v", i, firstData(rec).Round(time.Millisecond))
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
	a := &auto{finder: finder{system: m.system}}
	a.memory = newMemory(dir, "auto", slog.New(slog.DiscardHandler))
	ports, _ := a.usable(true)
	if len(ports) != 2 || filepath.Base(ports[0].Path) != "ttyUSB1" || a.memory.baud(ports[0].Path) != 57600 {
		t.Errorf("tried first: %+v", ports)
	}
	for _, text := range []string{"", "no JSON", `{"path":"/dev/ttyUSB0","baud":7}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m := newMemory(dir, "auto", slog.New(slog.DiscardHandler)); m.last != (worked{}) {
			t.Errorf("%q is remembered as %+v", text, m.last)
		}
	}
}
