package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

const (
	fleetSize    = 30
	fleetBacklog = 300 // fixes of each: five minutes at one a second
	// fleetDrain bounds the return of a fleet. Its 9000 fixes are some ten seconds of work for Daphne with Redis.
	fleetDrain = 20 * time.Minute
	// fleetStall is the silence after which the sender with a fixed window takes all that is on the way for lost.
	fleetStall = 2 * time.Second
	// fleetLook is how often spools are asked whether they are empty.
	fleetLook = 10 * time.Millisecond
)

// tracker is what follows the receiver in a daemon: spool and uplink.
type tracker struct {
	device   string
	messages *pipeline.Messages
	spool    *spool.Spool
	uplink   *uplink.Uplink
}

func newTracker(t *testing.T, server *realtest.Server, device string) *tracker {
	t.Helper()
	s, err := spool.Open(spool.Options{Readers: []string{device}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	u, err := uplink.New(uplink.Config{
		Name: device, URL: server.GroupURL(device), Order: uplink.LiveFirst, Backlog: pipeline.Late,
	}, s.Reader(device))
	if err != nil {
		t.Fatal(err)
	}
	return &tracker{device: device, messages: pipeline.NewMessages(device), spool: s, uplink: u}
}

// fix makes the next fix.
func (tr *tracker) fix(t *testing.T) []byte {
	f := nmea.Fix{Mode: nmea.Mode3D, Time: time.Now(), Lat: nmea.Value{V: 51.5, Set: true}, Lon: nmea.Value{V: -0.1, Set: true}}
	msg := tr.messages.Fix(&f)
	if _, err := tr.spool.Append(msg); err != nil {
		t.Fatal(err)
	}
	return msg
}

// TestFleetComesBack restarts a server under a fleet, each of which has a backlog by then. They share one channel capacity
// of 100 messages, and everything must arrive.
func TestFleetComesBack(t *testing.T) {
	server := realtest.StartDjango(t, realtest.Options{Layer: realtest.Redis})
	fleet := newFleet(t, server)
	waitAcked(t, fleet, 1, nil)
	server.Kill()
	for _, tr := range fleet {
		for range fleetBacklog {
			tr.fix(t)
		}
	}
	server.Restart()
	start := time.Now()
	waitAcked(t, fleet, 1+fleetBacklog, time.NewTicker(time.Second))
	drained := time.Since(start)
	waitAcked(t, fleet, 0, nil)

	var lost, resent, connects uint64
	for _, tr := range fleet {
		st := tr.uplink.Status()
		lost, resent, connects = lost+st.Lost, resent+st.Resent, connects+st.Connects
		if dropped := tr.spool.Stats().Dropped; dropped > 0 {
			t.Errorf("%s: spool dropped %d", tr.device, dropped)
		}
	}
	checkArrived(t, server, fleet)
	t.Logf("%s; %d echoes lost, %d fixes sent again, %d connections", fleetRate(drained), lost, resent, connects)
}

// newFleet starts the trackers, with one fix each. Their uplinks end with the test.
func newFleet(t *testing.T, server *realtest.Server) (fleet []*tracker) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for i := range fleetSize {
		tr := newTracker(t, server, fmt.Sprintf("van_%d", i))
		tr.fix(t)
		running.Go(func() {
			if err := tr.uplink.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		fleet = append(fleet, tr)
	}
	return fleet
}

func fleetRate(took time.Duration) string {
	const all = fleetSize * fleetBacklog
	return fmt.Sprintf("%d fixes of %d trackers drained in %.1f s, %.0f a second", all, fleetSize, took.Seconds(), all/took.Seconds())
}

// waitAcked waits until the server has acknowledged the first n fixes of every tracker, 0 meaning all. With a ticker each
// tracker makes a new fix at a tick: beside being true to life, they show the loss of the one before. A server on a busy machine
// gets no more of them than it can take: one for two that it has acknowledged, or every ten ticks.
func waitAcked(t *testing.T, fleet []*tracker, n uint64, live *time.Ticker) {
	t.Helper()
	var fixes <-chan time.Time
	if live != nil {
		fixes = live.C
		defer live.Stop()
	}
	deadline := time.After(fleetDrain)
	tick := time.NewTicker(fleetLook)
	defer tick.Stop()
	ticks, taken := 0, uint64(0)
	behind := func(tr *tracker) bool {
		if n == 0 {
			return tr.spool.Stats().Records > 0
		}
		return tr.spool.Reader(tr.device).Acked() < n
	}
	for slices.ContainsFunc(fleet, behind) {
		select {
		case <-tick.C:
		case <-fixes:
			acked := uint64(0)
			for _, tr := range fleet {
				acked += tr.uplink.Status().Acked
			}
			if ticks++; acked < taken+2*fleetSize && ticks%10 != 0 {
				continue
			}
			taken = acked
			for _, tr := range fleet {
				tr.fix(t)
			}
		case <-deadline:
			slow := fleet[slices.IndexFunc(fleet, behind)]
			t.Fatalf("%s has %d fixes left after %v: %+v", slow.device, slow.spool.Stats().Records, fleetDrain, slow.uplink.Status())
		}
	}
}

// checkArrived checks that the server has processed every fix of every tracker.
func checkArrived(t *testing.T, server *realtest.Server, fleet []*tracker) {
	t.Helper()
	texts, err := server.Processed()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[uplink.Key]bool)
	for _, text := range texts {
		for key := range uplink.Keys(text) {
			got[key] = true
		}
	}
	for _, tr := range fleet {
		for seq := range tr.messages.Seq {
			if !got[uplink.Key{Run: tr.messages.Run, Seq: seq + 1}] {
				t.Errorf("lost: seq %d of %s", seq+1, tr.device)
			}
		}
	}
}

// BenchmarkFleetWithAFixedWindow measures how the fleet of TestFleetComesBack fares when each always has the largest window on the way.
func BenchmarkFleetWithAFixedWindow(b *testing.B) {
	server := realtest.StartDjango(b, realtest.Options{Layer: realtest.Redis})
	for b.Loop() {
		fixedWindow(b, server)
	}
}

func fixedWindow(b *testing.B, server *realtest.Server) {
	b.Helper()
	senders := make([]*fixedSender, fleetSize)
	for i := range senders {
		conn, _, err := websocket.DefaultDialer.Dial(server.GroupURL(fmt.Sprintf("fixed_%d", i)), nil)
		if err != nil {
			b.Fatal(err)
		}
		senders[i] = &fixedSender{conn: conn}
		for seq := range fleetBacklog {
			senders[i].queue = append(senders[i].queue, seq+1)
		}
	}
	start := time.Now()
	var running sync.WaitGroup
	for _, s := range senders {
		running.Go(func() {
			if err := s.drain(); err != nil {
				b.Error(err)
			}
		})
	}
	running.Wait()
	lost := 0
	for _, s := range senders {
		lost += s.lost
	}
	b.Logf("fixed window of %d: %s; %d echoes lost", fixedSize, fleetRate(time.Since(start)), lost)
}

// fixedSize is the window that a client might choose that has the server to itself.
const fixedSize = 32

// fixedSender sends numbered messages with a fixed window, each as often as it takes to have its echo.
type fixedSender struct {
	conn   *websocket.Conn
	queue  []int // to be sent
	flying []int // sent, without an echo
	lost   int   // sendings that had no echo
}

// drain returns when every message was echoed.
func (s *fixedSender) drain() error {
	echoes := make(chan int, fixedSize)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer s.conn.Close()
	done := make(chan struct{})
	defer close(done)
	reading.Go(func() {
		defer close(echoes)
		var m struct{ Seq int }
		for s.conn.ReadJSON(&m) == nil {
			select {
			case echoes <- m.Seq:
			case <-done:
				return
			}
		}
	})
	deadline := time.After(fleetDrain)
	for len(s.queue)+len(s.flying) > 0 {
		if err := s.fill(); err != nil {
			return err
		}
		select {
		case seq, open := <-echoes:
			if !open {
				return errors.New("the server ended the connection")
			}
			s.echoed(seq)
		case <-time.After(fleetStall):
			s.again(len(s.flying))
		case <-deadline:
			return fmt.Errorf("%d messages are left after %v", len(s.queue)+len(s.flying), fleetDrain)
		}
	}
	return nil
}

// fill sends until the window is full.
func (s *fixedSender) fill() error {
	for len(s.queue) > 0 && len(s.flying) < fixedSize {
		text := fmt.Sprintf(`{"class":"TPV","run":"fixed","seq":%d,"mode":3,"lat":51.5,"lon":-0.1}`, s.queue[0])
		if err := s.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			return err
		}
		s.flying, s.queue = append(s.flying, s.queue[0]), s.queue[1:]
	}
	return nil
}

// echoed takes an echo: what was sent before it and had none is lost.
func (s *fixedSender) echoed(seq int) {
	if i := slices.Index(s.flying, seq); i >= 0 {
		s.flying = slices.Delete(s.flying, i, i+1)
		s.again(i)
	}
}

// again has the first n of those on the way sent again, before anything new.
func (s *fixedSender) again(n int) {
	s.queue = slices.Concat(s.flying[:n], s.queue)
	s.flying = slices.Clone(s.flying[n:])
	s.lost += n
}
