package playback

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/record"
)

// recorded makes a recording of what is sent at times since its beginning.
func recorded(t *testing.T, sent []receivertest.Event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drive.nmea")
	w, err := record.Create(record.Config{Path: path, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, e := range sent {
		time.Sleep(e.At - time.Since(began))
		w.Data([]byte(e.What))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// drive is what a receiver sends in pieces: an epoch, noise, a pause of minutes in which it was off, another epoch.
func drive() []receivertest.Event {
	ms := time.Millisecond
	return []receivertest.Event{
		{At: 1000 * ms, What: receivertest.RMC("120000")[:30]}, {At: 1016 * ms, What: receivertest.RMC("120000")[30:]}, {At: 1032 * ms, What: gsv},
		{At: 2000 * ms, What: "\xb5\x62\x00\n#@1.0 5\n"}, {At: 2000*ms + 1500*time.Microsecond, What: "\x00"},
		{At: 600_000 * ms, What: receivertest.RMC("121000") + gsv}, {At: 600_900 * ms, What: "$GP"},
	}
}

// TestReplay: a recording comes through a Receiver in the same pieces after the same pauses, at its own pace or another.
func TestReplay(t *testing.T) {
	for _, test := range []struct {
		scale float64
	}{{1}, {10}, {0.5}} {
		t.Run(fmt.Sprint(test.scale), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := recorded(t, drive())
				r := receiver.New(logFile{path, test.scale}, receiver.Config{})
				rec := receivertest.NewRecorder()
				if err := r.Run(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
				var want, got []receivertest.Event
				for _, e := range drive() {
					want = append(want, receivertest.Event{At: time.Duration(float64(e.At-time.Second) / test.scale), What: e.What})
				}
				for _, e := range rec.Events() {
					if e.What != "opened" && e.What != "quiet" {
						got = append(got, e)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestReplayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := recorded(t, drive())
		r := receiver.New(logFile{path, 0}, receiver.Config{})
		began := time.Now()
		rec := receivertest.NewRecorder()
		if err := r.Run(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		for _, e := range drive() {
			want.WriteString(e.What)
		}
		if rec.All() != want.String() || time.Since(began) != 0 {
			t.Errorf("after %v: %q\nwant %q", time.Since(began), rec.All(), want.String())
		}
	})
}

// TestReplayInPieces: a deadline in the middle of a pause and a buffer that is too small lose nothing, and Close ends a wait.
func TestReplayInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, err := os.Open(recorded(t, drive()))
		if err != nil {
			t.Fatal(err)
		}
		p := newPlayer(file, piecesOf(file, 1), 1)
		defer p.Close()
		buf := make([]byte, 7)
		n, timeouts := 0, 0
		for range 10_000 {
			if err := p.SetReadDeadline(time.Now().Add(250 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			k, err := p.Read(buf)
			n += k
			if errors.Is(err, os.ErrDeadlineExceeded) {
				timeouts++
			} else if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		want := 0
		for _, e := range drive() {
			want += len(e.What)
		}
		if n != want || timeouts < 2000 {
			t.Errorf("%d bytes of %d, %d timeouts", n, want, timeouts)
		}
	})
}
