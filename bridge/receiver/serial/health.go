package serial

import (
	"fmt"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/protocol"
	"gpsbridge/bridge/receiver/source"
)

// health looks after a serial line that is being read: whether sentences still come, how full it is, what the driver counts
// and how much of it arrives damaged. It belongs to the reader.
type health struct {
	port, name string
	baud       int // 0 where the line has no speed
	// unlimited means that bytes need not come at that speed: a pseudo-terminal keeps what is set and carries as much as comes.
	// Some program may be at its other end that obeys the speed, so it is shown and searched all the same.
	unlimited bool
	fixed     bool // the speed is that of the configuration
	host      source.Host
	count     func() (lineCounts, bool) // what the driver counts, if it does

	recogniser *protocol.Recogniser
	protocol   string // NMEA once a sentence has come
	sentences  sentenceClock

	from     time.Time // start of the window
	bytes    int       // in it
	all, bad uint64    // sentences up to the window
	opened   lineCounts
	counts   lineCounts // of the driver, at the last look
	clean    int        // windows since the warning
	warning  *problem.Problem
	// standing is the warning of a line that is in no other trouble: what does not come and go.
	standing *problem.Problem
}

// lineCounts are a driver's counts of a line (TIOCGICOUNT).
type lineCounts struct {
	framing, overrun, parity, breaks uint64
}

const (
	// healthWindow is over what a line is judged: some epochs, of which not all are alike.
	healthWindow = 5 * time.Second
	// cleanWindows is after how many without trouble a warning goes.
	cleanWindows = 3
	// fullLine is a line without a gap: less is left than clocks may differ by and a receiver needs between its epochs.
	fullLine = 0.95
	// bitsPerByte: a start bit, eight of data, a stop bit.
	bitsPerByte = 10
)

func newHealth(port, name string, baud int, fixed bool, host source.Host) *health {
	return &health{port: port, name: name, baud: baud, fixed: fixed, host: host, recogniser: protocol.New()}
}

// begin is called when reading begins.
func (h *health) begin(now time.Time) {
	h.from, h.warning = now, h.standing
	if h.count != nil {
		counts, ok := h.count()
		if !ok {
			h.count = nil
		}
		h.opened, h.counts = counts, counts
	}
	h.host.Line(func(l *source.Line) { *l = source.Line{} })
	h.publish(nil)
}

// heard looks at what was read. An error is the end of the line as it is: its speed has to be found again.
func (h *health) heard(p []byte, now time.Time) error {
	all := h.recogniser.All()
	h.recogniser.Scan(p)
	h.bytes += len(p)
	if h.recogniser.All() != all && h.protocol != protocol.NMEA {
		h.protocol = protocol.NMEA
		h.publish(nil)
	}
	missing := h.sentences.heard(h.recogniser.All() != all, now)
	if now.Sub(h.from) >= healthWindow {
		h.look(now)
	}
	return h.judgeMissing(missing)
}

// quiet notes the end of a burst.
func (h *health) quiet(now time.Time) error { return h.judgeMissing(h.sentences.quiet(now)) }

// judgeMissing decides what it means that bytes come and no sentence any more.
func (h *health) judgeMissing(missing bool) error {
	if !missing {
		return nil
	}
	if !h.fixed {
		return &problem.Problem{Code: source.SentencesStopped, Cause: h.port + " sends no NMEA sentence any more", Fix: "its speed is searched again"}
	}
	warning := h.recogniser.Problem(h.port, fmt.Sprintf(" at %d baud", h.baud))
	if warning == nil {
		warning = &problem.Problem{Code: source.NoSentenceAt, Cause: fmt.Sprintf("no NMEA sentence comes at %d baud", h.baud), Fix: withoutBaud}
	}
	if h.recogniser.Frames > 0 {
		h.protocol = h.recogniser.Binary
	}
	h.recogniser = protocol.New() // what comes from now on
	h.all, h.bad = 0, 0
	h.warn(warning)
	h.publish(nil)
	return nil
}

// sentenceClock measures for how long bytes have come without a sentence among them. Binary messages between two epochs may
// be of any length, and a receiver may send one epoch in half a minute: it is not bytes that decide, but time.
type sentenceClock struct {
	last     time.Time        // a sentence came
	gaps     [2]time.Duration // between the last ones that were not of one burst
	without  time.Time        // the first bytes after it came; zero for none
	burst    time.Time        // the burst began; zero between two
	sentence bool             // one came in this burst
}

// withoutSentence is how long bytes may come without a sentence: three epochs of a receiver at 1 Hz.
const withoutSentence = 3 * time.Second

