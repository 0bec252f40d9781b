package main

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest/program"
)

// tracker is a daemon at a host of its own, its receiver, and another member of its group at the server's host.
type tracker struct {
	program wireProgram
	rate    int
	plain   bool // nothing is compressed
	noEcho  bool // the server acknowledges in short
	host    *clientHost
	line    *line
	daemon  *program.Program
	command *exec.Cmd // of the daemon

	viewer *websocket.Conn
	done   chan struct{} // closed when reading has ended
	mu     sync.Mutex
	texts  [][]byte // that came to the viewer
	err    error    // why reading ended
}

// wireBaud is fast enough for ten epochs a second.
const wireBaud = 115200

func openTracker(n *network, server wireServer, s *wireServing, p wireProgram, rate int, dir string) (*tracker, error) {
	t := &tracker{program: p, rate: rate, plain: p.plain || server.declines, noEcho: server.short && !p.echo, done: make(chan struct{})}
	var err error
	if t.host, err = n.addClient(); err != nil {
		return nil, err
	}
	if t.line, err = openLine(); err != nil {
		return nil, err
	}
	id := fmt.Sprintf("van_%03d", len(n.clients)) // of one length, which is in every text
	if err := t.view(s, id); err != nil {
		t.close()
		return nil, err
	}
	file := filepath.Join(dir, id+".toml")
	config := fmt.Sprintf("device_id = %q\n[[receiver]]\nsource = \"%s?baud=%d\"\nsilence = \"1h\"\n[report]\n%s\n[[uplink]]\nserver = \"wss://%s:%s\"\nca_file = %q\n%s\n%s\n[relay]\nlisten = \"off\"\n",
		id, t.line.Path, wireBaud, p.report, serverAddr, serverPort, n.authority, s.uplink, p.uplink)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.close()
		return nil, err
	}
	t.command = exec.Command(p.path, "run", "-c", file)
	t.command.Env = cleanEnvironment()
	return t, nil
}

