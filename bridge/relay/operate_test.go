package relay

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	shared "gpsbridge/bridge/group"
)

// left is how many of readers were closed with a code.
func left(readers []*texts, code int) (n int) {
	for _, r := range readers {
		r.mu.Lock()
		if r.code == code {
			n++
		}
		r.mu.Unlock()
	}
	return n
}

func joinAll(t *testing.T, p place, n int) (readers []*texts) {
	for range n {
		readers = append(readers, readTexts(p.join(t, "")))
	}
	synctest.Wait()
	return readers
}

// A relay that is drained refuses clients at once, and closes those that it has one after the other.
func TestDrain(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		readers := joinAll(t, at[0], 40)
		drained := make(chan struct{})
		go func() {
			at[0].Drain(t.Context(), 24*time.Second)
			close(drained)
		}()
		synctest.Wait()
		for path, retry := range map[string]string{"/healthz": "", group7: "2"} {
			if a := at[0].ask(path, bearer("pub")); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != retry || path == group7 && a.Header.Get(shared.RefusalHeader) != shared.RefusedDrain {
				t.Errorf("%s is answered %s, Retry-After %q, %v, want 503 and %q", path, a.Status, a.Header.Get("Retry-After"), a.Header, retry)
			}
		}
		var gone []int
		for range 4 {
			time.Sleep(6*time.Second + time.Millisecond)
			synctest.Wait()
			gone = append(gone, left(readers, websocket.CloseGoingAway))
		}
		// The first 6 s are for the load balancer, the others are 18.
		if gone[0] != 0 || gone[1] < 12 || gone[1] > 14 || gone[2] < 25 || gone[2] > 27 || gone[3] != 40 {
			t.Errorf("after 6, 12, 18 and 24 s %v of 40 are closed", gone)
		}
		<-drained
		if s := at[0].Status(); s.Viewers != 0 || s.Refused != 1 {
			t.Errorf("status %+v, want no viewer and one refusal", s)
		}
	})
}

// A drain ends with its context, and at once without members.
func TestDrainEnds(t *testing.T) {
	fleet(t, 2, Config{}, func(t *testing.T, b *bus, at []place) {
		began := time.Now()
		at[1].Drain(t.Context(), time.Hour)
		joinAll(t, at[0], 1)
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		at[0].Drain(ctx, time.Hour)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// All that are members are closed, one of a hundred a second, and others are admitted meanwhile.
func TestRebalance(t *testing.T) {
	fleet(t, 1, Config{}, func(t *testing.T, b *bus, at []place) {
		readers := joinAll(t, at[0], 200)
		done := make(chan struct{})
		go func() {
			at[0].Rebalance(t.Context())
			close(done)
		}()
		synctest.Wait()
		at[0].Rebalance(t.Context()) // is going on
		others := joinAll(t, at[0], 3)
		most := 0
		for before := 0; ; {
			time.Sleep(time.Second)
			synctest.Wait()
			now := left(readers, websocket.CloseGoingAway)
			most, before = max(most, now-before), now
			if now == len(readers) {
				break
			}
		}
		if most > 2 {
			t.Errorf("%d of 200 were closed within a second, want 2", most)
		}
		<-done
		if n := left(others, 0); n != len(others) {
			t.Errorf("%d of those that joined meanwhile are left of %d", n, len(others))
		}
	})
}

// More handshakes than are admitted are asked to come again, each at another time.
func TestAdmission(t *testing.T) {
	fleet(t, 1, Config{Admit: 8}, func(t *testing.T, b *bus, at []place) {
		joinAll(t, at[0], 2) // a quarter at once
		var after []int
		for range 30 {
			a := at[0].ask(group7, nil)
			n, _ := strconv.Atoi(a.Header.Get("Retry-After"))
			if a.StatusCode != http.StatusServiceUnavailable || n == 0 || a.Header.Get(shared.RefusalHeader) != shared.RefusedBusy {
				t.Fatalf("answered %s, %v", a.Status, a.Header)
			}
			after = append(after, n)
		}
		if !slices.IsSorted(after) || after[0] > 2 || after[29] != 5 {
			t.Errorf("30 are to come again after %v s, want 8 in each from 1 s to 5 s", after)
		}
		time.Sleep(time.Second)
		joinAll(t, at[0], 2)
	})
	a, now := newAdmission(8), time.Now()
	var last time.Duration
	for range 2000 {
		last = a.back(now)
	}
	if last != time.Second+longestReturn {
		t.Errorf("the last of 2,000 is to come again after %v", last)
	}
}

// Without the layer, too, refused trackers come again each at another time.
func TestOutageSpreadsWhoComesAgain(t *testing.T) {
	fleet(t, 1, Config{Admit: 1}, func(t *testing.T, b *bus, at []place) {
		b.change(func() { b.down = errors.New("redis is gone") })
		for _, want := range []string{"1", "2", "3"} {
			if got := at[0].ask(group7, bearer("pub")).Header.Get("Retry-After"); got != want {
				t.Errorf("Retry-After is %s, want %s", got, want)
			}
		}
	})
}

// Trackers are asked to keep what the layer may lose.
func TestRetainHeader(t *testing.T) {
	r := start(t, Config{PublishToken: "pub", Retain: 10 * time.Minute, Layer: epochs{}})
	for token, want := range map[string]string{"pub": "600", "": ""} {
		header := http.Header{}
		if token != "" {
			header = bearer(token)
		}
		conn, answer, err := websocket.DefaultDialer.Dial(r.url("ws", group7), header)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got := answer.Header.Get(shared.RetainHeader); got != want {
			t.Errorf("with token %q the header is %q, want %q", token, got, want)
		}
		if got := answer.Header.Get(shared.EpochHeader); got != map[string]string{"pub": "of van_7"}[token] {
			t.Errorf("with token %q the epoch is %q", token, got)
		}
	}
}

// epochs is a layer that carries nothing and states an epoch.
type epochs struct{ shared.Layer }

func (epochs) Run(ctx context.Context, _ shared.Receiver) error { <-ctx.Done(); return nil }
func (epochs) Join(context.Context, string) error               { return nil }
func (epochs) Leave(string)                                     {}
func (epochs) Ready() error                                     { return nil }
func (epochs) Epoch(device string) string                       { return "of " + device }

func (epochs) History(context.Context, string, shared.Key, int) ([]shared.Message, bool, error) {
	return nil, true, nil
}
