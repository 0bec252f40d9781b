package relay

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkFanout measures one fix on its way to all viewers, over loopback
// sockets, the viewers' own reading in the same process included. Publishing
// runs ahead of the slowest viewer by half a queue at most, so nothing is
// dropped and deliveries/s is what really arrived.
func BenchmarkFanout(b *testing.B) {
	for _, viewers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) { benchmarkFanout(b, viewers) })
	}
}

func benchmarkFanout(b *testing.B, viewers int) {
	const queue = 256
	r := start(b, Config{Queue: queue})
	msg := []byte(`{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":1843,"mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",` +
		`"lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":13.89,"track":84.40,"climb":0.1,"magvar":0.6,` +
		`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.2,"epv":25.3,"uSat":9,"nSat":14}`)
	var arrived atomic.Int64
	var reading sync.WaitGroup
	// Every half queue all viewers meet the publisher.
	round := make(chan struct{}, viewers)
	for range viewers {
		m := dial(b, r, "", nil)
		reading.Go(func() {
			for n := 1; n <= b.N; n++ {
				_, in, err := m.NextReader()
				if err != nil {
					b.Error(err)
					return
				}
				var buf [512]byte
				for err == nil {
					_, err = in.Read(buf[:])
				}
				arrived.Add(1)
				if n%(queue/2) == 0 || n == b.N {
					round <- struct{}{}
				}
			}
		})
	}
	until(b, "all joined", func() bool { return r.Status().Viewers == int64(viewers) })
	var publishing time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for n := 1; n <= b.N; n++ {
		begin := time.Now()
		r.Publish("van_7", "TPV", msg)
		publishing += time.Since(begin)
		if n%(queue/2) == 0 || n == b.N {
			for range viewers {
				<-round
			}
		}
	}
	b.StopTimer()
	reading.Wait()
	b.ReportMetric(float64(arrived.Load())/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(publishing.Nanoseconds())/float64(b.N), "ns-in-Publish/op")
	if n := r.Status().Dropped; n != 0 {
		b.Errorf("%d messages were dropped", n)
	}
}

// BenchmarkIdleViewer measures what a viewer costs that has nothing to read after its first 20 messages: heap and stacks, with the
// socket of the other side, which is a socket alone.
func BenchmarkIdleViewer(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkIdleViewer(b, "") })
	b.Run("compressed", func(b *testing.B) { benchmarkIdleViewer(b, deflateOffer) })
}

func benchmarkIdleViewer(b *testing.B, header string) {
	const viewers = 1000
	memory := func() uint64 {
		runtime.GC()
		runtime.GC() // what a pool held is gone with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	for range b.N {
		r := compressing(b, Config{})
		before := memory()
		conns := make([]net.Conn, viewers)
		for i := range conns {
			conns[i] = joinBare(b, r, header)
		}
		until(b, "all joined", func() bool { return r.Status().Viewers == viewers })
		for seq := range 20 {
			r.tpv(seq + 1)
		}
		until(b, "all delivered", func() bool { return r.hub.delivered.Load() == 20*viewers })
		b.ReportMetric(float64(memory()-before)/viewers, "B/viewer")
		for _, conn := range conns {
			conn.Close()
		}
		until(b, "all have left", func() bool { return r.hub.conns.Load() == 0 })
	}
}

// joinBare joins without a client that takes memory of its own.
func joinBare(b *testing.B, r *Relay, header string) net.Conn {
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	io.WriteString(conn, "GET /ws/gps-tracking/van_7/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+header+"\r\n")
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("handshake: %v %v", answer, err)
	}
	return conn
}

// BenchmarkFullHub is what a message costs in a fleet whose histories together
// fill what the hub may keep, each device with its tracker connected.
func BenchmarkFullHub(b *testing.B) {
	for _, devices := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			h := newHub(Config{History: 600, Queue: 4, MaxConns: devices}.limits(), slog.New(slog.DiscardHandler), nil)
			h.limits.totalBytes = devices * 2000
			names := make([]string, devices)
			for i := range names {
				names[i] = fmt.Sprintf("van_%d", i)
				v, _, _ := newViewer(h, "", grant{role: sender}, nil)
				if err := h.join(v, names[i], ask{}); err != nil {
					b.Fatal(err)
				}
			}
			publish := func(i int) {
				if err := h.publish(names[i%devices], newMessage(header{Class: classTPV}, []byte(tpv(i))), nil); err != nil {
					b.Fatal(err)
				}
			}
			for i := range 20 * devices {
				publish(i)
			}
			b.ResetTimer()
			for i := range b.N {
				publish(i)
			}
		})
	}
}
