package nmea

import (
	"slices"
	"time"
)

const (
	// remembered is the number of closed epochs whose late sentences are recognised.
	remembered = 4
	// copies is how often the beginning of an epoch with a fix comes with the same time before the receiver's clock is taken to
	// stand: networks double packets.
	copies = 3
	// maxCopies is the same for a receiver that states whole seconds alone: twice what one of 25 Hz sends in each.
	maxCopies = 50
	// maxLate is how many late sentences in a row are one epoch's.
	maxLate = 32
	// maxOutvotes is how many sentences without a fix in a row may be another source's: three kinds at 5 Hz, beside one of 1 Hz.
	maxOutvotes = 16
	// maxTalkers bounds the talkers that are remembered; a line has at most a handful.
	maxTalkers = 16
)

// Handler takes what an Assembler makes. It is called on the goroutine that calls the Assembler, and the pointers are valid
// until it returns.
type Handler interface {
	Fix(*Fix)
	Sky(*Sky)
}

// Options set up an Assembler. The zero value is fine.
type Options struct {
	// Floor is a time that is certainly past, the build date of the program. A receiver's date before it is moved by whole
	// 1024 weeks, after which the week number of GPS starts again. Zero leaves every date as it is, which is right for old
	// recordings.
	Floor time.Time
	// System returns the system's time when it is needed, zero when it is not known, and how far that may be behind the true
	// time: that of a board without a clock of its own is by as long as it was switched off. A time before Floor counts as not
	// known. nil is always zero.
	System func() (now time.Time, behind time.Duration)
}

// Assembler merges sentences into exactly one Fix an epoch, and satellites into one Sky an epoch that completes a group of GSV.
//
// An epoch is the sentences that carry the same UTC time of day, and those without a time that belong to them. A sentence
// without a time that stands between two of one epoch is of that epoch. Between two epochs its place is learned, from pauses
// and from what fits; until it is known, speed, course and heading are not taken from it.
//
// The Fix leaves with the last sentence that adds to it in this receiver's learned cycle; when that one is missing, with the
// first sentence of the next epoch, or with Flush. What arrives later is used to learn the cycle, never for a second Fix.
type Assembler struct {
	h      Handler
	parser *parser

	epoch    epoch
	gap      gap // companions since the latest sentence of the open epoch that has a time or a position
	cycle    cycle
	calendar calendar
	carried  carried
	sky      sky

	// What came before the open epoch.
	before  before
	judged  gap     // companions between the latest closed epoch and the open one
	stated  values  // by the sentences with a time of the latest closed epoch
	verdict verdict // of that epoch

	// Pauses in the middle of epochs.
	pauses  int  // how often Flush came inside an epoch, recently
	quiet   bool // nothing came since Flush
	resumed bool // a sentence of the epoch that Flush closed came afterwards

	// Epochs that are over.
	closed  []time.Duration // stamps, latest first
	last    origin          // starter of the latest closed epoch
	lastFix bool            // and whether it had a fix
	repeats int             // of that sentence with the same time
	allowed int             // of those, before the clock is taken to stand
	lateRun int             // late sentences in a row

	talkers  [][2]byte // that had a fix
	outvotes int       // sentences of others since the latest of them

	fix   Fix // the one handed out
	stats AssemblerStats
	types byAddress[TypeStats]
}

// before is what lies between the latest epoch and what comes now.
type before uint8

const (
	nothing before = iota // no epoch was open yet
	joint                 // the epoch is open, or was closed by the next one
	pause                 // Flush closed it: what comes is of the next
	sequel                // and then came more of the one that was closed
)

// NewAssembler returns an Assembler that calls h.
func NewAssembler(h Handler, o Options) *Assembler {
	return &Assembler{h: h, parser: newParser(), calendar: newCalendar(o), allowed: copies}
}

// Push takes one sentence as the Scanner yields it; the checksum is not looked at again. The sentence is not retained.
func (a *Assembler) Push(sentence []byte) {
	r, err := a.parser.parse(sentence)
	a.quiet = false
	a.types.of(address(sentence)).count(r.flaws, err == nil)
	if r.flaws != 0 {
		a.stats.Refused++
	}
	switch r.kind {
	case kindOther:
	case kindTXT:
		a.stats.note(r.text)
	case kindGSV:
		a.sky.view(r)
	default:
		a.assemble(r)
	}
}

