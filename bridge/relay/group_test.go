package relay

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// want reads as many messages as there are texts and compares them.
func (m member) want(texts ...string) {
	m.t.Helper()
	var got []string
	for range texts {
		got = append(got, m.next())
	}
	if d := cmp.Diff(texts, got); d != "" {
		m.t.Errorf("messages (-want +got):\n%s", d)
	}
}

func TestJoin(t *testing.T) {
	r := start(t, Config{History: 3})
	for i := range 5 {
		r.sky(100 + i)
		r.tpv(1 + i)
	}
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{tpv(5)}},
		{"?history=0", []string{tpv(5)}},
		{"?history=2", []string{tpv(4), tpv(5)}},
		{"?history=99", []string{tpv(3), tpv(4), tpv(5)}},
		{"?sky=1", []string{sky(104), tpv(5)}},
		{"?sky=1&history=2", []string{sky(104), tpv(4), tpv(5)}},
		{"?sky=0", []string{tpv(5)}},
	} {
		t.Run(c.query, func(t *testing.T) { dial(t, r, c.query, nil).want(c.want...) })
	}
}

func TestLive(t *testing.T) {
	r := start(t, Config{})
	plain, withSky := dial(t, r, "", nil), dial(t, r, "?sky=1", nil)
	if n := r.Status().Viewers; n != 2 {
		t.Fatalf("%d viewers: who is connected must be a member", n)
	}
	r.Publish("van_8", "TPV", []byte(`{"another":"device"}`))
	r.tpv(1)
	r.sky(2)
	r.Publish("van_7", "NOTE", []byte(`{"class":"NOTE"}`))
	r.tpv(3)
	plain.want(tpv(1), `{"class":"NOTE"}`, tpv(3))
	withSky.want(tpv(1), sky(2), `{"class":"NOTE"}`, tpv(3))
}

// Who joins while messages come must see every message from its first on, once
// and in order.
func TestJoinWhilePublishing(t *testing.T) {
	const last, members = 3000, 12
	r := start(t, Config{History: 50, Queue: last})
	var publishing sync.WaitGroup
	started := make(chan struct{})
	publishing.Go(func() {
		for i := 1; i <= last; i++ {
			r.tpv(i)
			if i == 200 {
				close(started)
			}
		}
	})
	<-started
	var reading sync.WaitGroup
	for range members {
		m := dial(t, r, "?history=50", nil)
		reading.Go(func() {
			for seq := m.seq(); seq < last; {
				next := m.seq()
				if next != seq+1 {
					t.Errorf("after %d came %d", seq, next)
					return
				}
				seq = next
			}
		})
	}
	reading.Wait()
	publishing.Wait()
	if n := r.Status().Dropped; n != 0 {
		t.Errorf("dropped %d messages of viewers that read", n)
	}
}

func TestNewer(t *testing.T) {
	at := func(run string, seq uint64, backlog bool) header { return header{Run: run, Seq: seq, Backlog: backlog} }
	for _, c := range []struct {
		name    string
		last, h header
		want    bool
	}{
		{"next of the run", at("a", 1, false), at("a", 2, false), true},
		{"repeat", at("a", 2, false), at("a", 2, false), false},
		{"backlog of the run, drained behind live", at("a", 9, false), at("a", 3, true), false},
		{"backlog of the run, oldest first", at("a", 3, true), at("a", 4, true), true},
		{"new run", at("a", 900, false), at("b", 1, false), true},
		{"backlog of an older run", at("b", 1, false), at("a", 901, true), false},
		{"without a key", header{}, header{}, true},
	} {
		if got := c.h.newer(c.last); got != c.want {
			t.Errorf("%s: newer = %v, want %v", c.name, got, c.want)
		}
	}
}

// The last fix is there even if a backlog that came later fills the history.
func TestJoinDuringBacklog(t *testing.T) {
	r := start(t, Config{History: 3, PublishToken: "pub"})
	p := dial(t, r, "", bearer("pub"))
	backlog := func(seq string) string { return `{"class":"TPV","run":"r","seq":` + seq + `,"backlog":true}` }
	live := `{"class":"TPV","run":"r","seq":90}`
	for _, text := range []string{live, backlog("1"), backlog("2"), backlog("3"), backlog("4")} {
		p.send(text)
		p.want(text)
	}
	dial(t, r, "", nil).want(live)
	dial(t, r, "?history=2", nil).want(live, backlog("4"))
}

func TestGroupsAreBounded(t *testing.T) {
	r := start(t, Config{}, func(l *limits) { l.groups, l.totalBytes = 3, 20_000 })
	watched := dial(t, r, "", nil)
	until(t, "joined", func() bool { return r.Status().Viewers == 1 })
	for _, device := range []string{"a", "b", "c", "d"} {
		r.Publish(device, "TPV", []byte(`{"class":"TPV"}`))
	}
	if s := r.Status(); s.Groups != 3 || s.Devices[0].DeviceID != "c" || s.Devices[2].DeviceID != "van_7" {
		t.Errorf("groups %+v, want the watched one and the two heard last", s.Devices)
	}
	for i := range 200 {
		r.tpv(i)
		watched.next()
	}
	if kept := r.hub.kept.Load(); kept > 20_000 || kept <= 0 {
		t.Errorf("%d bytes are kept, want at most 20000", kept)
	}
	watched.Close()
	until(t, "left", func() bool { return r.Status().Viewers == 0 })
	if r.hub.lookup("van_7") == nil {
		t.Error("the last fix was forgotten with the last viewer")
	}
}

// A group without a publisher is gone with its last viewer: looking for
// devices that do not exist leaves nothing behind.
func TestUnusedGroupIsForgotten(t *testing.T) {
	r := start(t, Config{})
	m := dial(t, r, "", nil)
	until(t, "joined", func() bool { return r.Status().Groups == 1 })
	m.Close()
	until(t, "forgotten", func() bool { return r.Status().Groups == 0 })
}

func TestQueue(t *testing.T) {
	var q queue
	next, oldest := 0, 0
	// Growing, wrapping and emptying in turns, beside a plain count.
	for _, step := range []int{5, -3, 20, -22, 9, -1, 40, -48} {
		for ; step > 0; step-- {
			q.push(&message{n: uint64(next), data: make([]byte, next)})
			next++
		}
		for ; step < 0; step++ {
			if m := q.pop(); m == nil || m.n != uint64(oldest) {
				t.Fatalf("popped %v, want %d", m, oldest)
			}
			oldest++
		}
		if q.len() != next-oldest {
			t.Fatalf("%d messages, want %d", q.len(), next-oldest)
		}
		if all := q.messages(); len(all) > 0 && (all[0].n != uint64(oldest) || all[len(all)-1].n != uint64(next-1)) {
			t.Fatalf("messages from %d to %d, want %d to %d", all[0].n, all[len(all)-1].n, oldest, next-1)
		}
		if cap(q.list) > 128 {
			t.Fatalf("room for %d messages, of which there were never more than 48", cap(q.list))
		}
	}
	if q.pop() != nil || q.bytes != 0 {
		t.Errorf("the empty ring has %d bytes", q.bytes)
	}
}

func TestSeen(t *testing.T) {
	var s seen
	for key := uint64(1); key <= 2*seenKeys; key++ {
		if s.add(key) {
			t.Fatalf("key %d is new", key)
		}
		if !s.add(key) {
			t.Fatalf("key %d was seen", key)
		}
	}
	if s.add(1) || !s.add(2*seenKeys) || len(s) != seenKeys {
		t.Errorf("it must remember the last %d and no more", seenKeys)
	}
}
