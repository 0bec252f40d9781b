package playback

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const gsv = "$GPGSV,1,1,00*79\r\n"

func paced(log string, rate float64) *player {
	r := strings.NewReader(log)
	return newPlayer(io.NopCloser(r), newTextLog(r, rate), rate)
}

// play reads a log to its end and says when which line came.
func play(t *testing.T, log string, rate float64) []receivertest.Event {
	t.Helper()
	p := paced(log, rate)
	defer p.Close()
	began := time.Now()
	var lines []receivertest.Event
	buf := make([]byte, 4096)
	for {
		n, err := p.Read(buf)
		if n > 0 {
			lines = append(lines, receivertest.Event{At: time.Since(began), What: string(buf[:n])})
		}
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPace(t *testing.T) {
	ms, s := time.Millisecond, time.Second
	tests := []struct {
		name string
		log  []string
		rate float64
		want []time.Duration
	}{
		{"real time", []string{receivertest.RMC("120000"), gsv, receivertest.RMC("120001"), gsv, receivertest.RMC("120003.5"), gsv}, 1, []time.Duration{0, 0, s, s, 3500 * ms, 3500 * ms}},
		{"ten times", []string{receivertest.RMC("120000"), receivertest.RMC("120001"), receivertest.RMC("120002")}, 10, []time.Duration{0, 100 * ms, 200 * ms}},
		{"a third", []string{receivertest.RMC("120000"), receivertest.RMC("120001"), receivertest.RMC("120002")}, 1. / 3, []time.Duration{0, 3 * s, 6 * s}},
		{"25 Hz", []string{receivertest.RMC("120000.96"), receivertest.RMC("120001.00"), receivertest.RMC("120001.04")}, 1, []time.Duration{0, 40 * ms, 80 * ms}},
		{"midnight", []string{receivertest.RMC("235959.5"), receivertest.RMC("000000.5"), receivertest.RMC("000001.5")}, 1, []time.Duration{0, s, 2 * s}},
		{"hours between", []string{receivertest.RMC("120000"), receivertest.RMC("170000"), receivertest.RMC("170001")}, 1, []time.Duration{0, 10 * s, 11 * s}},
		{"minutes between, slowly", []string{receivertest.RMC("120000"), receivertest.RMC("120100"), receivertest.RMC("120101")}, 0.5, []time.Duration{0, 10 * s, 12 * s}},
		{"back", []string{receivertest.RMC("120000"), receivertest.RMC("110000"), receivertest.RMC("110001")}, 1, []time.Duration{0, 0, s}},
		{"a little back", []string{receivertest.RMC("120005"), receivertest.RMC("120000"), receivertest.RMC("120001")}, 1, []time.Duration{0, 0, s}},
		{"comments and noise", []string{"# a log\n", receivertest.RMC("120000"), "\xb5\x62\x00\n", "# $GPRMC,1\n", receivertest.RMC("120001"), "no line end"}, 1,
			[]time.Duration{0, 0, 0, 0, s, s}},
		{"no time at all", []string{gsv, gsv}, 1, []time.Duration{0, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var want []receivertest.Event
				for i, line := range test.log {
					want = append(want, receivertest.Event{At: test.want[i], What: line})
				}
				if diff := cmp.Diff(want, play(t, strings.Join(test.log, ""), test.rate)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestPaceKeepsBytes: whatever the log holds, however it is read, it comes out as it is.
func TestPaceKeepsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		var log strings.Builder
		for i := range 300 {
			switch random.IntN(4) {
			case 0:
				noise := make([]byte, random.IntN(10_000))
				for i := range noise {
					noise[i] = byte(random.Uint32())
				}
				log.Write(noise)
			default:
				log.WriteString(receivertest.RMC(fmt.Sprintf("12%02d%02d", i/60, i%60)))
			}
		}
		p := paced(log.String(), 1)
		defer p.Close()
		var got []byte
		for {
			buf := make([]byte, 1+random.IntN(200))
			if random.IntN(2) == 0 { // a deadline in the middle loses nothing
				if err := p.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
			}
			n, err := p.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if string(got) != log.String() {
			t.Errorf("%d bytes came out of %d, or others", len(got), log.Len())
		}
	})
}

// TestPaceDoesNotRace: who was stopped for an hour, as a machine that slept, does not get that hour at once.
func TestPaceDoesNotRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		for i := range 100 {
			log.WriteString(receivertest.RMC(fmt.Sprintf("12%02d%02d", i/60, i%60)))
		}
		p := paced(log.String(), 1)
		defer p.Close()
		buf := make([]byte, 4096)
		began := time.Now()
		for i := range 100 {
			if _, err := p.Read(buf); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				time.Sleep(time.Hour)
			}
		}
		if took := time.Since(began) - time.Hour; took < 88*time.Second || took > 98*time.Second {
			t.Errorf("the rest of 99 s took %v", took)
		}
	})
}

func TestCloseEndsPacedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := paced(receivertest.RMC("120000")+receivertest.RMC("120009"), 1)
		buf := make([]byte, 4096)
		if _, err := p.Read(buf); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { _ = p.Close() })
		began := time.Now()
		if _, err := p.Read(buf); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read of what was closed: %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Read came back after %v", took)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFile runs a log through a Receiver, at both paces.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drive.nmea")
	log := "# recorded\n" + receivertest.RMC("120000.0") + gsv + receivertest.RMC("120000.1") + gsv
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, rate := range []float64{0, 1} {
		r := receiver.New(logFile{path, rate}, receiver.Config{})
		rec := receivertest.NewRecorder()
		if err := r.Run(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		what := rec.What()
		if rec.All() != log || what[0] != "opened" || what[len(what)-1] != "quiet" {
			t.Errorf("rate %v: %q", rate, what)
		}
		if s := r.Status(); s.State != receiver.Ended || s.Port != path || s.Bytes != uint64(len(log)) {
			t.Errorf("status: %+v", s)
		}
	}
}

func TestFileThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe") // that has no writer
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/none": dir + "/none does not exist: name a recorded log with --device file:PATH",
		dir:           dir + " is a directory: name a recorded log in it, such as file:" + dir + "/LOG.nmea",
		pipe:          pipe + " is a pipe: read it as standard input, with --device - <" + pipe,
		"/dev/null":   "/dev/null is a device and not a file: name it with --device /dev/null",
	} {
		_, err := logFile{path: path, rate: 1}.Open(t.Context(), source.Host{})
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
