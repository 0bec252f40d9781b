package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/realtest/django"
	"gpsbridge/cmd/internal/command"
)

// fanout runs a short measurement and returns its report.
func fanout(t *testing.T, args ...string) fanoutReport {
	t.Helper()
	code, stdout, stderr := invoke(t.Context(), append([]string{"fanout", "--for", "1s", "--json"}, args...)...)
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r fanoutReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// served checks the figures of servers that five viewers cannot be too many for.
func served(t *testing.T, r fanoutReport, titles ...string) {
	t.Helper()
	if len(r.Crowds) != len(titles) {
		t.Fatalf("%d rows, want %d: %+v", len(r.Crowds), len(titles), r.Crowds)
	}
	for i, c := range r.Crowds {
		if c.Server != titles[i] || c.Viewers != 5 || c.LeftOut != "" || c.Figures == nil {
			t.Fatalf("row %d: %+v, want %s measured with 5 viewers", i, c, titles[i])
		}
		d := c.Figures
		if d.Expected != 50 || !d.whole() || d.PerSecond != 50 { // ten messages a second for one second
			t.Errorf("%s: %d of %d delivered, %d viewers closed, want 50 of 50 and none", c.Server, d.Received, d.Expected, d.Closed)
		}
		if d.Median == nil || d.P99 == nil || *d.Median <= 0 || *d.P99 < *d.Median || d.CPU <= 0 || d.Memory <= 0 {
			t.Errorf("%s lacks a delay, CPU time or memory: %+v", c.Server, d)
		}
	}
}

func TestFanoutOfTheRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds of real time")
	}
	t.Parallel()
	r := fanout(t, "--servers", "floor,relay", "--viewers", "5", "--most", "0")
	served(t, r, "floor: write(2)", "gpsbridge relay")
	if floor, relay := r.Crowds[0], r.Crowds[1]; floor.BesideFloor != 1 || relay.BesideFloor <= 0 {
		t.Errorf("beside the floor: %g and %g, want 1 and something", floor.BesideFloor, relay.BesideFloor)
	}
}

func TestFanoutOfDaphne(t *testing.T) {
	realtest.Need(t, realtest.Django, realtest.ChannelsRedis, realtest.RedisServer)
	t.Parallel()
	served(t, fanout(t, "--servers", "daphne,daphne-redis,relays,daphnes", "--viewers", "5", "--most", "0"),
		"Daphne, in memory", "Daphne, Redis", "3 relays, Redis", "3 Daphnes, Redis")
}

func TestMissingPeerIsARow(t *testing.T) {
	t.Setenv(django.EnvPython, "/nonexistent/python3")
	code, stdout, stderr := invoke(t.Context(), "fanout", "--servers", "floor,daphne", "--viewers", "5", "--for", "1s")
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	got := strings.Join(strings.Fields(stdout), " ")
	if !strings.Contains(got, "5 Daphne, in memory not installed: apt-get install") || !strings.Contains(got, "5 floor: write(2) 50 50 ") {
		t.Errorf("table:\n%s\nwant the floor measured, and how to install Django", stdout)
	}
}

func TestInterruptEndsTheServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	floor := servers("")[0]
	begin := floor.start
	var started *serving
	floor.start = func(ctx context.Context, dir string, cores int) (*serving, error) {
		s, err := begin(ctx, dir, cores)
		started = s
		cancel()
		return s, err
	}
	if _, err := openSession(ctx, floor, 3, 1); err == nil || ctx.Err() == nil {
		t.Errorf("error %v, want that of the context", err)
	}
	if started.programs[0].Alive() == nil {
		t.Errorf("the server (process %d) still runs", started.programs[0].PID())
	}
}

// A message counts once however its frame is cut, in the form that Python gives it too; those from before do not count.
func TestViewersCountMessages(t *testing.T) {
	for name, size := range map[string]int{"byte by byte": 1, "with the answer": 1 << 20} {
		t.Run(name, func(t *testing.T) { viewersCountMessages(t, size) })
	}
}

