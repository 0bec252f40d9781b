package serial

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"

	"github.com/creack/pty"
)

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWaiting is the processor time of a receiver that waits: for one to be plugged in, for one that is silent, for a
// port that another program holds. One round is 20 s, with -short 2 s; the machine's own processes are those that are looked
// through.
//
//	go test ./bridge/receiver -run none -bench Waiting -benchtime 1x
func BenchmarkWaiting(b *testing.B) {
	round := 20 * time.Second
	if testing.Short() {
		round = 2 * time.Second
	}
	real := machine.proc
	master, slave, err := pty.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	for _, kind := range []struct {
		name string
		port string
		proc func(dir string) string
	}{
		{"nothing plugged in", "", func(string) string { return real }},
		{"silent port", slave.Name(), func(dir string) string { return dir }}, // this process has it open itself
		{"held port", slave.Name(), func(string) string { return real }},
	} {
		b.Run(kind.name, func(b *testing.B) {
			dir := b.TempDir()
			m := system{dev: dir, sys: machine.sys, proc: kind.proc(dir)}
			if kind.port != "" {
				if err := os.Symlink(kind.port, filepath.Join(dir, "ttyUSB0")); err != nil {
					b.Fatal(err)
				}
			}
			r := receiver.New(&auto{finder: finder{system: m}}, receiver.Config{})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx, receivertest.NewRecorder()) }()
			<-time.After(3 * time.Second) // the first look at everything
			began := processorTime(b)
			for b.Loop() {
				<-time.After(round)
			}
			used := processorTime(b) - began
			b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "%core")
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkHealth is what looking after the line costs a sentence.
func BenchmarkHealth(b *testing.B) {
	host, report := receivertest.NewHost()
	h := newHealth("/dev/ttyUSB0", "", 115200, false, host)
	sentence := []byte(receivertest.RMC("120000"))
	now := time.Unix(0, 0)
	h.begin(now)
	b.SetBytes(int64(len(sentence)))
	for b.Loop() {
		now = now.Add(100 * time.Millisecond)
		if err := h.heard(sentence, now); err != nil {
			b.Fatal(err)
		}
	}
	if report.Status().Warning != nil {
		b.Error("the line is in trouble")
	}
}