// view joins the group and keeps what comes.
func (t *tracker) view(s *wireServing, id string) error {
	n := t.host.network
	d := websocket.Dialer{
		NetDial:         func(string, string) (net.Conn, error) { return dialFrom(n.server) },
		TLSClientConfig: &tls.Config{RootCAs: n.roots}, HandshakeTimeout: handshakeTimeout,
	}
	conn, _, err := d.Dial("wss://"+net.JoinHostPort(serverAddr, serverPort)+strings.Replace(groupPath, device, id, 1), s.viewer)
	if err != nil {
		close(t.done)
		return fmt.Errorf("join the group: %w", err)
	}
	t.viewer = conn
	go func() {
		defer close(t.done)
		for {
			_, text, err := conn.ReadMessage()
			t.mu.Lock()
			if t.err = err; err == nil {
				t.texts = append(t.texts, text)
			}
			t.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return nil
}

// seen is how many messages have come to the group.
func (t *tracker) seen() (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return 0, fmt.Errorf("a member of the group lost its connection: %w", t.err)
	}
	return len(t.texts), nil
}

func (t *tracker) close() {
	if t.viewer != nil {
		_ = t.viewer.Close()
		<-t.done
	}
	if t.daemon != nil {
		t.daemon.Kill() // an orderly stop waits for echoes
	}
	_ = t.line.Close()
}

const (
	// handshakeLeast is below what any connection with TLS exchanges, and above what its end does.
	handshakeLeast = 500
	// handshakePause is longer than a round trip here and the thought of a server, and shorter than the time between pings.
	handshakePause = time.Second
	// reconnectTimeout is above the longest pause of the daemon before another attempt, 30 s.
	reconnectTimeout = 40 * time.Second
)

// connect starts the daemon, and measures its first connection and the next, before its receiver sends anything.
func (t *tracker) connect(ctx context.Context) (row wireRow, err error) {
	row = wireRow{Program: t.program.title, Rate: t.rate}
	if t.daemon, err = start("gpsbridge", t.host.Command(t.command)); err != nil {
		return row, err
	}
	if row.Connect, err = t.handshake(ctx, traffic{}); err != nil {
		return row, err
	}
	before, err := t.host.traffic()
	if err == nil {
		err = t.host.cut()
	}
	if err == nil {
		row.Resumed, err = t.handshake(ctx, before)
	}
	return row, err
}

// handshake waits until a connection stands, and returns its bytes, 0 where none is made.
func (t *tracker) handshake(ctx context.Context, before traffic) (int64, error) {
	for end := time.Now().Add(reconnectTimeout); time.Now().Before(end); {
		now, err := t.host.quiet(ctx, handshakePause)
		if err == nil {
			err = t.daemon.Alive()
		}
		if err != nil {
			return 0, err
		}
		if cost := now.since(before).total(); cost > handshakeLeast {
			return cost, nil
		}
	}
	if before == (traffic{}) {
		return 0, errors.New("it does not connect: " + t.daemon.LastLine())
	}
	return 0, nil
}

// mark is a moment of the measurement.
type mark struct {
	traffic traffic
	seen    int
	cpu     time.Duration
}

// ackDelay is how long Linux waits with a bare acknowledgement, 40 ms, and a little more.
const ackDelay = 45 * time.Millisecond

// mark waits until so many messages have come and their echoes are acknowledged.
func (t *tracker) mark(ctx context.Context, messages int, timeout time.Duration) (m mark, err error) {
	for end := time.Now().Add(timeout); m.seen < messages; {
		if !sleepUntil(ctx, time.Now().Add(pollEvery)) {
			return m, ctx.Err()
		}
		if m.seen, err = t.seen(); err != nil {
			return m, err
		}
		if time.Now().After(end) {
			return m, fmt.Errorf("%d of %d fixes have come to the group after %v: %s", m.seen, messages, timeout, t.daemon.LastLine())
		}
	}
	if m.traffic, err = t.host.quiet(ctx, ackDelay); err != nil {
		return m, err
	}
	if m.cpu, err = cpuTime(t.daemon); err != nil {
		return m, err
	}
	m.seen, err = t.seen()
	return m, err
}

const (
	// wireWarmUp is how many fixes are sent before it counts: a program has learnt the rhythm of its receiver, TCP acknowledges as it
	// does in the long run, and a compressor has messages to refer to.
	wireWarmUp = 20
	// wireLate is how much later than they were sent fixes may come: those of a batch, and on a machine with other work.
	wireLate = time.Minute
)

// measure plays epochs until so many of their fixes have come to the group.
func (t *tracker) measure(ctx context.Context, row *wireRow, epochs []epoch, lasts time.Duration) error {
	playing, stop := context.WithCancel(ctx)
	played := make(chan error, 1)
	go func() {
		_, err := t.line.play(playing, epochs, time.Second/time.Duration(t.rate), 10*time.Second/wireBaud, time.Now().Add(leadTime))
		played <- err
	}()
	defer func() { stop(); <-played }()
	from, err := t.mark(ctx, wireWarmUp, wireLate)
	if err != nil {
		return err
	}
	to, err := t.mark(ctx, from.seen+t.rate*int(lasts.Seconds()), lasts+wireLate)
	if err != nil {
		return err
	}
	row.Fixes, row.Traffic = to.seen-from.seen, to.traffic.since(from.traffic)
	row.CPU = ms(to.cpu-from.cpu) / float64(row.Fixes) * 1000
	if row.Private, err = memory(private, t.daemon); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return row.describe(t, t.texts, from.seen, to.seen)
}

// describe adds what the messages from one to another show.
func (r *wireRow) describe(t *tracker, texts [][]byte, from, to int) error {
	r.texts = make(map[string]string)
	size, err := payloads(texts[:to], from, t.plain)
	if err != nil {
		return err
	}
	for _, text := range texts[from:to] {
		if at, rest, ok := withoutNames(text); ok {
			r.texts[at] = rest
		}
	}
	if len(r.texts) == 0 {
		return errNoFix
	}
	plain, err := payloads(texts[:to], from, true)
	r.Text = plain
	r.Floor = floorOf(size, max(1, int(t.program.together.Seconds()*float64(r.Rate))), t.noEcho)
	return err
}

// payloads is the mean size of the messages from one on, as JSON without spaces, which some servers add. Compressed it is what
// DEFLATE (RFC 1951) makes of a message that may refer to all before it, without the four bytes of each end (RFC 7692, 7.2.1).
func payloads(texts [][]byte, from int, plain bool) (float64, error) {
	var out bytes.Buffer
	compressor, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return 0, err
	}
	total := 0
	for i, text := range texts {
		var message bytes.Buffer
		if err := json.Compact(&message, text); err != nil {
			return 0, err
		}
		size := message.Len()
		if !plain {
			out.Reset()
			if _, err := message.WriteTo(compressor); err != nil {
				return 0, err
			}
			if err := compressor.Flush(); err != nil {
				return 0, err
			}
			size = out.Len() - len("\x00\x00\xff\xff")
		}
		if i >= from {
			total += size
		}
	}
	return float64(total) / float64(len(texts)-from), nil
}

// What goes with a message: see floorOf.
const (
	tlsRecord = 5 + 1 + 16   // header, type and tag of a record (RFC 8446, 5.2)
	packet    = 20 + 20 + 12 // headers of IPv4 and TCP, and its timestamps (RFC 7323)
	maskKey   = 4            // of a client's frame (RFC 6455, 5.2)
	segment   = 1500 - packet
)

// floorOf is the least that a fix of so many bytes costs, both ways, where so many go together: frames in one record and as few
// packets as they fill, the echoes likewise, and a bare acknowledgement of those, or of the fixes where there are no echoes.
func floorOf(size float64, together int, noEcho bool) float64 {
	frame := size + 2
	if size > 125 {
		frame += 2
	}
	oneWay := func(frame float64) float64 {
		bytes := frame*float64(together) + tlsRecord
		return bytes + packet*float64(1+int(bytes)/segment)
	}
	total := oneWay(frame+maskKey) + packet
	if !noEcho {
		total += oneWay(frame)
	}
	return total / float64(together)
}

// wireServing is a server that runs.
type wireServing struct {
	uplink string      // lines of [[uplink]] that it needs
	viewer http.Header // of members that only read
	end    func()
}
