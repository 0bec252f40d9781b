package uplink

import (
	"bytes"
	"cmp"
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

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/deflate/deflatetest"
	"gpsbridge/bridge/group"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Unsetenv(name) // servers in memory are not behind a proxy
	}
	goleak.VerifyTestMain(m)
}

// record is a record of run r1.
func record(seq int) []byte { return fmt.Appendf(nil, `{"run":"r1","seq":%d}`, seq) }

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

// problemText is the problem of a status in one line.
func problemText(st Status) string {
	if st.Problem == nil {
		return ""
	}
	return st.Problem.Error()
}

// few is a number of seeds or the like, and a quarter of them with -short.
func few(n int) int {
	if testing.Short() {
		return max(1, n/4)
	}
	return n
}

// orders are both, and the default with -short.
func orders() []Order { return []Order{LiveFirst, OldestFirst}[:few(2)] }

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

func (p *pipes) dial(ctx context.Context, _ string, _ int) (net.Conn, error) {
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
	stop  func() // it and wait for its end

	protocols []string // subprotocols that it speaks. Set before the first connection

	mu      sync.Mutex
	n       int
	times   []time.Time // of the attempts to connect
	got     []int       // seq of each record, in the order of arrival
	late    []bool      // of each of them: it was marked
	gotAt   []time.Time // when each of them came
	closes  []int       // codes of the close frames received
	offers  []string    // of compression, of each connection
	accepts bool        // compression
	answers string      // to the offer, where that is not what it should be
	refuse  int         // answer this status in place of a connection
	retain  string      // for how many seconds it may ask for what it has acknowledged
	ended   sync.WaitGroup
}

// newServer starts one, which ends with the test.
func newServer(t testing.TB, serve func(s *server, n int, conn *websocket.Conn)) *server {
	s := &server{pipes: newPipes(), serve: serve}
	s.http = &http.Server{Handler: s}
	done := make(chan struct{})
	go func() { defer close(done); s.http.Serve(s.pipes) }()
	s.stop = sync.OnceFunc(func() {
		s.http.Close()
		<-done
		s.ended.Wait()
	})
	t.Cleanup(s.stop)
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
	up := websocket.Upgrader{Subprotocols: s.protocols} // its default check of Origin stays on
	offer, answer := r.Header.Get(deflate.Header), http.Header{}
	s.mu.Lock()
	s.offers = append(s.offers, offer)
	epoch := len(s.offers)
	s.mu.Unlock()
	var agreed *deflate.Params
	if s.accepts {
		agreed = deflate.Accept([]string{offer}, deflate.WindowBits)
	}
	if agreed != nil {
		answer[deflate.Header] = []string{cmp.Or(s.answers, agreed.String())}
	}
	if s.retain != "" {
		answer.Set(group.RetainHeader, s.retain)
		answer.Set(group.EpochHeader, fmt.Sprint(epoch))
	}
	conn, err := up.Upgrade(deflatetest.Inflating{ResponseWriter: w, Agreed: agreed}, r, answer)
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
		dial: s.pipes.dial, Order: OldestFirst,
	}
}

// run runs an uplink until the end of the test.
func run(t testing.TB, c Config, q Queue) *Uplink {
	t.Helper()
	u, _ := start(t, c, q)
	return u
}

// start is run where stop ends it before that; stop waits.
func start(t testing.TB, c Config, q Queue) (u *Uplink, stop func()) {
	t.Helper()
	u, err := New(c, q)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return u, stop
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
