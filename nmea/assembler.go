package nmea

import "time"

const (
	// dimAge is how long the dimension that GSA stated holds for epochs without
	// one: GSA may come every few seconds only.
	dimAge = 10 * time.Second
	// estimateAge is the same for error estimates. They often come after
	// everything else, and the fix does not wait for them: the previous epoch's
	// serve.
	estimateAge = 2500 * time.Millisecond
	// climbBase and climbAge are how far apart two altitudes are that give a climb.
	climbBase = time.Second - jitter
	climbAge  = 5 * time.Second
	// remembered is the number of closed epochs whose late sentences are known.
	remembered = 4
	// copies is how often the beginning of an epoch with a fix comes with the same
	// time before the receiver's clock is taken to stand: networks double packets.
	copies = 3
	// maxCopies is the same for a receiver that tells whole seconds alone: twice
	// what one of 25 Hz sends in each.
	maxCopies = 50
	// maxLate is how many late sentences in a row are one epoch's.
	maxLate = 32
)

// Handler takes what an Assembler makes. It is called on the goroutine that
// calls the Assembler, and the pointers are valid until it returns.
type Handler interface {
	Fix(*Fix)
	Sky(*Sky)
}

// Options set up an Assembler. The zero value is fine.
type Options struct {
	// Floor is a time that is certainly past, the build date of the program. A
	// receiver's date before it has suffered a GPS week rollover and is moved by
	// whole 1024 weeks. Zero leaves every date as it is, which is right for old
	// recordings.
	Floor time.Time
	// System is the system's time when that is known to be right, else zero. A
	// receiver's date is moved to within 512 weeks of it.
	System time.Time
}

// Assembler merges sentences into exactly one Fix an epoch, and satellites into
// one Sky an epoch that completes a group of GSV.
//
// An epoch is the sentences that carry the same UTC time of day, and the untimed
// ones that follow them. Its Fix leaves with the last sentence that adds to it in
// this receiver's learned cycle; when that one is missing, with the first
// sentence of the next epoch, or with Flush. What arrives later is used to learn
// the cycle, never for a second Fix.
type Assembler struct {
	h      Handler
	parser *parser

	epoch    epoch
	cycle    cycle
	calendar calendar
	sky      sky
	heads    bool // untimed sentences begin the next epoch: the line was quiet
	quiet    bool // nothing came since Flush
	pauses   int  // how often Flush came inside an epoch of late
	flushed  bool // the latest epoch was closed by Flush
	resumed  bool // and a sentence of it came afterwards

	closed  [remembered]time.Duration // stamps, latest first
	nclosed int
	last    origin // starter of the latest closed epoch
	lastFix bool   // and whether it had a fix
	repeats int    // of that sentence with the same time
	allowed int    // of those, before the clock is taken to stand
	lateRun int    // late sentences in a row

	listed   int  // satellites in the GSA of the latest epoch that had them
	dim      Mode // latest of GSA
	dimAt    time.Duration
	eph, epv Value // latest estimates
	errorsAt time.Duration
	heights  [2]height // of 3D fixes a second apart, latest first

	fix   Fix // the one handed out
	stats AssemblerStats
	types byAddress[typeCount]
}

// height is an altitude and the time of day of its epoch.
type height struct {
	alt Value
	at  time.Duration
}

// NewAssembler returns an Assembler that calls h.
func NewAssembler(h Handler, o Options) *Assembler {
	return &Assembler{h: h, parser: newParser(), calendar: newCalendar(o), allowed: copies}
}

// Push takes one sentence as the Scanner yields it; the checksum is not looked
// at again. The sentence is not retained.
func (a *Assembler) Push(sentence []byte) {
	r, err := a.parser.parse(sentence)
	a.quiet = false
	a.stats.Sentences++
	a.types.of(address(sentence)).count(r.flaws, err == nil)
	if r.flaws != 0 {
		a.stats.Refused++
	}
	if r.flaws&flawPanic != 0 {
		a.stats.Panics++
	}
	switch {
	case r.kind == kindOther:
	case r.kind == kindTXT:
		a.stats.note(r.text)
	case r.kind == kindGSV:
		a.sky.view(r)
	case r.timed && (r.kind.position() || r.kind == kindZDA):
		a.timed(r)
	case r.kind.position():
		a.untimedPosition(r)
	default:
		a.companion(r)
	}
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
	switch {
	case e.open && e.stamped && e.matches(r):
		if originOf(r) == e.starter && a.stands(r, e.sentences > 1, e.fix()) {
			a.next(r)
		}
	case e.open && e.stamped && r.kind == kindZDA && backward(e.stamp, r.tod):
		return // truncated to a whole second
	case a.late(r):
		a.stats.Late++
		return
	case e.open && !e.stamped && e.has(originOf(r)) < 0 && !(e.voids > 0 && r.verdict == valid):
		e.stamped, e.stamp, e.decimals = true, r.tod, r.timeDecimals
	default:
		if a.nclosed == 0 || !near(a.closed[0], r.tod) {
			a.goesOn(r)
		}
		a.next(r)
	}
	a.merge(r)
}

