package spool

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// account is a spool that is too small for what comes, on a disk that fails now and then, and what is known of it.
type account struct {
	*machine
	dead atomic.Bool
	owed map[uint64]string // appended, and not acknowledged
	gone uint64            // of these no longer held when last looked
	last uint64
}

// TestEveryRecordIsHeldOrCounted fills spools and breaks their disk: what is not given any more was counted.
func TestEveryRecordIsHeldOrCounted(t *testing.T) {
	checkInBubble(t, accounts)
}

func accounts(t *rapid.T) {
	a := &account{machine: newMachine(), owed: map[uint64]string{}}
	a.max = MinMax
	a.recent = rapid.Int64Range(4, 20).Draw(t, "recent segments") * testSegment
	a.background = true
	a.disk.fail = func(op, _ string) error {
		if a.dead.Load() && (op == "write" || op == "sync" || op == "create") {
			return unix.EIO
		}
		return nil
	}
	a.open(t, "r")
	defer func() { a.kill() }()
	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			for range rapid.IntRange(1, 300).Draw(t, "count") {
				a.append(t)
			}
			synctest.Wait()
		},
		"ack": func(t *rapid.T) {
			all := slices.Sorted(maps.Keys(contents(t, a.spool.Reader("r"))))
			for _, pos := range all[:len(all)*rapid.IntRange(0, 4).Draw(t, "quarters")/4] {
				a.spool.Reader("r").Ack(pos)
				delete(a.owed, pos)
			}
		},
		"tick":       func(*rapid.T) { a.spool.report(a.spool.flush(false)) },
		"disk dies":  func(*rapid.T) { a.dead.Store(true) },
		"disk works": func(*rapid.T) { a.dead.Store(false) },
		"close": func(t *rapid.T) {
			if err := a.spool.Close(); err != nil && !a.dead.Load() {
				t.Fatal(err)
			}
			if a.dead.Load() {
				a.dead.Store(false) // or it could not be opened
			} else {
				a.powerCut(func() bool { return false })
			}
			a.open(t, "r")
		},
		"": a.check,
	})
}

func (a *account) append(t *rapid.T) {
	data := fmt.Sprint(a.last+1, strings.Repeat("x", 1500))
	pos, err := a.spool.Append([]byte(data))
	if err != nil || pos <= a.last {
		t.Fatalf("Append = %d, %v after %d", pos, err, a.last)
	}
	a.last, a.owed[pos] = pos, data
}

// check settles the account. What it finds gone it need not look for again, nor may it come back.
func (a *account) check(t *rapid.T) {
	got, st := contents(t, a.spool.Reader("r")), a.spool.Stats()
	if extra := without(got, a.owed); len(extra) > 0 {
		t.Fatalf("given what was not owed: %v", extra)
	}
	if _, owed := a.owed[a.last]; owed && got[a.last] == "" {
		t.Fatalf("the newest, %d, is gone", a.last)
	}
	a.gone += uint64(len(a.owed) - len(got))
	a.owed = maps.Clone(got)
	if st.Dropped != a.gone || st.Records != len(got) {
		t.Fatalf("%d are held and %d gone: %+v", len(got), a.gone, st)
	}
}
