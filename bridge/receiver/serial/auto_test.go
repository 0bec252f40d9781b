package serial

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/receiver/receivertest"
)

// TestAutoTakesTheFirstThatSpeaks: a port that is gone, one that is no terminal, one that is silent and one that babbles are
// passed over, and of the first that speaks not a byte is lost.
func TestAutoTakesTheFirstThatSpeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds of real time")
	}
	t.Parallel()
	m := newTree(t)
	silent, babbler, speaker, later := newLine(t), newLine(t), newLine(t), newLine(t)
	said := "half a sentence,W*7F\r\n" + receivertest.RMC("120000")
	for i, path := range []string{"/dev/null", silent.path, babbler.path, speaker.path, later.path} {
		m.plug("ttyUSB"+string(rune('0'+i)), path)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go feed(ctx, babbler, "no NMEA here at all, only text that never ends\r\n")
	go feed(ctx, later, receivertest.RMC("999999"))
	go feed(ctx, speaker, said)
	r, rec, stop := start(t, &auto{finder: finder{system: m.system}})
	defer stop()
	rec.Wait(t, "sentence", func(data string) bool { return strings.Count(data, "$GPRMC") >= 3 })
	if data := rec.All(); !strings.HasPrefix(data, said) {
		t.Errorf("read %q, want %q...", data, said)
	}
	s := r.Status()
	if !strings.HasSuffix(s.Port, "ttyUSB3") || s.Opens != 1 || s.Baud == 0 || s.Protocol != "NMEA" {
		t.Errorf("status: %+v", s)
	}
}

// feed sends a text every 100 ms to who has set the line to raw mode.
func feed(ctx context.Context, l *line, text string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.isRaw() {
			continue
		}
		if _, err := l.master.WriteString(text); err != nil {
			return
		}
	}
}

func TestAutoFindsNothing(t *testing.T) {
	none, silent, console, noPort := newTree(t), newTree(t), newTree(t), newTree(t)
	silent.plug("ttyUSB0", newLine(t).path)
	console.plug("ttyUSB0", newLine(t).path)
	console.file(filepath.Join(console.sys, "class/tty/console/active"), "ttyUSB0\n")
	noPort.plug("ttyUSB0", "/dev/null")
	noPort.plug("ttyUSB1", "/dev/zero")
	tests := []struct {
		m    tree
		want string
	}{
		{none, "no receiver found (looked for " + strings.Join(none.patterns(), ", ") + "): plug one in, or name its port with --device"},
		{silent, silent.dev + "/ttyUSB0 sends nothing: check the receiver's power and cable"},
		{console, onConsole(console.dev + "/ttyUSB0").Error()},
		{noPort, noPort.dev + "/ttyUSB0 is not a serial port; " + noPort.dev + "/ttyUSB1 is not a serial port: name one with --device"},
	}
	before := descriptors(t)
	for _, test := range tests {
		h, _ := receivertest.NewHost()
		h.Silence = 100 * time.Millisecond // four of those are waited for
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := (&auto{finder: finder{system: test.m.system}}).Open(ctx, h)
		cancel()
		if err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func TestAutoIsInterrupted(t *testing.T) {
	m := newTree(t)
	m.plug("ttyUSB0", newLine(t).path)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	h, _ := receivertest.NewHost()
	if _, err := (&auto{finder: finder{system: m.system}}).Open(ctx, h); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
}
