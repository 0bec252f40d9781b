package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Unsetenv(name) // servers in memory are not behind a proxy
	}
	goleak.VerifyTestMain(m)
}

// record is a record with the key that seqKey reads.
func record(seq int) []byte { return fmt.Appendf(nil, `{"run":"r1","seq":%d}`, seq) }

// seqKey is the key of records, also when a server has written them anew.
func seqKey(msg []byte) (string, bool) {
	seq := seqOf(msg)
	return fmt.Sprint(seq), seq > 0
}

func seqOf(msg []byte) int {
	var r struct {
		Run string
		Seq int
	}
	if json.Unmarshal(msg, &r) != nil || r.Run != "r1" {
		return 0
	}
	return r.Seq
}

// pass lets time of a synctest bubble pass.
func pass(d time.Duration) { <-time.After(d) }

// pipes is a listener and the dialer to it, in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// server is a WebSocket server in memory. What a connection does is serve's
// business: n counts them from 1. It may return to drop the connection without
// a close frame.
type server struct {
	pipes *pipes
	http  *http.Server
	serve func(s *server, n int, conn *websocket.Conn)
	done  chan struct{}

	mu     sync.Mutex
	n      int
	times  []time.Time // of the attempts to connect
	got    []int       // seq of each record, in the order of arrival
	late   []bool      // of each of them: it was marked
	gotAt  []time.Time // when each of them came
	closes []int       // codes of the close frames received
	refuse int         // answer this status in place of a connection
	ended  sync.WaitGroup
}

func newServer(serve func(s *server, n int, conn *websocket.Conn)) *server {
	s := &server{pipes: newPipes(), serve: serve, done: make(chan struct{})}
	s.http = &http.Server{Handler: s}
	go func() { defer close(s.done); s.http.Serve(s.pipes) }()
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.times = append(s.times, time.Now())
	status := s.refuse
	s.mu.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	var up websocket.Upgrader // its default check of Origin stays on
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s.ended.Add(1)
	defer s.ended.Done()
	defer conn.Close()
	s.mu.Lock()
	s.n++
	n := s.n
	s.mu.Unlock()
	s.serve(s, n, conn)
}

func (s *server) setRefuse(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = status
}

func (s *server) stop() {
	s.http.Close()
	<-s.done
	s.ended.Wait()
}

// receive is the next record, entered in got; false when the connection ended.
func (s *server) receive(conn *websocket.Conn) (msg []byte, ok bool) {
	_, msg, err := conn.ReadMessage()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, is := err.(*websocket.CloseError); is {
		s.closes = append(s.closes, c.Code)
	}
	if err != nil {
		return nil, false
	}
	s.arrived(msg)
	return msg, true
}

// arrived takes note of a record. Caller holds mu.
func (s *server) arrived(msg []byte) {
	s.got = append(s.got, seqOf(msg))
	s.late = append(s.late, bytes.Contains(msg, []byte(lateMark)))
	s.gotAt = append(s.gotAt, time.Now())
}

// lateMark is what marks a late record.
const lateMark = `"backlog":true,`

func markLate(msg []byte) []byte {
	return append([]byte("{"+lateMark), msg[1:]...)
}

// rewrite is a message as Django's consumer writes it anew: other bytes, the
// same content.
func rewrite(msg []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(msg, []byte(":"), []byte(": ")), []byte(","), []byte(", "))
}

// echo serves as the tracking group does.
func echo(s *server, _ int, conn *websocket.Conn) {
	for {
		msg, ok := s.receive(conn)
		if !ok || conn.WriteMessage(websocket.TextMessage, rewrite(msg)) != nil {
			return
		}
	}
}

// silent reads and answers pings, and never echoes.
func silent(s *server, _ int, conn *websocket.Conn) {
	for {
		if _, ok := s.receive(conn); !ok {
			return
		}
	}
}

// firsts are the records in the order in which each arrived for the first time,
// and the number of repeats.
func (s *server) firsts() (order []int, repeats int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[int]bool{}
	for _, seq := range s.got {
		if seen[seq] {
			repeats++
			continue
		}
		seen[seq] = true
		order = append(order, seq)
	}
	return order, repeats
}

// wantOrder checks what live-first promises: what is not marked only ever moves
// forward, and of what is marked each record comes for the first time behind
// all before it (strict: where the server dropped nothing silently).
func (s *server) wantOrder(t *testing.T, records int, strict bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[int]bool{}
	live, backlog := 0, 0
	for i, seq := range s.got {
		switch {
		case !s.late[i]:
			if seq < live || (seq == live && !seen[seq]) {
				t.Errorf("record %d arrived unmarked behind %d", seq, live)
			}
			live = max(live, seq)
		case !seen[seq] && strict:
			if seq < backlog {
				t.Errorf("record %d of the backlog arrived for the first time behind %d", seq, backlog)
			}
			backlog = max(backlog, seq)
		}
		seen[seq] = true
	}
	if len(seen) != records {
		t.Errorf("server got %d different records, want %d", len(seen), records)
	}
}

// distant serves as the tracking group does at a round trip rtt, and takes each
// for every record.
func distant(rtt, each time.Duration) func(*server, int, *websocket.Conn) {
	return func(s *server, _ int, conn *websocket.Conn) {
		type item struct {
			msg []byte
			at  time.Time
		}
		in, out := make(chan item, 1e5), make(chan item, 1e5)
		var workers sync.WaitGroup
		defer workers.Wait()
		defer close(in)
		workers.Go(func() {
			defer close(out)
			for it := range in {
				<-time.After(time.Until(it.at.Add(rtt/2)) + each)
				out <- item{it.msg, time.Now()}
			}
		})
		workers.Go(func() {
			for it := range out {
				<-time.After(time.Until(it.at.Add(rtt / 2)))
				conn.WriteMessage(websocket.TextMessage, rewrite(it.msg))
			}
		})
		for {
			msg, ok := s.receive(conn)
			if !ok {
				return
			}
			in <- item{msg, time.Now()}
		}
	}
}

// wantAll checks that every record arrived, first deliveries in order.
func (s *server) wantAll(t *testing.T, records int) (repeats int) {
	t.Helper()
	order, repeats := s.firsts()
	if len(order) != records {
		t.Errorf("server got %d different records, want %d", len(order), records)
	}
	for i := 1; i < len(order); i++ {
		if order[i] < order[i-1] {
			t.Errorf("record %d arrived for the first time behind %d", order[i], order[i-1])
		}
	}
	return repeats
}

// config is for a server in memory, in strict order.
func (s *server) config() Config {
	return Config{
		Name: "test", URL: "ws://tracking.example/ws/gps-tracking/van_7/",
		Key: seqKey, NetDial: s.pipes.dial, Order: OldestFirst,
	}
}

// start runs an uplink; stop ends it and waits.
func start(t testing.TB, c Config, q Queue) (u *Uplink, stop func()) {
	t.Helper()
	u, err := New(c, q)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	return u, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// logBuffer collects what was logged, as text.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