// viewersCountMessages has the server send so many bytes at a time.
func viewersCountMessages(t *testing.T, size int) {
	from := time.Now()
	frame := func(msg string) []byte {
		if len(msg) < 126 {
			return append([]byte{textFrame, byte(len(msg))}, msg...)
		}
		return append(binary.BigEndian.AppendUint16([]byte{textFrame, 126}, uint16(len(msg))), msg...)
	}
	stamp := from.Add(time.Microsecond).UnixNano()
	stream := frame(fmt.Sprintf(`{"sent":%d}`, stamp))
	stream = append(stream, frame(fmt.Sprintf(`{"sent": %d, "more": "%s"}`, stamp, strings.Repeat("x", 300)))...)
	stream = append(stream, frame(fmt.Sprintf(`{"sent":%d}`, from.Add(-time.Second).UnixNano()))...)
	stream = append(stream, frame(`{"class":"SKY"}`)...)
	end := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		answer := "HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n" + string(stream) + string([]byte{pingFrame, 2}) + "hi"
		for piece := range slices.Chunk([]byte(answer), size) {
			_, _ = conn.Write(piece)
		}
		pong := make([]byte, 8)
		if _, err := io.ReadFull(rw, pong); err != nil || pong[0] != pongFrame || string(pong[6:]) != "hi" {
			t.Errorf("the ping is answered with %q, %v", pong, err)
		}
		close(end)
		_ = conn.Close()
	}))
	defer s.Close()
	r, err := startRole("viewers")
	if err != nil {
		t.Fatal(err)
	}
	defer r.end()
	if err := r.call(t.Context(), "Measure", from, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if err := r.call(t.Context(), "Join", Join{Count: 1, Addr: s.Listener.Addr().String()}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	<-end
	o := &session{viewers: []*role{r}}
	seen, err := o.await(t.Context(), 2)
	if want := (Sight{Received: 2, Arrived: 3}); err != nil || seen.Received != want.Received || seen.Arrived != want.Arrived {
		t.Errorf("seen %+v, %v, want %+v", seen, err, want)
	}
	d := delivered{Expected: 3}
	if err := o.delays(t.Context(), &d); err != nil || d.Median == nil || d.P99 != nil {
		t.Errorf("two of three came: median %v, p99 %v, %v, want a median alone", d.Median, d.P99, err)
	}
}

func TestJoinReportsTheServersAnswer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if _, _, err := join(s.Listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("error %v, want the server's 404", err)
	}
}

func TestFramesThatNoServerSends(t *testing.T) {
	for name, frame := range map[string][]byte{"masked": {textFrame, masked | 1, 0, 0, 0, 0, 'a'}, "long": {textFrame, 127, 0, 0, 0, 0, 0, 1, 0, 0}} {
		if _, _, err := cutFrame(frame); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestFanoutTable(t *testing.T) {
	ms := func(v float64) *float64 { return &v }
	r := fanoutReport{machine: machine{CPUs: 2}, Rate: 10, Crowds: []crowd{
		{Viewers: 100, Server: "floor", Figures: &delivered{PerSecond: 1000, CPU: 7.25, Memory: 8, Median: ms(0.5), P99: ms(31.4)}, BesideFloor: 1},
		{Viewers: 1000, Server: "slow", Figures: &delivered{PerSecond: 2900.4, CPU: 200, Memory: 80, Median: ms(1500)}},
		{Viewers: 10_000, Server: "slow", LeftOut: "left out"},
	}}
	var b strings.Builder
	if err := r.print(&b); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(b.String()), " ")
	want := "100 floor 1000 1000 0.50 31.40 7.2 1.00 8.0 1000 slow 2900 10000 1500.00 not delivered 200.0 80.0 10000 slow left out"
	if !strings.Contains(got, want) {
		t.Errorf("the table lacks %q:\n%s", want, b.String())
	}
}
