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

// BenchmarkDurable is fixes of 335 B of many publishers at one node, each the next one when the last is published: acknowledged a second;
// for each fix the CPU of all Redis servers, the memory of the master and the bytes to each replica; and fixes for each call of the script.
func BenchmarkDurable(b *testing.B) {
	for _, publishers := range []int{1, 100, 2000} {
		for _, durable := range []string{"none", memory, replicated} {
			b.Run(fmt.Sprintf("%s/publishers=%d", durable, publishers), func(b *testing.B) {
				all := []*realtest.RedisStore{realtest.StartRedis(b)}
				for durable == replicated && len(all) < 3 {
					all = append(all, realtest.StartRedis(b))
					replicate(b, all[len(all)-1], all[0])
				}
				benchmarkDurable(b, durable, publishers, all)
			})
		}
	}
}

func benchmarkDurable(b *testing.B, durable string, publishers int, all []*realtest.RedisStore) {
	node := run(b, Config{URLs: []string{all[0].URL()}, Kind: "pubsub", Durable: durable})
	device := func(p int) string { return fmt.Sprintf("van_%d", p) }
	for p := range publishers {
		if err := node.Join(b.Context(), device(p)); err != nil {
			b.Fatal(err)
		}
	}
	message := fmt.Appendf(nil, `{"class":"TPV","run":"5f1c09ae77b2d041","filling":"%0*d"}`, 335-53, 0)
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
			for seq := uint64(1); left.Add(-1) >= 0; seq++ {
				m := group.Message{Data: message, Key: group.Key{Run: "5f1c09ae77b2d041", Seq: seq}}
				if err := node.Publish(context.Background(), device(p), []group.Message{m}); err != nil {
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
	if durable != "none" {
		b.ReportMetric((info(b, all[0], "replication", "master_repl_offset")-sent)/count, "B-to-replica/fix")
		b.ReportMetric(count/info(b, all[0], "commandstats", "cmdstat_evalsha:calls"), "fixes/call")
	}
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
