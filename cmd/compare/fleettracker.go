package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// fleetTracker sends numbered fixes to one of several relays, and to another one when its connection ends. It keeps each fix until it is
// acknowledged, as the daemon's uplink does, and waits between two attempts as that does.
type fleetTracker struct {
	device string
	relays []string // ws:// or wss:// and the address
	token  string
	from   net.IP // of its connections
	window int
	every  time.Duration // between two fixes; 0: as fast as the window allows

	mu      sync.Mutex
	conn    *websocket.Conn // nil without one
	at      int             // the relay of conn
	made    int             // fixes
	stopped bool            // makes no more
	acked   int             // of them, in order
	next    int             // to be sent on conn
	sent    map[int]time.Time
	delays  []time.Duration // of acknowledgements, from a fix's first sending
	last    time.Time       // of the last one
}

// run sends until ctx ends.
func (t *fleetTracker) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	if t.every > 0 {
		parts.Go(func() { t.pace(ctx) })
	}
	const least, most = 500 * time.Millisecond, 30 * time.Second
	for pause := least; ctx.Err() == nil; {
		t.mu.Lock()
		before := t.acked
		t.at = rand.IntN(len(t.relays))
		t.mu.Unlock()
		t.connect(ctx)
		t.mu.Lock()
		if pause = min(2*pause, most); t.acked > before {
			pause = least
		}
		t.mu.Unlock()
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
		}
	}
}

// pace makes fixes.
func (t *fleetTracker) pace(ctx context.Context) {
	begin := time.After(rand.N(t.every))
	select {
	case <-begin:
	case <-ctx.Done():
	}
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for ctx.Err() == nil {
		t.mu.Lock()
		if !t.stopped {
			t.made++
			t.send()
		}
		t.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// connect serves one connection until it ends.
func (t *fleetTracker) connect(ctx context.Context) {
	dialer := websocket.Dialer{
		HandshakeTimeout: 10 * time.Second, NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: t.from}}).DialContext,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ReadBufferSize: 1024, WriteBufferSize: 1024, // the certificate is made by the relay
	}
	conn, _, err := dialer.DialContext(ctx, t.relays[t.at]+"/ws/gps-tracking/"+t.device+"/", http.Header{"Authorization": {"Bearer " + t.token}})
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	t.mu.Lock()
	t.conn, t.next = conn, t.acked+1
	t.send()
	t.mu.Unlock()
	for {
		_, text, err := conn.ReadMessage()
		t.mu.Lock()
		if err != nil {
			t.conn = nil
			t.mu.Unlock()
			return
		}
		t.echo(text)
		t.send()
		t.mu.Unlock()
	}
}

// send sends what the window allows. The caller holds mu.
func (t *fleetTracker) send() {
	for t.conn != nil && t.next <= t.acked+t.window && (t.every == 0 || t.next <= t.made) {
		t.made = max(t.made, t.next)
		now := time.Now()
		if _, again := t.sent[t.next]; !again {
			t.sent[t.next] = now
		}
		text := fmt.Appendf(nil, `{"class":"TPV","device_id":%q,"run":"5f1c09ae77b2d041","seq":%d,"mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",`+
			`"lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":13.89,"track":84.40,"climb":0.1,"magvar":0.6,`+
			`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.2,"epv":25.3,"uSat":9,"nSat":14}`, t.device, t.next)
		if t.conn.WriteMessage(websocket.TextMessage, text) != nil {
			t.conn.Close() // its reader learns of it
			return
		}
		t.next++
	}
}

// echo takes a message of the group. The caller holds mu.
func (t *fleetTracker) echo(text []byte) {
	var m struct{ Seq int }
	if json.Unmarshal(text, &m) != nil || m.Seq <= t.acked {
		return
	}
	t.last = time.Now()
	for seq := t.acked + 1; seq <= m.Seq; seq++ {
		t.delays = append(t.delays, t.last.Sub(t.sent[seq]))
		delete(t.sent, seq)
	}
	t.acked = m.Seq
}

// fleet is trackers that run.
type fleet struct {
	trackers []*fleetTracker
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// startFleet starts n trackers over relays.
func startFleet(ctx context.Context, n int, relays []string, token string, window int, every time.Duration) *fleet {
	ctx, cancel := context.WithCancel(ctx)
	f := &fleet{stop: cancel}
	for i := range n {
		t := &fleetTracker{
			device: fmt.Sprintf("tracker_%d", i), relays: relays, token: token, window: window, every: every, sent: make(map[int]time.Time),
			// 28,000 ports an address: a few thousand connections of each.
			from: net.IPv4(127, 0, 0, byte(2+i/4000)),
		}
		f.trackers = append(f.trackers, t)
		f.running.Go(func() { t.run(ctx) })
	}
	return f
}

// stopMaking lets trackers only send what they have.
func (f *fleet) stopMaking() {
	for _, t := range f.trackers {
		t.mu.Lock()
		t.stopped = true
		t.mu.Unlock()
	}
}

func (f *fleet) end() {
	f.stop()
	f.running.Wait()
}

// count adds up a figure of trackers.
func (f *fleet) count(figure func(*fleetTracker) int) (n int) {
	for _, t := range f.trackers {
		t.mu.Lock()
		n += figure(t)
		t.mu.Unlock()
	}
	return n
}

func acknowledged(t *fleetTracker) int { return t.acked }
func made(t *fleetTracker) int         { return t.made }

// takeDelays returns the delays since the last call of those trackers that are chosen, sorted.
func (f *fleet) takeDelays(chosen func(*fleetTracker) bool) (all []time.Duration) {
	for _, t := range f.trackers {
		t.mu.Lock()
		if chosen(t) {
			all = append(all, t.delays...)
		}
		t.delays = nil
		t.mu.Unlock()
	}
	slices.Sort(all)
	return all
}