// assemble takes a sentence that states something about an epoch.
func (a *Assembler) assemble(r *reading) {
	if r.verdict == void && a.outvoted(r) {
		return
	}
	if r.timed {
		a.timed(r)
	} else if r.kind.position() {
		a.untimed(r)
	} else {
		a.companion(r)
	}
}

// outvoted reports whether a sentence without a fix is of a source that never had one, beside another that has. When nothing
// but such sentences comes, it is the same receiver, and its talker shows which constellations it uses.
func (a *Assembler) outvoted(r *reading) bool {
	if len(a.talkers) == 0 || a.hadFix(talkerOf(r)) || a.outvotes == maxOutvotes {
		return false
	}
	a.outvotes++
	return true
}

// hadFix reports whether a talker has had a fix. Proprietary sentences have no talker and are of the receiver that sends the
// others.
func (a *Assembler) hadFix(talker [2]byte) bool {
	return talker[0] == 'P' || slices.Contains(a.talkers, talker)
}

// found notes that a talker has a fix. When it is the first that has one, those of others before it in the epoch count no more.
func (a *Assembler) found(t [2]byte) {
	a.outvotes = 0
	if a.hadFix(t) || len(a.talkers) == maxTalkers {
		return
	}
	denies := func(p position) bool { return p.void && p.talker == t }
	if len(a.talkers) == 0 && !slices.ContainsFunc(a.epoch.positions, denies) {
		a.epoch.void = false
	}
	a.talkers = append(a.talkers, t)
}

// now returns the stamp of the open epoch, or the latest one.
func (a *Assembler) now() time.Duration {
	if a.epoch.open && a.epoch.stamped {
		return a.epoch.stamp
	}
	return a.calendar.tod
}

// timed takes a sentence that belongs to the epoch of its time of day.
func (a *Assembler) timed(r *reading) {
	e := &a.epoch
	same := e.open && e.stamped && e.matches(r)
	if e.open && e.stamped && !same && !r.kind.position() && backward(e.stamp, r.tod) { // truncated to a whole second
		a.carried.estimates(&r.values, r.tod)
		return
	}
	first := e.open && !e.stamped && e.of(originOf(r)) == nil && !(e.void && r.verdict == valid) // sentence with a time
	switch {
	case same:
		if originOf(r) == e.starter() && a.stands(r, e.sentences > 1, e.fix()) {
			a.next(r)
		}
	case a.late(r):
		a.stats.Late++
		a.carried.estimates(&r.values, r.tod)
		return
	case first:
		e.setStamp(r)
	default:
		if len(a.closed) == 0 || !near(a.closed[0], r.tod) {
			a.goesOn(r)
		}
		a.next(r)
	}
	a.merge(r)
}

// untimed takes a position, or the lack of one, that came without a time. It belongs to the open epoch unless its like was
// already there.
func (a *Assembler) untimed(r *reading) {
	if !a.epoch.open || a.epoch.of(originOf(r)) != nil {
		a.next(r)
	}
	a.merge(r)
}

// companion takes a sentence with neither a time nor a position. It is part of the open epoch or of the next one.
func (a *Assembler) companion(r *reading) {
	e := &a.epoch
	if !e.open && a.before == sequel {
		a.carried.dimension(r.dim, a.now())
		return
	}
	member, inPlace := a.cycle.arrive(r.kind)
	if !inPlace && !r.kind.follows() {
		a.misplaced(r, member)
		return
	}
	c := a.gap.add(r, member)
	if c == nil {
		return
	}
	if !e.open {
		c.certain = a.before == pause
		return
	}
	e.sentences++
	e.resumed = e.paused
	if c.tail, c.certain = a.cycle.side(c.member); r.kind.follows() {
		c.tail, c.certain = true, true
	}
	if c.tail {
		a.arrived(c.kind, c.member, a.include(c))
	}
}

// misplaced takes a companion that came out of its place: an epoch has begun of which everything before was lost. What it states
// is taken for the next epoch if that has a sentence that it fits. What came before it in the gap is not of the next one.
func (a *Assembler) misplaced(r *reading, member int) {
	for i := range a.gap.list {
		c := &a.gap.list[i]
		c.tail = c.tail || !c.early
	}
	if c := a.gap.add(r, member); c != nil {
		c.early = true
	}
}

