package layer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/realtest"
)

// BenchmarkPublish is a message from Publish at one node to Receive at it and at another one, in one process: a fix of 335 bytes,
// over 1,000 groups, of 128 publishers.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 8} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) { benchmarkPublish(b, size) })
	}
}

func benchmarkPublish(b *testing.B, size int) {
	const groups = 1000
	c := pubsubAt(realtest.StartRedis(b).URL())
	one, two := run(b, c), run(b, c)
	for i := range groups {
		for _, c := range []*counted{one, two} {
			if err := c.Join(b.Context(), fmt.Sprint(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	text := fmt.Appendf(nil, `{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":1843,"mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",`+
		`"lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":13.89,"track":84.40,"climb":0.1,"magvar":0.6,`+
		`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.2,"epv":25.3,"uSat":9,"nSat":14}`)
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		messages := make([]group.Message, 0, size)
		device := fmt.Sprint(next.Add(1) % groups)
		for pb.Next() {
			if messages = append(messages, group.Message{Data: text, From: b}); len(messages) < size {
				continue
			}
			if err := one.Publish(context.Background(), device, messages); err != nil {
				b.Error(err)
			}
			messages = messages[:0]
		}
		if err := one.Publish(context.Background(), device, messages); err != nil {
			b.Error(err)
		}
	})
	for _, c := range []*counted{one, two} {
		for c.n.Load() < int64(b.N) {
			<-c.grown
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// counted is a running layer that counts what it receives.
type counted struct {
	*Layer
	n     atomic.Int64
	grown chan struct{}
}

func run(b *testing.B, config Config) *counted {
	l, err := Open(config)
	if err != nil {
		b.Fatal(err)
	}
	c := &counted{Layer: l, grown: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx, c) }()
	b.Cleanup(func() {
		cancel()
		<-ended
	})
	return c
}

func (c *counted) Receive(string, group.Message) {
	c.n.Add(1)
	signal(c.grown)
}

func (c *counted) Missed() {}

func (c *counted) Lost() {}