// untimedPosition takes a position, or the lack of one, that came without a
// time. It belongs to the open epoch unless its like was already there.
func (a *Assembler) untimedPosition(r *reading) {
	if !a.epoch.open || a.epoch.has(originOf(r)) >= 0 {
		a.next(r)
	}
	a.merge(r)
}

// companion takes a sentence that never begins an epoch of its own.
func (a *Assembler) companion(r *reading) {
	if !a.epoch.open {
		if !a.heads || r.timed {
			a.orphan(r)
			a.early(r)
			return
		}
		a.open()
	}
	if r.timed && !(a.epoch.stamped && a.epoch.matches(r)) {
		a.early(r)
		return
	}
	a.merge(r)
}

// early takes error estimates that come before the epoch of their time.
func (a *Assembler) early(r *reading) {
	if r.values[eph].Set || r.values[epv].Set {
		a.eph, a.epv, a.errorsAt = r.values[eph], r.values[epv], r.tod
	}
}

// orphan takes the end of an epoch that nobody saw. The dimension that GSA states
// holds for the first one that is seen.
func (a *Assembler) orphan(r *reading) {
	if r.dim != ModeUnknown {
		a.dim, a.dimAt = r.dim, -1
	}
}

// next closes the open epoch and opens that of r.
func (a *Assembler) next(r *reading) {
	a.close()
	a.open()
	if r.timed {
		a.epoch.stamped, a.epoch.stamp, a.epoch.decimals = true, r.tod, r.timeDecimals
	}
}

// open begins an epoch.
func (a *Assembler) open() {
	if a.flushed {
		a.pause(a.resumed)
	}
	a.flushed, a.resumed = false, false
	a.epoch = epoch{open: true, frozen: a.repeats >= a.allowed}
	a.heads = false
}

// merge adds r to the open epoch, and lets the fix go when it is complete.
func (a *Assembler) merge(r *reading) {
	e := &a.epoch
	added := e.merge(r)
	e.sentences++
	e.resumed = e.paused
	if r.kind.position() {
		e.note(r)
	}
	if r.kind == kindGSA {
		a.sky.use(r)
	}
	if r.date != (date{}) && (r.kind == kindZDA && e.date == (date{}) || r.kind == kindRMC && r.verdict != void) {
		e.date = r.date
		added = added || !a.calendar.known
	}
	if r.kind == kindGST || r.kind == kindGBS || r.kind == kindRME {
		return // nothing waits for them
	}
	a.cycle.note(r.kind, e.count(r.kind), added)
	if !e.sent && e.stamped && a.cycle.complete(e.stamp) {
		a.send()
	}
}

// Flush closes the open epoch: the line is quiet, or the input has ended. From a
// receiver that is known to pause in the middle of its epochs it takes two calls
// with nothing between.
func (a *Assembler) Flush() {
	if a.pauses >= confirmations && a.epoch.open && !a.quiet {
		a.quiet, a.epoch.paused = true, true
		return
	}
	a.flushed = a.flushed || a.epoch.open
	a.close()
	a.quiet, a.heads = true, true
}

// Reset closes the open epoch and forgets the learned cycle, because what
// follows does not continue what came before. The date is kept.
func (a *Assembler) Reset() {
	a.close()
	a.cycle.forget()
	a.sky = sky{}
	a.heads, a.nclosed, a.repeats, a.allowed, a.lateRun, a.pauses = false, 0, 0, copies, 0, 0
	a.dim, a.eph, a.epv, a.heights = ModeUnknown, Value{}, Value{}, [2]height{}
}

// close ends the open epoch: its fix leaves unless it has, and so does a Sky.
func (a *Assembler) close() {
	e := &a.epoch
	if !e.open {
		return
	}
	if e.paused && !e.resumed {
		a.pause(false)
	}
	a.send()
	if e.sent {
		a.settle()
		if e.stamped {
			a.cycle.learn(e.stamp, e.fix())
			copy(a.closed[1:], a.closed[:])
			a.closed[0] = e.stamp
			a.nclosed = min(a.nclosed+1, remembered)
			a.last, a.lastFix = e.starter, e.fix()
		}
	}
	if s := a.sky.assemble(a.now()); s != nil {
		s.Time, s.LeapSecond = a.fix.Time, a.fix.LeapSecond
		s.HDOP, s.VDOP, s.PDOP = e.values[hdop], e.values[vdop], e.values[pdop]
		a.stats.Skies++
		a.h.Sky(s)
	}
	e.open = false
}

// Stats returns the counters.
func (a *Assembler) Stats() AssemblerStats {
	st := a.stats
	st.Rollovers = a.calendar.moved / 1024
	st.Types = make(map[string]TypeStats, len(a.types))
	for address, n := range a.types {
		st.Types[address] = n.snapshot()
	}
	return st
}