// include merges a companion into the open epoch and reports whether that added something. While it is not certain that it is of
// this epoch, its quantities are taken only if they fit what the sentences with a time state; the dimension is carried from
// epoch to epoch anyway.
func (a *Assembler) include(c *companion) (added bool) {
	e := &a.epoch
	common, alike := c.values.compare(&e.stated)
	c.whole = c.certain || common && alike
	if c.kind == kindGSA && (c.whole || !e.listed) {
		if !e.listed { // what is certain replaces what is not
			a.sky.begin()
		}
		a.sky.use(&c.reading)
	}
	if c.whole {
		return e.merge(&c.reading)
	}
	e.took = 0
	return e.mergeDim(c.dim)
}

// settle includes the companions since the latest sentence of the open epoch: another one of it has come, or a pause.
func (a *Assembler) settle() {
	for i := range a.gap.list {
		c := &a.gap.list[i]
		if c.early {
			continue
		}
		c.tail, c.certain = true, true
		if !c.whole {
			a.arrived(c.kind, c.member, a.include(c))
		}
		a.cycle.vote(c.member, sure)
	}
	a.gap.clear()
}

// merge adds a sentence with a time or a position to the open epoch.
func (a *Assembler) merge(r *reading) {
	e := &a.epoch
	a.settle()
	added := e.merge(r)
	took := e.took
	e.sentences++
	e.resumed = e.paused
	if r.kind.position() {
		if r.verdict == valid && r.lat.Set {
			a.found(talkerOf(r))
		}
		e.note(r)
	}
	if r.date != (date{}) && (r.kind == kindZDA && e.date == (date{}) || r.kind == kindRMC && r.verdict != void) {
		e.date = r.date
		added = added || !a.calendar.known
	}
	for i := range a.judged.list { // does it fit now?
		if c := &a.judged.list[i]; !c.tail && !c.whole {
			a.include(c)
		}
	}
	member, _ := a.cycle.arrive(r.kind)
	e.took = took
	a.arrived(r.kind, member, added)
}

// arrived notes a sentence that was merged into the open epoch, and lets the fix go when it is complete. For estimated errors
// nothing waits: they often come after everything else, and those of the epoch before serve.
func (a *Assembler) arrived(k kind, member int, added bool) {
	if k == kindGST || k == kindGBS || k == kindRME {
		return
	}
	a.cycle.note(member, a.epoch.took, added)
	if e := &a.epoch; !e.sent && e.stamped && a.cycle.complete(e.stamp, e.known) {
		a.send()
	}
}

// next closes the open epoch and opens that of r. Companions that came before and are not of the closed epoch are of this one.
func (a *Assembler) next(r *reading) {
	a.close()
	a.open()
	if r.timed {
		a.epoch.setStamp(r)
	}
	for i := range a.gap.list {
		c := &a.gap.list[i]
		if c.tail {
			continue
		}
		a.include(c)
		if c.certain && a.before == pause {
			a.cycle.vote(c.member, -1)
		}
	}
	a.gap, a.judged = a.judged, a.gap
	a.gap.clear()
	a.before = joint
}

// open begins an epoch.
func (a *Assembler) open() {
	if a.before == pause || a.before == sequel {
		a.learnPause(a.resumed)
	}
	a.resumed = false
	a.epoch = epoch{open: true, frozen: a.repeats >= a.allowed, positions: a.epoch.positions[:0]}
	a.sky.begin()
	if a.before != pause { // Flush has done it
		a.cycle.begin()
	}
}

// Flush closes the open epoch: the line is quiet, or the input has ended. From a receiver that is known to pause in the middle
// of its epochs it takes two calls with nothing between.
func (a *Assembler) Flush() {
	if a.pauses >= confirmations && a.epoch.open && !a.quiet {
		a.quiet, a.epoch.paused = true, true
		return
	}
	a.quiet = true
	if !a.epoch.open {
		a.gap.clear()
		a.cycle.begin()
		if a.before == sequel {
			a.before = pause
		}
		return
	}
	a.settle()
	a.close()
	a.cycle.begin()
	a.before = pause
}

// Reset closes the open epoch and forgets the learned cycle, because what follows does not continue what came before. The date
// is kept.
func (a *Assembler) Reset() {
	a.close()
	a.cycle.forget()
	a.gap.clear()
	a.judged.clear()
	a.sky, a.carried = sky{}, carried{}
	a.before, a.talkers, a.outvotes = nothing, a.talkers[:0], 0
	a.closed, a.repeats, a.allowed, a.lateRun, a.pauses = a.closed[:0], 0, copies, 0, 0
	a.resumed, a.lastFix = false, false
}

