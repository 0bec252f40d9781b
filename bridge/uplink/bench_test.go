package uplink

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest"
)

// BenchmarkUplink sends b.N records through a server on loopback that echoes
// each, until all are acknowledged.
func BenchmarkUplink(b *testing.B) {
	for _, mode := range []AckMode{AckEcho, AckPong, AckNone} {
		b.Run(string(mode), func(b *testing.B) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var up websocket.Upgrader
				conn, err := up.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				for {
					_, msg, err := conn.ReadMessage()
					if err != nil {
						return
					}
					if mode == AckEcho && conn.WriteMessage(websocket.TextMessage, msg) != nil {
						return
					}
				}
			}))
			defer s.Close()
			q := newQueue(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			_, stop := start(b, Config{URL: "ws" + s.URL[len("http"):], Ack: mode}, q)
			q.await(b, uint64(b.N), time.Hour)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			stop()
		})
	}
}

// wholeFix is a record with every member of a fix.
func wholeFix(seq int) []byte {
	const rest = `,"altMSL":111.2,"altHAE":157.9,"geoidSep":46.7,"climb":0.1,"magvar":0.6,"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.20,"epv":25.30,"uSat":9,"nSat":14}`
	return append(bytes.TrimSuffix(longRecord(seq), []byte("}")), rest...)
}

// BenchmarkDrain delivers a backlog of b.N fixes to Uvicorn, which compresses with context takeover, and without. The CPU time is that
// of this process, and bytes are as a modem counts them: -benchtime 86400x is a day.
func BenchmarkDrain(b *testing.B) {
	server := realtest.StartDjango(b, realtest.Options{Server: realtest.Uvicorn})
	for _, compress := range []Compress{CompressOff, CompressAuto} {
		b.Run(string(compress), func(b *testing.B) {
			q := newQueue(0)
			for seq := range b.N {
				q.add(wholeFix(seq + 1))
			}
			before := cpuTime(b)
			b.ResetTimer()
			u, stop := start(b, Config{URL: server.GroupURL("van_7"), Compress: compress}, q)
			q.await(b, uint64(b.N), time.Hour)
			b.StopTimer()
			n, st := float64(b.N), u.Status()
			if st.Compressed != (compress == CompressAuto) {
				b.Errorf("compressed: %t", st.Compressed)
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/n, "cpu-µs/fix")
			b.ReportMetric(float64(st.SentBytes+st.HeaderBytes+st.ReceivedBytes)/n, "B/fix")
			b.ReportMetric(float64(len(wholeFix(b.N))), "B-text")
			b.ReportMetric(n/b.Elapsed().Seconds(), "fix/s")
			stop()
		})
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
