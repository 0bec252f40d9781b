package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/receiver/sim"
)

// TestSystemCalls counts the system calls that the daemon makes for an epoch, once it knows the receiver's rhythm. They do not depend
// on the machine as CPU time does, unless it is so busy that the rhythm is lost: the least of some measurements counts. The limits
// leave some room: 6, 16 and 6 were measured.
func TestSystemCalls(t *testing.T) {
	if raced {
		t.Skip("the race detector makes calls of its own: run it without -race, as .ci/run does")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	for _, test := range []struct{ baud, rate, most int }{{9600, 1, 12}, {115200, 1, 26}, {115200, 10, 15}} {
		t.Run(fmt.Sprintf("%d baud, %d Hz", test.baud, test.rate), func(t *testing.T) {
			t.Parallel()
			device := fmt.Sprintf("%s?baud=%d", simulate(t, sim.Config{Baud: test.baud, Rate: test.rate}), test.baud)
			d := startDaemon(t, "--device", device)
			d.waitStatus("a rhythm", func(st observe.Status) bool { return st.Receivers[0].Fixes > 8 })
			const measurements = 12
			for i := range measurements {
				calls, counts := d.calls(t, strace)
				t.Logf("%.1f system calls an epoch", calls)
				if calls <= float64(test.most) {
					return
				}
				if i == measurements-1 {
					t.Errorf("never %d system calls an epoch or less; those of the last measurement:\n%s", test.most, counts)
				}
			}
		})
	}
}

// calls counts system calls for some seconds, and returns how many there were an epoch, and strace's table of them.
func (d *daemon) calls(t *testing.T, strace string) (perEpoch float64, table string) {
	t.Helper()
	counts, fixes := filepath.Join(t.TempDir(), "counts"), d.fixes(t)
	cmd := exec.Command(strace, "-c", "-f", "-o", counts, "-p", strconv.Itoa(d.PID()))
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	time.Sleep(10 * time.Second) // what is counted
	_ = cmd.Process.Signal(syscall.SIGINT)
	err := cmd.Wait()
	fixes = d.fixes(t) - fixes
	text, _ := os.ReadFile(counts)
	total := 0
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 3 && f[len(f)-1] == "total" {
			total, _ = strconv.Atoi(f[3])
			if total == 0 { // a column less where no call failed
				total, _ = strconv.Atoi(f[2])
			}
		}
	}
	if total == 0 || fixes < 5 {
		t.Skipf("strace: %v, %d fixes, %s", err, fixes, text)
	}
	return float64(total) / float64(fixes), string(text)
}

// fixes is how many epochs the daemon has handled.
func (d *daemon) fixes(t *testing.T) uint64 {
	t.Helper()
	st, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	return st.Receivers[0].Fixes
}
