package relay

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkLatency is the time from Publish to a viewer at 50 Hz, alone and beside
// hostile ones: one that never reads, a hundred that come and go each second, one
// that sends garbage and one that sends 100 MB, the last two as often as one
// address may connect (loopback may without a bound). All of them and the viewers
// run in this process, so on few cores they take time from each other too: the
// two are to be compared with that in mind.
func BenchmarkLatency(b *testing.B) {
	for _, hostile := range []bool{false, true} {
		b.Run(fmt.Sprintf("hostile=%v", hostile), func(b *testing.B) { benchmarkLatency(b, hostile) })
	}
}

func benchmarkLatency(b *testing.B, hostile bool) {
	const viewers = 10
	r := start(b, Config{})
	sent := make([]time.Time, b.N+1) // each written before Publish, read after the message came
	took := make([][]time.Duration, viewers)
	var reading, attacking sync.WaitGroup
	for i := range viewers {
		m := dial(b, r, "", nil)
		reading.Go(func() {
			for range b.N {
				seq := m.seq()
				took[i] = append(took[i], time.Since(sent[seq]))
			}
		})
	}
	stop := make(chan struct{})
	if hostile {
		dialRaw(b, r, "") // never reads
		attack(b, r, &attacking, stop, 10*time.Millisecond, func(raw rawClient) { raw.frame() })
		attack(b, r, &attacking, stop, time.Second/requestRate, func(raw rawClient) { raw.Write(make([]byte, 4096)); raw.closeCode() })
		attack(b, r, &attacking, stop, time.Second/requestRate, func(raw rawClient) {
			io.Copy(raw, io.LimitReader(endless(masked(0x81, strings.Repeat("x", 4000))), 100<<20))
		})
	}
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	var publishing time.Duration
	b.ResetTimer()
	for i := 1; i <= b.N; i++ {
		<-ticks.C
		sent[i] = time.Now()
		r.tpv(i)
		publishing = max(publishing, time.Since(sent[i]))
	}
	reading.Wait()
	b.StopTimer()
	close(stop)
	attacking.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "µs-p99")
	b.ReportMetric(float64(publishing.Microseconds()), "µs-longest-Publish")
	b.ReportMetric(float64(r.Status().Delivered), "deliveries")
}

// attack joins over and over, pause apart, until stop.
func attack(b *testing.B, r *Relay, running *sync.WaitGroup, stop chan struct{}, pause time.Duration, with func(rawClient)) {
	running.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
			raw := dialRaw(b, r, "")
			with(raw)
			raw.Close()
		}
	})
}
