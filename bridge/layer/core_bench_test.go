package layer

import (
	"strconv"
	"strings"
	"testing"

	"gpsbridge/bridge/realtest"
)

// window is the number of messages on their way at a time: what Django's queues hold with room to spare.
const window = 32

// BenchmarkDjango measures messages between a node and a member of Django, and what one costs Redis.
func BenchmarkDjango(b *testing.B) {
	for kind, backend := range map[string]string{"core": coreBackend, "pubsub": pubsubBackend} {
		stores := []*realtest.RedisStore{realtest.StartRedis(b)}
		config := coreConfig(stores)
		config.Kind = kind
		options := coreOptions(stores)
		if kind == "pubsub" {
			delete(options, "symmetric_encryption_keys")
		}
		d := startPython(b, backend, options)
		n := open(b, config).join("van_7")
		d.join("sender", "gps_tracking_nothing")
		b.Run(kind+" from Django", func(b *testing.B) {
			already := len(n.await("van_7", 0))
			used := redisCPU(b, stores[0])
			for sent := 0; sent < b.N; sent += window {
				d.do("flood", map[string]any{"member": "sender", "group": vanGroup, "text": fix(1), "count": min(window, b.N-sent)})
				n.await("van_7", already+sent)
			}
			n.await("van_7", already+b.N)
			b.ReportMetric((redisCPU(b, stores[0])-used)*1e6/float64(b.N), "redis-us/op")
		})
		d.join("viewer", vanGroup)
		d.listen("viewer")
		b.Run(kind+" to Django", func(b *testing.B) {
			already := len(d.await("viewer", 0))
			used := redisCPU(b, stores[0])
			for i := range b.N {
				n.publish("van_7", fix(i))
				d.await("viewer", already+max(0, i-window))
			}
			d.await("viewer", already+b.N)
			b.ReportMetric((redisCPU(b, stores[0])-used)*1e6/float64(b.N), "redis-us/op")
		})
	}
}

// redisCPU is the CPU time that a Redis has used, in seconds.
func redisCPU(b *testing.B, r *realtest.RedisStore) (seconds float64) {
	b.Helper()
	info, err := r.Command("INFO", "cpu")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			used, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			seconds += used
		}
	}
	return seconds
}
