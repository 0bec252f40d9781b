package spool

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// testSegment makes what happens between segments happen often.
const testSegment = 8 << 10

// machine is a spool on simulated directories, which outlive it, and what is known about it.
type machine struct {
	disk, tmpfs *simDirectory
	boot        byte
	onDisk      bool // the recent part is on the disk too: there is no tmpfs
	background  bool // what moves records to the disk runs; or else ticks are the test's alone
	spool       *Spool
	max, recent int64
}

func (m *machine) open(t interface{ Fatal(...any) }, readers ...string) {
	o := Options{Dir: "simulated", Max: m.max, Readers: readers, Log: slog.New(slog.DiscardHandler), Sync: time.Hour}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	z := sizes{testSegment, m.recent}
	if z.recent == 0 {
		z.recent = o.sizes().recent
	}
	m.spool = newSpool(o, z)
	if err := m.spool.attach(o, z, m.disk, m.tmpfs, [16]byte{m.boot}); err != nil {
		t.Fatal(err)
	}
	if m.background {
		go m.spool.run()
	} else {
		close(m.spool.stopped)
	}
}

// kill ends what the machine runs, and leaves everything as it is.
func (m *machine) kill() {
	close(m.spool.stop)
	<-m.spool.stopped
}

func (m *machine) powerCut(chance func() bool) {
	m.disk.cut(chance)
	if m.onDisk {
		m.tmpfs.cut(chance)
	} else {
		m.tmpfs = newSimDirectory()
	}
	m.boot++
}

func newMachine() *machine {
	return &machine{disk: newSimDirectory(), tmpfs: newSimDirectory()}
}

// contents reads what a reader would be given.
func contents(t interface{ Fatal(...any) }, r *Reader) map[uint64]string {
	all := map[uint64]string{}
	for after := uint64(0); ; {
		pos, data, err := r.Next(after)
		if err != nil {
			t.Fatal(err)
		}
		if pos == 0 {
			return all
		}
		if pos <= after {
			t.Fatal("positions go back: ", after, pos)
		}
		all[pos] = string(data)
		after = pos
	}
}

// crashModel is what a spool owes: records by reader, and of these the ones that a power cut may not take.
type crashModel struct {
	*machine
	names   []string
	records map[uint64]string            // ever appended
	owed    map[string]map[uint64]string // by reader, not acknowledged
	safe    map[string]map[uint64]string // owed when the disk last had everything
	again   map[string]map[uint64]bool   // of these, the ones that were acknowledged and asked for again: a restart may take them
	last    uint64
}

func (m *crashModel) saved() {
	m.safe = map[string]map[uint64]string{}
	for name, owed := range m.owed {
		m.safe[name] = maps.Clone(owed)
		maps.DeleteFunc(m.safe[name], func(pos uint64, _ string) bool { return m.again[name][pos] })
	}
}

// ask has a reader be given again what it has acknowledged, and checks that nothing is missing of what it was owed.
func (m *crashModel) ask(t *rapid.T, name string) {
	n := m.spool.Reader(name).Again()
	got := contents(t, m.spool.Reader(name))
	for pos, data := range got {
		if m.records[pos] != data {
			t.Fatalf("%s is given %q at %d, which was %q", name, data, pos, m.records[pos])
		}
		if _, owed := m.owed[name][pos]; !owed {
			m.again[name][pos] = true
			n--
		}
	}
	if missing := without(m.owed[name], got); n != 0 || len(missing) > 0 {
		t.Fatalf("%s: %d records too many are said to come again, %v are not given", name, n, missing)
	}
	m.owed[name] = got
}

// restarted takes note of what was asked for again and has ended with the process.
func (m *crashModel) restarted(t *rapid.T) {
	for _, name := range m.names {
		got := contents(t, m.spool.Reader(name))
		for pos := range m.again[name] {
			if _, given := got[pos]; !given {
				delete(m.owed[name], pos)
			}
		}
		m.again[name] = map[uint64]bool{}
	}
}

func (m *crashModel) append(t *rapid.T, size int) {
	data := fmt.Sprintf("%d %s", m.last+1, strings.Repeat("x", size))
	pos, err := m.spool.Append([]byte(data))
	if err != nil || pos <= m.last {
		t.Fatalf("Append = %d, %v after %d", pos, err, m.last)
	}
	m.last = pos
	m.records[pos] = data
	for _, name := range m.names {
		m.owed[name][pos] = data
	}
}

func (m *crashModel) ack(name string, pos uint64) {
	m.spool.Reader(name).Ack(pos)
	delete(m.owed[name], pos)
	delete(m.safe[name], pos)
	delete(m.again[name], pos)
}

// exact checks that each reader is given what it is owed and nothing else.
func (m *crashModel) exact(t *rapid.T, when string) {
	for _, name := range m.names {
		got := contents(t, m.spool.Reader(name))
		if !maps.Equal(got, m.owed[name]) {
			t.Fatalf("%s: %s is given too much: %v, too little: %v", when, name, without(got, m.owed[name]), without(m.owed[name], got))
		}
		low := m.last
		if owed := slices.Sorted(maps.Keys(got)); len(owed) > 0 {
			low = owed[0] - 1
		}
		if acked := m.spool.Reader(name).Acked(); acked != low && len(got) > 0 {
			t.Fatalf("%s: %s acknowledged up to %d, want %d", when, name, acked, low)
		}
		if len(got) == 0 && m.spool.Reader(name).Acked() != m.spool.Reader(name).Last() {
			t.Fatalf("%s: %s is through and has not reached the end", when, name)
		}
	}
}