// limit is how long this receiver may send no sentence.
func (c *sentenceClock) limit() time.Duration {
	return max(withoutSentence, 2*min(c.gaps[0], c.gaps[1]))
}

// heard notes bytes, and whether they ended a sentence. It reports whether sentences are missing. The beginning of a burst
// decides nothing: its sentence is still to come.
func (c *sentenceClock) heard(sentence bool, now time.Time) (missing bool) {
	if c.burst.IsZero() {
		c.burst, c.sentence = now, false
	}
	if sentence {
		if !c.sentence && !c.last.IsZero() {
			c.gaps = [2]time.Duration{now.Sub(c.last), c.gaps[0]}
		}
		c.last, c.without, c.sentence = now, time.Time{}, true
		return false
	}
	if c.without.IsZero() {
		c.without = now
	}
	return now.Sub(c.burst) >= c.limit() && c.overdue(now)
}

// quiet notes the end of a burst.
func (c *sentenceClock) quiet(now time.Time) (missing bool) {
	c.burst = time.Time{}
	return c.overdue(now)
}

func (c *sentenceClock) overdue(now time.Time) bool {
	if c.without.IsZero() || now.Sub(c.without) < c.limit() {
		return false
	}
	c.without = time.Time{}
	return true
}

// look judges a window and begins the next.
func (h *health) look(now time.Time) {
	var use *float64
	if h.baud > 0 && !h.unlimited {
		share := min(float64(h.bytes)*bitsPerByte/float64(h.baud)/now.Sub(h.from).Seconds(), 1)
		use = &share
	}
	was := h.counts
	if h.count != nil {
		if counts, ok := h.count(); ok {
			h.counts = counts
		}
	}
	all, bad := h.recogniser.All()-h.all, h.recogniser.Damaged()-h.bad
	h.all, h.bad = h.recogniser.All(), h.recogniser.Damaged()
	h.from, h.bytes = now, 0
	h.warn(h.judge(use, was, bad, bad+all))
	h.publish(use)
}

// judge names the worst of what a window shows. Numbers are in the status, so that the text stays the same while the trouble
// does.
func (h *health) judge(use *float64, was lineCounts, bad, all uint64) *problem.Problem {
	switch {
	case all == 0 && h.warning != nil:
		return h.warning // without a sentence nothing shows that it is over
	case h.counts.overrun > was.overrun:
		return &problem.Problem{Code: source.LineOverrun, Cause: "bytes are lost because the machine reads them too slowly",
			Fix: "lower the receiver's baud rate, or use a USB adapter in place of the UART"}
	case use != nil && *use >= fullLine:
		return &problem.Problem{Code: source.LineFull, Cause: "the line is full", Fix: "raise the receiver's baud rate or turn off GSV"}
	case h.counts.framing > was.framing || h.counts.parity > was.parity:
		return &problem.Problem{Code: source.LineDamaged, Cause: "bytes arrive damaged", Fix: "check the cable, its ground and its length"}
	case h.counts.breaks > was.breaks:
		return &problem.Problem{Code: source.LineBreaks, Cause: "the line breaks off", Fix: "check the plug and the cable"}
	case bad > 1 && bad*20 > all: // one of twenty
		return &problem.Problem{Code: source.SentencesDamaged, Cause: "sentences arrive damaged or cut off",
			Fix: "check the cable and its ground, or turn off sentences that do not fit into the line"}
	case h.recogniser.Positions == 0:
		if p := h.recogniser.Problem(h.port, ""); p != nil {
			return p
		}
	}
	return h.standing
}

// warn sets the warning at once, and takes it back when the line has been clean for a while.
func (h *health) warn(warning *problem.Problem) {
	if warning.Same(h.standing) {
		if h.clean++; h.clean < cleanWindows {
			return
		}
	}
	h.warning, h.clean = warning, 0
}

// publish shows what is known. Without a new share of the line, the one before stays.
func (h *health) publish(use *float64) {
	h.host.Line(func(l *source.Line) {
		l.Baud, l.Name, l.Protocol, l.LineErrors = h.baud, h.name, h.protocol, source.LineErrors{}
		if use != nil {
			l.LineUse = use
		}
		if h.count != nil {
			since := func(now, then uint64) *uint64 { n := now - then; return &n }
			l.FramingErrors, l.Overruns = since(h.counts.framing, h.opened.framing), since(h.counts.overrun, h.opened.overrun)
			l.ParityErrors, l.Breaks = since(h.counts.parity, h.opened.parity), since(h.counts.breaks, h.opened.breaks)
		}
	})
	h.host.Warning(h.warning)
}
