package bridge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/receiver/receivertest"
)

// attackEnv names the group that TestAttack attacks, in a process of its own.
const attackEnv = "TEST_GPSBRIDGE_ATTACK"

// BenchmarkBesideHostileViewers is the daemon's own time from the last byte of an epoch to its message at the tracking
// server, with the spool on disk in between, and to a viewer of its relay; with that viewer alone and while hostile ones
// attack: one that never reads, a hundred a second that come and leave, one that sends garbage and one that sends
// 100 MB, over and over. They are another process. The two alternate, so that what else the machine does hits both.
func BenchmarkBesideHostileViewers(b *testing.B) {
	rounds, epochs := 5, 150
	if testing.Short() {
		rounds, epochs = 1, 30 // shows that it works
	}
	server := newEchoes(b)
	line, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer line.Close()
	f := config.Default()
	f.DeviceID, f.Relay.Listen, f.Spool.Dir = "van_7", "127.0.0.1:0", b.TempDir()
	f.Receivers = []config.ReceiverSection{{Source: "tcp://" + line.Addr().String()}}
	f.Uplinks = []config.UplinkSection{{Server: "ws" + strings.TrimPrefix(server.URL, "http")}}
	c, err := f.Check()
	if err != nil {
		b.Fatal(err)
	}
	d, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	receiver, err := line.Accept()
	if err != nil {
		b.Fatal(err)
	}
	<-d.Ready()
	b.Cleanup(func() {
		receiver.Close()
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	group := "ws://" + d.relay.Addr().String() + "/ws/gps-tracking/van_7/"
	drive := &benchDrive{line: receiver, came: [2]<-chan time.Time{server.came, benchViewer(b, group)}}
	drive.epochs(b, 20, nil) // until the end of an epoch is known
	alone, attacked := map[string][]time.Duration{}, map[string][]time.Duration{}
	b.ResetTimer()
	for range b.N {
		for range rounds {
			drive.epochs(b, epochs, alone)
			end := attack(b, group)
			drive.epochs(b, epochs, attacked)
			end()
		}
	}
	b.StopTimer()
	for name, both := range map[string]map[string][]time.Duration{"alone": alone, "attacked": attacked} {
		for to, took := range both {
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50-"+to+"-"+name)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99-"+to+"-"+name)
		}
	}
	b.ReportMetric(float64(d.relay.Status().Delivered), "deliveries-to-attackers")
}

// echoes is a tracking server that sends back what it gets, with the time of arrival.
type echoes struct {
	*httptest.Server
	came chan time.Time
}

func newEchoes(b *testing.B) *echoes {
	e := &echoes{came: make(chan time.Time, 1)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		conn, err := up.Upgrade(w, q, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			at := time.Now()
			conn.WriteMessage(kind, data)
			var m struct{ Backlog bool }
			if json.Unmarshal(data, &m) != nil || m.Backlog {
				continue
			}
			e.came <- at
		}
	}))
	b.Cleanup(e.Close)
	return e
}

// benchViewer joins a group as a viewer and returns when each message has come.
func benchViewer(b *testing.B, group string) <-chan time.Time {
	conn, _, err := websocket.DefaultDialer.Dial(group, nil)
	if err != nil {
		b.Fatal(err)
	}
	came := make(chan time.Time, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
			came <- time.Now()
		}
	})
	b.Cleanup(func() { conn.Close(); reading.Wait() })
	return came
}

// benchDrive is a receiver that sends 30 epochs a second and waits for each at the server and at a viewer.
type benchDrive struct {
	line net.Conn
	came [2]<-chan time.Time
	n    int
}

func (d *benchDrive) epochs(b *testing.B, n int, took map[string][]time.Duration) {
	ticks := time.NewTicker(time.Second / 30)
	defer ticks.Stop()
	for range n {
		<-ticks.C
		at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).Add(time.Duration(d.n) * time.Second / 10).Format("150405.00")
		d.n++
		text := receivertest.Sentence("GPGGA,%s,5130.0000,N,00007.5000,W,1,09,0.8,11.2,M,46.7,M,,", at) + receivertest.Sentence("GPRMC,%s,A,5130.0000,N,00007.5000,W,27.0,84.4,231126,,,A", at)
		sent := time.Now()
		if _, err := io.WriteString(d.line, text); err != nil {
			b.Fatal(err)
		}
		for i, to := range []string{"server", "viewer"} {
			select {
			case came := <-d.came[i]:
				if took != nil {
					took[to] = append(took[to], came.Sub(sent))
				}
			case <-time.After(patience):
				b.Fatalf("epoch %d did not come to the %s", d.n, to)
			}
		}
	}
}

// attack starts TestAttack in another process, and returns what ends it.
func attack(b *testing.B, group string) (end func()) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestAttack$")
	cmd.Env = append(os.Environ(), attackEnv+"="+group)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.Contains(line, "attacking") {
		b.Errorf("the attack printed %q, %v", line, err)
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// TestAttack is what the benchmark's other process does.
func TestAttack(t *testing.T) {
	group := os.Getenv(attackEnv)
	if group == "" {
		t.Skip("part of BenchmarkBesideHostileViewers")
	}
	join := func(query string) net.Conn {
		conn, _, err := websocket.DefaultDialer.Dial(group+query, nil)
		if err != nil {
			return nil // refused for once
		}
		return conn.NetConn()
	}
	join("?history=600") // never reads: its history alone is more than the sockets hold
	var attackers sync.WaitGroup
	over := func(every time.Duration, with func(net.Conn)) {
		attackers.Go(func() {
			for range time.Tick(every) {
				if conn := join(""); conn != nil {
					with(conn)
					conn.Close()
				}
			}
		})
	}
	over(10*time.Millisecond, func(net.Conn) {})
	over(20*time.Millisecond, func(conn net.Conn) {
		conn.Write(make([]byte, 4096))
		io.Copy(io.Discard, conn)
	})
	frame := append([]byte{0x81, 0xfe, 0x0f, 0xa0, 0, 0, 0, 0}, strings.Repeat("x", 4000)...)
	over(20*time.Millisecond, func(conn net.Conn) {
		for sent := 0; sent < 100<<20; sent += len(frame) {
			if _, err := conn.Write(frame); err != nil {
				return
			}
		}
	})
	fmt.Println("attacking")
	attackers.Wait()
}
