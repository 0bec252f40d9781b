package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

const (
	// faultStep is the time between two epochs of the faulty receiver by its own clock: 25 Hz.
	faultStep = 40 * time.Millisecond
	// Its pace on the wall lies anywhere between these, 20 to 50 Hz.
	faultPaceMin, faultPaceMax = 20 * time.Millisecond, 50 * time.Millisecond
)

// course is a drive. Time and place identify each of its epochs.
type course struct {
	start time.Time
	step  time.Duration // between two epochs
}

func (c course) time(i int) time.Time {
	return c.start.Add(time.Duration(i) * c.step)
}

// index returns which epoch has a time, false when none has.
func (c course) index(at time.Time) (int, bool) {
	since := at.Sub(c.start)
	return int(since / c.step), since >= 0 && since%c.step == 0
}

// minutes of latitude beyond 51 degrees: 1e-4 an epoch, so that an hour at 50 Hz stays below 60.
func (c course) minutes(i int) float64 {
	return 30 + float64(i)*1e-4
}

func (c course) lat(i int) float64 {
	return 51 + c.minutes(i)/60
}

func (c course) sentences(i int) []byte {
	at := c.time(i)
	clock, place := at.Format("150405.00"), fmt.Sprintf("51%08.5f,N,00007.65700,W", c.minutes(i))
	b := appendSentence(nil, "GNRMC,%s,A,%s,27.0,84.4,%s,,,A", clock, place, at.Format("020106"))
	b = appendSentence(b, "GNGGA,%s,%s,1,09,0.80,11.2,M,46.7,M,,", clock, place)
	return appendSentence(b, "GNGSA,A,3,05,07,13,15,18,20,24,28,30,,,,1.36,0.80,1.10")
}

// written is an epoch that is on its way to the daemon.
type written struct {
	epoch int
	end   uint64 // of all bytes that this daemon was sent, how many end with it
}

// feeder is a receiver on a real pseudo-terminal with a symbolic link to it. It writes epochs at an uneven pace while a daemon
// has the port open, and knows which of them the daemon must have taken.
type feeder struct {
	t      *testing.T
	link   string
	course course
	rand   *rand.Rand // owned by the writer
	done   chan struct{}

	mu    sync.Mutex
	line  *realtest.Pty // nil while unplugged
	fresh bool          // nothing was written to the line yet
	opens uint64        // ports that this daemon had opened when the line, or the daemon, was new
	flows bool          // a daemon has the line open
	next  int           // the next epoch
	sent  uint64        // bytes that this daemon may have been sent, over all lines
	tail  []written     // the last epoch that it has read, and those that it may not have read yet
	must  []bool        // by epoch: the daemon must have taken it
	ended bool
	fault error // the line took no more
}

// startFeeder plugs a receiver in. It writes as soon as look sees that a daemon has opened it.
func startFeeder(t *testing.T, random *rand.Rand) *feeder {
	t.Helper()
	f := &feeder{
		t: t, link: filepath.Join(t.TempDir(), "gps"), course: course{start: time.Now().UTC().Truncate(time.Second), step: faultStep},
		rand: random, done: make(chan struct{}),
	}
	f.plug()
	go f.run()
	t.Cleanup(f.end)
	return f
}

// run writes epochs until end.
func (f *feeder) run() {
	defer close(f.done)
	for f.epoch() {
		<-time.After(faultPaceMin + time.Duration(f.rand.Int64N(int64(faultPaceMax-faultPaceMin))))
	}
}

// epoch writes the next epoch, and reports whether there are more to come.
func (f *feeder) epoch() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flows && f.fault == nil && !f.ended {
		f.write(f.course.sentences(f.next), true)
	}
	return !f.ended
}

// write writes an epoch or a part of it; mu is held. A whole one goes in one piece: a machine that is held up must not
// hold the line up in the middle of it, which would end it there.
func (f *feeder) write(b []byte, whole bool) {
	n, err := f.line.Write(b)
	f.sent += uint64(n)
	f.fresh, f.fault = false, err
	f.must = append(f.must, whole && err == nil)
	f.tail = append(f.tail, written{f.next, f.sent})
	f.next++
}

// cut begins an epoch, half of the times, and does not end it; mu is held.
func (f *feeder) cut(random *rand.Rand) {
	if b := f.course.sentences(f.next); random.IntN(2) == 0 && f.flows && f.fault == nil {
		f.write(b[:1+random.IntN(len(b)-1)], false)
	}
}

// look lets epochs flow when a daemon has the line open, and takes note of what it has read.
func (f *feeder) look(st observe.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := st.Receivers[0]
	if !f.flows && f.line != nil && r.Opens > f.opens {
		f.flows = true
		if f.fresh {
			f.sent = r.Bytes // of other lines, and all of them are read
		}
	}
	f.read(r.Bytes)
}

// read takes note that the daemon has read so many bytes; mu is held.
func (f *feeder) read(bytes uint64) {
	for len(f.tail) > 1 && f.tail[1].end <= bytes {
		f.tail = f.tail[1:]
	}
}

// excuse lets the daemon off epochs that it need not have taken; mu is held.
func (f *feeder) excuse(epochs []written) {
	for _, w := range epochs {
		f.must[w.epoch] = false
	}
}

// plug connects a new terminal.
func (f *feeder) plug() {
	f.t.Helper()
	line := realtest.OpenPty(f.t)
	if err := os.Symlink(line.Path(), f.link); err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.line, f.fresh = line, true
}

// unplug pulls the cable, perhaps in the middle of an epoch. What the daemon has read it must have taken, to the last byte.
func (f *feeder) unplug(d *daemon, random *rand.Rand) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut(random)
	st, err := d.status()
	if err != nil {
		f.t.Fatal(err)
	}
	bytes := st.Receivers[0].Bytes
	f.read(bytes)
	if len(f.tail) > 0 && f.tail[0].end <= bytes {
		f.tail = f.tail[1:]
	}
	f.excuse(f.tail)
	f.tail, f.flows, f.opens = nil, false, st.Receivers[0].Opens
	if err := os.Remove(f.link); err != nil { // first: the name could lead to the next terminal that is opened
		f.t.Fatal(err)
	}
	f.line.Unplug()
	f.line = nil
}

// kill kills the daemon in the middle of its work. st is its last word: epochs that it had read then it must have taken,
// but for the last, which may have been open still.
func (f *feeder) kill(d *daemon, st observe.Status, random *rand.Rand) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut(random)
	d.Kill()
	bytes := st.Receivers[0].Bytes
	f.read(bytes)
	f.excuse(f.tail)
	// The next daemon may find all that this one has not read, or nothing. Counted as found, no epoch ever counts as read
	// too early.
	f.sent -= min(bytes, f.sent)
	f.tail, f.flows, f.opens = nil, false, 0
	if f.line == nil {
		return
	}
	if err := f.line.Release(); err != nil {
		f.t.Fatal(err)
	}
}

// flowing reports whether a daemon has the line open.
func (f *feeder) flowing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flows
}

// end stops the writing, and returns what went wrong with it.
func (f *feeder) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	<-f.done
	if f.fault != nil {
		f.t.Error(f.fault)
		f.fault = nil
	}
}
