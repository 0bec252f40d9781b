package layer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/realtest"
)

// Fixes of 335 B that many publishers have stored, each the next one when the last is acknowledged: acknowledged a second, CPU of all
// Redis servers, memory of the master, and bytes to each replica for each fix, and fixes for each call of the script.
func BenchmarkCommit(b *testing.B) {
	for _, publishers := range []int{1, 100, 2000} {
		for _, durable := range []string{memory, replicated} {
			b.Run(fmt.Sprintf("durable=%s/publishers=%d", durable, publishers), func(b *testing.B) {
				all := []*realtest.RedisStore{realtest.StartRedis(b)}
				if durable == replicated {
					for range 2 {
						r := realtest.StartRedis(b)
						replicate(b, r, all[0])
						all = append(all, r)
					}
				}
				benchmarkCommit(b, startStoring(b, Config{Durable: durable}, all[0]), publishers, all)
			})
		}
	}
}

func benchmarkCommit(b *testing.B, n *storing, publishers int, all []*realtest.RedisStore) {
	message := make([]byte, 335)
	for i := range message {
		message[i] = 'x'
	}
	cpu := func() (seconds float64) {
		for _, r := range all {
			seconds += info(b, r, "cpu", "used_cpu_user") + info(b, r, "cpu", "used_cpu_sys")
		}
		return seconds
	}
	began, held, sent := cpu(), info(b, all[0], "memory", "used_memory"), info(b, all[0], "replication", "master_repl_offset")
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			device := fmt.Sprintf("van_%d", p)
			for seq := uint64(1); left.Add(-1) >= 0; seq++ {
				m := group.Message{Data: message, Key: group.Key{Run: "5f1c09ae77b2d041", Seq: seq}}
				if err := n.st.commit(context.Background(), n.s, device, []group.Message{m}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	b.StopTimer()
	count := float64(b.N)
	b.ReportMetric(count/b.Elapsed().Seconds(), "acknowledged/s")
	b.ReportMetric((cpu()-began)*1e6/count, "us-redis/fix")
	b.ReportMetric((info(b, all[0], "memory", "used_memory")-held)/count, "B-redis/fix")
	b.ReportMetric((info(b, all[0], "replication", "master_repl_offset")-sent)/count, "B-to-replica/fix")
	b.ReportMetric(count/info(b, all[0], "commandstats", "cmdstat_evalsha:calls"), "fixes/call")
}

// info is a number in what INFO answers.
func info(t testing.TB, r *realtest.RedisStore, section, name string) float64 {
	t.Helper()
	for line := range strings.Lines(r.Do("INFO", section)) {
		name, is := strings.CutPrefix(line, name)
		if !is {
			continue
		}
		value, _, _ := strings.Cut(strings.Trim(name, ":=\r\n"), ",")
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	t.Fatalf("INFO %s has no %s", section, name)
	return 0
}
