package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/group"
)

const (
	// fleetWindow is how many fixes a tracker of the test has on the way, as the daemon's uplink at its most.
	fleetWindow = 32
	// fleetRetain is for how long it keeps what is acknowledged, as uplink.retain.
	fleetRetain = 10 * time.Minute
	// fleetSilence is after how long without a frame or a pong a client of the test gives a connection up; it pings each second.
	fleetSilence = 6 * time.Second
)

// member is a client of a group that connects again whenever its connection ends. Its fields are set once, but what is guarded by mu.
type member struct {
	url    string
	header http.Header
	stop   context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	conn     *websocket.Conn
	arrived  time.Time     // of the last message
	longest  time.Duration // between two messages, since the last call of gap
	connects int
}

// startMember connects, and calls opened with the header of each answer to a handshake, got with each message and closed with the error that ended a connection; one
// at a time.
func startMember(t *testing.T, url, token string, opened func(http.Header), got func(text []byte), closed func(error)) *member {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{url: url, header: http.Header{}, stop: cancel, ended: make(chan struct{}), arrived: time.Now()}
	if token != "" {
		m.header.Set("Authorization", "Bearer "+token)
	}
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil {
			closed(m.serve(ctx, opened, got))
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(m.leave)
	return m
}

func (m *member) leave() {
	m.stop()
	<-m.ended
}

// serve connects and reads until the connection ends.
func (m *member) serve(ctx context.Context, opened func(http.Header), got func(text []byte)) error {
	dialer := websocket.Dialer{HandshakeTimeout: fleetSilence}
	conn, answer, err := dialer.DialContext(ctx, m.url, m.header)
	if err != nil {
		if answer != nil {
			err = fmt.Errorf("%w: %s", err, answer.Status)
		}
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	pings := time.NewTicker(time.Second)
	defer pings.Stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-pings.C:
				conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			case <-done:
				return
			}
		}
	}()
	alive := func() { conn.SetReadDeadline(time.Now().Add(fleetSilence)) }
	conn.SetPongHandler(func(string) error { alive(); return nil })
	alive()
	m.mu.Lock()
	m.conn = conn
	m.connects++
	m.mu.Unlock()
	opened(answer.Header)
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			m.mu.Lock()
			m.conn = nil
			m.mu.Unlock()
			return err
		}
		alive()
		m.mu.Lock()
		now := time.Now()
		m.longest, m.arrived = max(m.longest, now.Sub(m.arrived)), now
		m.mu.Unlock()
		got(text)
	}
}

// send writes a message to the connection, where there is one.
func (m *member) send(text []byte) {
	m.mu.Lock()
	conn := m.conn
	m.mu.Unlock()
	if conn != nil {
		conn.SetWriteDeadline(time.Now().Add(fleetSilence))
		if conn.WriteMessage(websocket.TextMessage, text) != nil {
			conn.Close()
		}
	}
}

// gap returns the longest time without a message since the last call.
func (m *member) gap() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	longest := max(m.longest, time.Since(m.arrived))
	m.longest = 0
	return longest
}

// recorder is a tracker of which the test knows what was acknowledged, and when. It keeps all its fixes, and sends again as the daemon's
// uplink does: what was not acknowledged when a connection ends, and all when the server asks for it.
type recorder struct {
	*member
	t      *testing.T
	device string
	run    string
	every  time.Duration
	wake   chan struct{}
	quit   chan struct{}
	sender sync.WaitGroup

	state  sync.Mutex
	made   uint64               // the last seq
	next   uint64               // to be sent
	acked  map[uint64]time.Time // by seq, when it was acknowledged first
	kept   map[uint64]bool      // that are acknowledged, and not asked for again
	low    uint64               // all up to it are kept
	epoch  string               // of what the relays store, "" while it is not known
	echoes int                  // with repeats
	again  int                  // how often the server asked for all
}

// startRecorder starts a tracker that makes so many fixes a second.
func startRecorder(t *testing.T, server, token, device string, rate int) *recorder {
	r := &recorder{
		t: t, device: device, run: fmt.Sprintf("%016x", time.Now().UnixNano()), every: time.Second / time.Duration(rate), next: 1,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), acked: make(map[uint64]time.Time), kept: make(map[uint64]bool),
	}
	t.Cleanup(r.sender.Wait) // after the member has left
	r.member = startMember(t, server+"/ws/gps-tracking/"+device+"/", token, r.opened, r.got, r.closed)
	r.sender.Go(r.make)
	r.sender.Go(r.write)
	t.Cleanup(r.end)
	return r
}

// end stops making fixes; what is there is still sent. Calls after the first do nothing.
func (r *recorder) end() {
	r.state.Lock()
	defer r.state.Unlock()
	select {
	case <-r.quit:
	default:
		close(r.quit)
	}
}

func (r *recorder) make() {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.state.Lock()
			r.made++
			r.state.Unlock()
			r.signal()
		case <-r.quit:
			return
		}
	}
}

func (r *recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// write sends what the window allows, until the member has ended.
func (r *recorder) write() {
	for {
		select {
		case <-r.wake:
		case <-r.ended:
			return
		}
		for {
			seq, more := r.due()
			if !more {
				break
			}
			r.send(fmt.Appendf(nil, `{"class":"TPV","device_id":%q,"run":%q,"seq":%d,"mode":3,"time":%q,"lat":51.5%07d,"lon":-0.1276248}`,
				r.device, r.run, seq, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), seq%1e7))
		}
	}
}

// due takes the next fix to send.
func (r *recorder) due() (seq uint64, more bool) {
	r.state.Lock()
	defer r.state.Unlock()
	if r.next > r.made || r.next > r.low+fleetWindow {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

func (r *recorder) opened(answer http.Header) {
	r.state.Lock()
	epoch := answer.Get(group.EpochHeader)
	if r.epoch != "" && epoch != "" && epoch != r.epoch {
		r.sendAgain()
	}
	r.epoch = cmp.Or(epoch, r.epoch)
	r.next = r.low + 1 // also what is kept after a gap: a repeat
	r.state.Unlock()
	r.signal()
}

func (r *recorder) got(text []byte) {
	var m struct {
		Run string
		Seq uint64
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Run != r.run {
		return
	}
	r.state.Lock()
	if _, again := r.acked[m.Seq]; !again {
		r.acked[m.Seq] = time.Now()
	}
	r.kept[m.Seq] = true
	r.echoes++
	for r.kept[r.low+1] {
		r.low++
	}
	r.state.Unlock()
	r.signal()
}

func (r *recorder) closed(err error) {
	var end *websocket.CloseError
	if errors.As(err, &end) && end.Code == websocket.CloseServiceRestart && end.Text == group.SendAgain {
		r.state.Lock()
		defer r.state.Unlock()
		r.sendAgain()
	}
}

// sendAgain has all sent again that is still there. The caller holds state.
func (r *recorder) sendAgain() {
	r.again++
	old := time.Now().Add(-fleetRetain)
	for r.low > 0 && r.acked[r.low].After(old) {
		r.low--
	}
	maps.DeleteFunc(r.kept, func(seq uint64, _ bool) bool { return seq > r.low })
}

// progress returns the last seq that was made, how many of them are acknowledged, and whether all are, on the last connection.
func (r *recorder) progress() (made, acknowledged uint64, all bool) {
	r.state.Lock()
	defer r.state.Unlock()
	return r.made, uint64(len(r.acked)), r.low == r.made
}
