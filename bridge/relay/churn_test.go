package relay

import (
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// Viewers that come and go, one that never reads, one that sends garbage and one
// that sends 100 MB cost those who watch not one message, and no memory to speak
// of.
func TestHostileViewers(t *testing.T) {
	const fixes, watching = 2000, 3
	r := start(t, Config{Queue: 2 * fixes})
	var hostile, watchers sync.WaitGroup
	for range watching {
		m := dial(t, r, "", nil)
		watchers.Go(func() {
			for want := 1; want <= fixes; want++ {
				if got := m.seq(); got != want {
					t.Errorf("fix %d came where %d was due", got, want)
					return
				}
			}
		})
	}
	stop, attacked := make(chan struct{}), make(chan struct{})
	again := func(attack func(raw rawClient)) {
		hostile.Go(func() {
			for {
				raw := dialRaw(t, r, "")
				attack(raw)
				raw.Close()
				select {
				case <-stop:
					return
				case attacked <- struct{}{}:
				}
			}
		})
	}
	dialRaw(t, r, "") // never reads, to the end
	again(func(raw rawClient) { raw.frame() })
	again(func(raw rawClient) {}) // gone before anything came
	again(func(raw rawClient) {
		garbage := make([]byte, 4096)
		for i := range garbage {
			garbage[i] = byte(rand.Uint32())
		}
		raw.Write(garbage)
		raw.closeCode()
	})
	again(func(raw rawClient) { // 100 MB in messages that are each allowed, as far as it gets
		io.Copy(raw, io.LimitReader(endless(masked(0x81, strings.Repeat("x", 4000))), 100<<20))
	})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := 1; i <= fixes; i++ {
		r.tpv(i)
		if i%20 == 0 {
			<-attacked // 100 times in all
		}
	}
	watchers.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	close(stop)
	hostile.Wait()
	// 2,000 fixes in four queues and the history are one copy of each, and 3 MB.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d kB", grown>>10)
	}
	if n := r.hub.delivered.Load(); n < watching*fixes {
		t.Errorf("%d deliveries are counted, want %d at least", n, watching*fixes)
	}
}

// endless repeats text for good.
func endless(text string) io.Reader { return &repeater{text: text} }

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// Members join and leave at a rate of hundreds a second, of each kind, while a
// publisher sends: no member that stays misses anything, and nothing stays behind of
// those who left.
func TestChurn(t *testing.T) {
	const fixes, comers, rounds = 500, 4, 50
	r := start(t, Config{PublishToken: "pub", History: 20, Queue: 2 * fixes})
	steady := dial(t, r, "", nil)
	var watching, coming sync.WaitGroup
	watching.Go(func() {
		for want := 1; want <= fixes; want++ {
			if got := steady.seq(); got != want {
				t.Errorf("fix %d came where %d was due", got, want)
				return
			}
		}
	})
	for range comers {
		coming.Go(func() {
			for i := range rounds {
				query := []string{"", "?sky=1", "?nmea=1&history=5", "?history=100"}[i%4]
				conn, _, err := websocket.DefaultDialer.Dial(r.url("ws", "/ws/gps-tracking/van_7/"+query), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if i%3 == 0 {
					conn.ReadMessage()
				}
				if i%2 == 0 {
					conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
				}
				conn.Close()
			}
		})
	}
	p := dial(t, r, "", bearer("pub"))
	for i := 1; i <= fixes; i++ {
		p.send(tpv(i))
		if got := p.seq(); got != i { // each is echoed before the next
			t.Fatalf("echo %d came where %d was due", got, i)
		}
		r.Publish("van_7", "NMEA", []byte(`{}`))
	}
	watching.Wait()
	coming.Wait()
	until(t, "all have left", func() bool { s := r.Status(); return s.Viewers == 1 && s.Publishers == 1 && r.hub.conns.Load() == 2 })
	if r.Wants("van_7", "NMEA") {
		t.Error("NMEA is still wanted, by no member that is left")
	}
}

// Publish does not wait for members: in a bubble time stands still while anything runs,
// and moves when all wait.
func TestPublishNeverWaits(t *testing.T) {
	inBubble(t, Config{Queue: 16}, func(t *testing.T, r *Relay, p *pipes) {
		for range 20 {
			defer p.join(t, "?sky=1&nmea=1").Close() // none of them reads
		}
		synctest.Wait()
		began := time.Now()
		for i := range 5000 {
			r.tpv(i)
			r.sky(i)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Publish waited for %v", took)
		}
	})
}