// without returns the positions of a that b has not, or has otherwise.
func without(a, b map[uint64]string) (all []uint64) {
	for pos, data := range a {
		if other, ok := b[pos]; !ok || other != data {
			all = append(all, pos)
		}
	}
	slices.Sort(all)
	return all
}

// survived checks what a power cut left, and goes on from there.
func (m *crashModel) survived(t *rapid.T) {
	for _, name := range m.names {
		got := contents(t, m.spool.Reader(name))
		for pos, data := range m.safe[name] {
			if got[pos] != data {
				t.Fatalf("%s lost %d in a power cut", name, pos)
			}
		}
		for pos, data := range got {
			if m.records[pos] != data {
				t.Fatalf("%s is given %q at %d, which was %q", name, data, pos, m.records[pos])
			}
		}
		m.owed[name], m.again[name] = got, map[uint64]bool{}
	}
	m.saved() // what is held after opening was on the disk, or has been put there
	if last := m.spool.Reader(m.names[0]).Last(); last < m.last {
		t.Fatalf("positions go on from %d, and %d was given", last, m.last)
	}
}

// TestNothingIsLostInCrashes drives spools through appends, acknowledgements, ticks, kills and power cuts. Often more is
// appended than the recent log takes.
func TestNothingIsLostInCrashes(t *testing.T) {
	checkInBubble(t, crashes)
}

// checkInBubble checks spools with what they run in the background. The hour until the next tick passes only when nothing
// else is left to be done, which is a bug.
func checkInBubble(t *testing.T, property func(*rapid.T)) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, property) // a *testing.T would be asked for its deadline, which has no meaning here
	})
}

func crashes(t *rapid.T) {
	m := &crashModel{
		machine: newMachine(), names: []string{"a", "b"}, records: map[uint64]string{},
		owed: map[string]map[uint64]string{"a": {}, "b": {}}, again: map[string]map[uint64]bool{"a": {}, "b": {}},
	}
	m.onDisk = rapid.Bool().Draw(t, "without tmpfs")
	m.max = 1 << 40 // nothing is dropped
	m.recent = rapid.Int64Range(4, 20).Draw(t, "recent segments") * testSegment
	m.background = true
	m.open(t, m.names...)
	defer func() { m.kill() }() // the latest
	m.saved()
	begin := time.Now()
	t.Repeat(map[string]func(*rapid.T){
		"append":      func(t *rapid.T) { m.append(t, rapid.IntRange(0, 2000).Draw(t, "size")) },
		"append many": func(t *rapid.T) { m.appendMany(t) },
		"ack":         func(t *rapid.T) { m.ack(rapid.SampledFrom(m.names).Draw(t, "reader"), m.drawPos(t)) },
		"ack many":    func(t *rapid.T) { m.ackMany(t) },
		"tick": func(t *rapid.T) {
			if err := m.spool.flush(false); err != nil {
				t.Fatal(err)
			}
			m.saved()
		},
		"retain": func(t *rapid.T) {
			m.spool.Reader(rapid.SampledFrom(m.names).Draw(t, "reader")).Retain(time.Duration(rapid.IntRange(0, 3).Draw(t, "hours")) * time.Hour)
		},
		"again": func(t *rapid.T) { m.ask(t, rapid.SampledFrom(m.names).Draw(t, "reader")) },
		"kill": func(t *rapid.T) {
			m.kill()
			m.open(t, m.names...)
			m.restarted(t)
			if last := m.spool.Reader("a").Last(); last < m.last {
				t.Fatalf("positions go on from %d, and %d was given", last, m.last)
			}
			m.exact(t, "after a kill")
		},
		"close": func(t *rapid.T) {
			m.reopened(t)
			m.restarted(t)
			m.saved()
			m.exact(t, "after closing and opening")
		},
		"power cut": func(t *rapid.T) {
			bits := rapid.Uint64().Draw(t, "what reached the disk")
			m.kill()
			m.powerCut(func() bool { bits = bits*6364136223846793005 + 1442695040888963407; return bits>>63 == 1 })
			m.open(t, m.names...)
			m.survived(t)
		},
		"": func(t *rapid.T) {
			m.exact(t, "running")
			if time.Since(begin) > 0 {
				t.Fatal("something waited for a tick")
			}
		},
	})
}

func (m *crashModel) drawPos(t *rapid.T) uint64 {
	if all := slices.Sorted(maps.Keys(m.records)); len(all) > 0 {
		return rapid.SampledFrom(all).Draw(t, "pos")
	}
	return 7 // was never
}

func (m *crashModel) appendMany(t *rapid.T) {
	for range rapid.IntRange(20, 120).Draw(t, "count") {
		m.append(t, 1500)
	}
	synctest.Wait() // what it made the disk take is there
}

// ackMany acknowledges the oldest of what is owed, and of the window behind that every second.
func (m *crashModel) ackMany(t *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(t, "reader")
	owed := slices.Sorted(maps.Keys(m.owed[name]))
	n := len(owed) * rapid.IntRange(0, 4).Draw(t, "quarters") / 4
	for i, pos := range owed[:min(n+32, len(owed))] {
		if i < n || i%2 == 0 {
			m.ack(name, pos)
		}
	}
}

// reopened closes and opens on a machine that was shut down between: the tmpfs is empty.
func (m *crashModel) reopened(t *rapid.T) {
	if err := m.spool.Close(); err != nil {
		t.Fatal(err)
	}
	m.powerCut(func() bool { return false })
	m.open(t, m.names...)
	m.saved()
}
