package main

import (
	"cmp"
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
	delays  []uint32  // of acknowledgements, from a fix's first sending, in µs
	last    time.Time // of the last one
	orphan  bool      // it was at the relay that was killed
	cut     time.Time // when its last connection ended
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
			t.conn, t.cut = nil, time.Now()
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
		t.delays = append(t.delays, uint32(t.last.Sub(t.sent[seq]).Microseconds()))
		delete(t.sent, seq)
	}
	t.acked = m.Seq
}

// crew is the role of some trackers of a fleet. Its methods are called by [fleet].
type crew struct {
	trackers []*fleetTracker
	lost     int // the relay that was killed
	since    time.Time
}

// Crew is what the trackers of a crew are to be.
type Crew struct {
	First, Count int
	Relays       []string
	Token        string
	Window       int
	Every        time.Duration
}

// Progress is how far trackers are.
type Progress struct {
	Begun       int // trackers with an acknowledgement
	Made, Acked int // fixes
	Orphans     int // trackers of the relay that was killed
	Others      int // trackers of the other relays whose connection has ended since
	Back        int // of both, with an acknowledgement on another connection
}

func newCrew() (*crew, error) { return new(crew), nil }

// beginEvery is between the first connections of two trackers, which all at once would be busy with giving up.
const beginEvery = 3 * time.Millisecond

// Start starts trackers, which end with the process.
func (c *crew) Start(what Crew, _ *struct{}) error {
	for i := range what.Count {
		n := what.First + i
		t := &fleetTracker{
			device: fmt.Sprintf("tracker_%d", n), relays: what.Relays, token: what.Token, window: what.Window, every: what.Every, sent: make(map[int]time.Time),
			// 28,000 ports an address: a few thousand connections of each.
			from: net.IPv4(127, 0, 0, byte(2+n/4000)),
		}
		c.trackers = append(c.trackers, t)
		time.AfterFunc(time.Duration(n)*beginEvery, func() { t.run(context.Background()) })
	}
	return nil
}

// Look adds up how far the trackers are.
func (c *crew) Look(_ struct{}, p *Progress) error {
	for _, t := range c.trackers {
		t.mu.Lock()
		p.Begun += min(t.acked, 1)
		p.Made += t.made
		p.Acked += t.acked
		switch {
		case t.orphan:
			p.Orphans++
		case t.cut.After(c.since):
			p.Others++
		}
		if (t.orphan || t.cut.After(c.since)) && t.conn != nil && t.at != c.lost && t.last.After(t.cut) && t.last.After(c.since) {
			p.Back++
		}
		t.mu.Unlock()
	}
	return nil
}

// Delays reports the delays in µs since the last call, of trackers that have not lost their relay.
func (c *crew) Delays(_ struct{}, all *[]uint32) error {
	for _, t := range c.trackers {
		t.mu.Lock()
		if !t.orphan {
			*all = append(*all, t.delays...)
		}
		t.delays = nil
		t.mu.Unlock()
	}
	return nil
}

// Lose notes which trackers are at a relay that is to be killed.
func (c *crew) Lose(relay int, _ *struct{}) error {
	c.lost, c.since = relay, time.Now()
	for _, t := range c.trackers {
		t.mu.Lock()
		t.orphan = t.conn != nil && t.at == relay
		t.mu.Unlock()
	}
	return nil
}

// Stop lets trackers only send what they have.
func (c *crew) Stop(struct{}, *struct{}) error {
	for _, t := range c.trackers {
		t.mu.Lock()
		t.stopped = true
		t.mu.Unlock()
	}
	return nil
}

// fleet is trackers, in processes of their own.
type fleet struct{ crews []*role }

// crewSize bounds the trackers of a process: many systems allow one no more than 20,000 open files.
const crewSize = 10_000

// startFleet starts n trackers over relays.
func startFleet(ctx context.Context, n int, relays []string, token string, window int, every time.Duration) (f *fleet, err error) {
	f = new(fleet)
	defer func() {
		if err != nil {
			f.end()
		}
	}()
	for first := 0; first < n; first += crewSize {
		r, err := startRole("trackers")
		if err != nil {
			return f, err
		}
		f.crews = append(f.crews, r)
		if err := r.call(ctx, "Start", Crew{first, min(crewSize, n-first), relays, token, window, every}, nil); err != nil {
			return f, err
		}
	}
	return f, nil
}

// each calls a method of every crew.
func (f *fleet) each(ctx context.Context, method string, args any) error {
	for _, r := range f.crews {
		if err := r.call(ctx, method, args, nil); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) look(ctx context.Context) (sum Progress, err error) {
	for _, r := range f.crews {
		var p Progress
		if err := r.call(ctx, "Look", struct{}{}, &p); err != nil {
			return sum, err
		}
		sum = Progress{sum.Begun + p.Begun, sum.Made + p.Made, sum.Acked + p.Acked, sum.Orphans + p.Orphans, sum.Others + p.Others, sum.Back + p.Back}
	}
	return sum, nil
}

// await looks until reached returns true.
func (f *fleet) await(ctx context.Context, what string, reached func(Progress) bool) error {
	var failed error
	err := await(ctx, what, func() bool {
		var p Progress
		p, failed = f.look(ctx)
		return failed != nil || reached(p)
	})
	return cmp.Or(failed, err)
}

// delays are those of crew.Delays, sorted.
func (f *fleet) delays(ctx context.Context) (all []time.Duration, err error) {
	for _, r := range f.crews {
		var some []uint32
		if err := r.call(ctx, "Delays", struct{}{}, &some); err != nil {
			return nil, err
		}
		for _, us := range some {
			all = append(all, time.Duration(us)*time.Microsecond)
		}
	}
	slices.Sort(all)
	return all, nil
}

func (f *fleet) end() {
	for _, r := range f.crews {
		r.end()
	}
}