// close ends the open epoch: its fix leaves unless it has, and so does a Sky.
func (a *Assembler) close() {
	e := &a.epoch
	if !e.open {
		return
	}
	if e.paused && !e.resumed {
		a.learnPause(false)
	}
	a.send()
	a.judge()
	if e.sent {
		a.settleDate()
		a.carried.keep(e, a.fix.Mode, len(a.sky.used), a.now())
	}
	if e.sent && e.stamped {
		a.cycle.learn(e.stamp, e.known, e.fix())
		a.closed = slices.Insert(a.closed[:min(len(a.closed), remembered-1)], 0, e.stamp)
		a.last, a.lastFix = e.starter(), e.fix()
	} else {
		a.cycle.skip()
	}
	if s := a.sky.assemble(a.now()); s != nil {
		s.Time, s.LeapSecond = a.fix.Time, a.fix.LeapSecond
		s.HDOP, s.VDOP, s.PDOP = e.values[hdop], e.values[vdop], e.values[pdop]
		a.stats.Skies++
		a.h.Sky(s)
	}
	e.open = false
}

// judge learns from what fits: a companion between two epochs that states what the sentences with a time of one of them state,
// and not what those of the other do, is of the former; and so is one that has values or none where the fix was found or lost.
func (a *Assembler) judge() {
	e := &a.epoch
	for i := range a.judged.list {
		c := &a.judged.list[i]
		with1, before := c.values.compare(&a.stated)
		with2, after := c.values.compare(&e.stated)
		if !with1 || !with2 {
			sees := c.fix()
			if sees == unsaid || a.verdict == unsaid || e.verdict() == unsaid {
				continue
			}
			before, after = sees == a.verdict, sees == e.verdict()
		}
		if before && !after {
			a.cycle.vote(c.member, 1)
		} else if after && !before {
			a.cycle.vote(c.member, -1)
		}
	}
	a.judged.clear()
	a.stated, a.verdict = e.stated, e.verdict()
}

// stands reports whether a new epoch begins though the clock does not run: the sentence that began the latest one came again
// with the same time. Without a fix that is enough, if only something came between. With a fix it may be a copy of the
// sentence; a receiver that goes on like this has lost its fix and repeats the last one, which gpsd takes for none too.
func (a *Assembler) stands(r *reading, between, fix bool) bool {
	if !fix && r.verdict == void {
		return between
	}
	a.repeats++
	return a.repeats >= a.allowed
}

// goesOn notes that r is the first sentence with another time. When its like came many times within the second before, the
// receiver sends faster than it states the time, and its clock does not stand.
func (a *Assembler) goesOn(r *reading) {
	if a.repeats >= copies && forward(a.now(), r.tod) <= time.Second+jitter {
		a.allowed = min(max(a.allowed, 2*a.repeats+2), maxCopies)
	}
	a.repeats = 0
}

// late reports whether r belongs to an epoch that is closed. Times that were reported are not reported again, so of a clock
// that steps back by a few epochs as many are lost; when it is followed by late sentences alone, the source plays in a loop.
func (a *Assembler) late(r *reading) bool {
	i := slices.IndexFunc(a.closed, func(stamp time.Duration) bool { return near(stamp, r.tod) })
	if i == 0 && !a.epoch.open && originOf(r) == a.last && a.stands(r, true, a.lastFix) {
		return false
	}
	if i == 0 && !a.epoch.open { // so does what follows
		a.resumed, a.before = true, sequel
		a.gap.clear()
		if a.lastFix && r.verdict == valid && r.date != (date{}) {
			a.calendar.set(r.date)
		}
	}
	if i < 0 || a.lateRun >= maxLate {
		a.lateRun = 0
		return false
	}
	a.lateRun++
	return true
}

// learnPause learns whether the receiver pauses in the middle of its epochs: sentences of an epoch come after the Flush that
// closed it.
func (a *Assembler) learnPause(inside bool) {
	if inside {
		a.pauses = min(a.pauses+1, 2*confirmations)
	} else {
		a.pauses = max(a.pauses-1, 0)
	}
}

// Stats returns the counters.
func (a *Assembler) Stats() AssemblerStats {
	st := a.stats
	st.Rollovers = a.calendar.moved / rollover
	st.Date = a.calendar.problem()
	st.Types = make(map[string]TypeStats, len(a.types))
	for address, n := range a.types {
		st.Types[address] = *n
	}
	return st
}
