package receiver

import (
	"fmt"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/nmea"
)

// health looks after a serial line that is being read: whether it still speaks, how full it is, what the driver counts and
// how much of it arrives damaged. It belongs to the reader. A nil health looks after nothing.
type health struct {
	port, name string
	baud       int // 0 where the line has no speed
	// unlimited says that bytes need not come at that speed: a pseudo-terminal keeps what is set and carries as much as comes.
	// Some program may be behind it that obeys the speed, so it is shown and hunted for all the same.
	unlimited bool
	fixed     bool // the user wants this speed
	status    *tracker
	count     func() (lineCounts, bool) // what the driver counts, if it does

	protocol string // NMEA once it was heard
	speech   *speech
	spoken   uint64 // sentences up to the last look
	mute     struct {
		bytes, bursts int // since the last sentence, line ends not counted
	}

	from    time.Time // start of the window
	bytes   int       // in it
	scanner nmea.ScannerStats
	opened  lineCounts // the driver's counts when the port was opened
	counts  lineCounts // and at the last look
	clean   int        // windows since the warning
	warning *problem.Problem
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
	// muteBursts and muteBytes without a sentence are a line that speaks no more; a receiver that sends something else beside
	// its sentences sends them in between.
	muteBursts = 3
	muteBytes  = 1024
)

func newHealth(port, name string, baud int, fixed bool, status *tracker) *health {
	return &health{port: port, name: name, baud: baud, fixed: fixed, status: status, speech: newSpeech()}
}

// begin is called when reading begins.
func (h *health) begin(now time.Time) {
	if h == nil {
		return
	}
	h.from, h.warning = now, h.standing
	if h.count != nil {
		counts, ok := h.count()
		if !ok {
			h.count = nil
		}
		h.opened, h.counts = counts, counts
	}
	h.publish(nil)
}

// heard takes what was read. An error is the end of the line as it is: its speed has to be found anew.
func (h *health) heard(p []byte, now time.Time) error {
	if h == nil {
		return nil
	}
	h.speech.hear(p)
	h.bytes += len(p)
	if spoken := h.speech.sentences + h.speech.unchecked; spoken != h.spoken {
		h.spoken = spoken
		h.mute.bytes, h.mute.bursts = 0, 0
		if h.protocol != protoNMEA {
			h.protocol = protoNMEA
			h.publish(nil)
		}
	} else {
		for _, c := range p {
			if c != '\r' && c != '\n' {
				h.mute.bytes++
			}
		}
	}
	if now.Sub(h.from) >= healthWindow {
		h.look(now)
	}
	return h.muted(muteBytes)
}

// quiet is told of the end of a burst.
func (h *health) quiet() error {
	if h == nil || h.mute.bytes == 0 {
		return nil
	}
	h.mute.bursts++
	if h.mute.bursts < muteBursts {
		return nil
	}
	return h.muted(0)
}

// muted says what it means that a line has sent more than some bytes and no sentence.
func (h *health) muted(most int) error {
	if h.mute.bytes <= most {
		return nil
	}
	if !h.fixed {
		return &problem.Problem{Code: source.SentencesStopped, Cause: h.port + " sends no NMEA sentence any more", Fix: "its speed is searched again"}
	}
	warning := &problem.Problem{Code: source.NoSentenceAt, Cause: fmt.Sprintf("no NMEA sentence comes at %d baud", h.baud), Fix: withoutBaud}
	if h.speech.frames > 0 {
		h.protocol = h.speech.binary
		warning = binaryOnly(h.port, h.protocol, h.baud)
	}
	h.mute.bytes, h.mute.bursts = 0, 0
	h.warn(warning)
	h.publish(nil)
	return nil
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
	sc := h.speech.scanner.Stats()
	bad, all := sc.BadChecksum-h.scanner.BadChecksum, sc.Sentences-h.scanner.Sentences
	h.scanner = sc
	h.from, h.bytes = now, 0
	h.warn(h.judge(use, was, bad, bad+all))
	h.publish(use)
}

const bitsPerByte = 10 // a start bit, eight of data, a stop bit

// judge names the worst of what a window shows, and its fix. Numbers are in the status, so that the text stays the same while
// the trouble does.
func (h *health) judge(use *float64, was lineCounts, bad, all uint64) *problem.Problem {
	switch {
	case h.mute.bytes > 0 && h.mute.bytes >= h.bytes && all == 0 && h.warning != nil:
		return h.warning // still what muted found
	case h.counts.overrun > was.overrun:
		return &problem.Problem{Code: source.LineOverrun, Cause: "bytes are lost because the machine reads them too slowly",
			Fix: "lower the receiver's baud rate, or use a USB adapter in place of the UART"}
	case use != nil && *use >= fullLine:
		return &problem.Problem{Code: source.LineFull, Cause: "the line is full", Fix: "raise the receiver's baud rate or turn off GSV"}
	case h.counts.framing > was.framing || h.counts.parity > was.parity:
		return &problem.Problem{Code: source.LineErrors, Cause: "bytes arrive damaged", Fix: "check the cable, its ground and its length"}
	case h.counts.breaks > was.breaks:
		return &problem.Problem{Code: source.LineBreaks, Cause: "the line breaks off", Fix: "check the plug and the cable"}
	case bad > 1 && bad*20 > all: // one of twenty
		return &problem.Problem{Code: source.SentencesDamaged, Cause: "sentences arrive damaged or cut off",
			Fix: "check the cable and its ground, or turn off sentences that do not fit into the line"}
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
	h.status.change(func(s *Status) {
		s.Baud, s.Name, s.Protocol, s.LineErrors = h.baud, h.name, h.protocol, LineErrors{}
		if use != nil {
			s.LineUse = use
		}
		if h.count != nil {
			since := func(now, then uint64) *uint64 { n := now - then; return &n }
			s.FramingErrors, s.Overruns = since(h.counts.framing, h.opened.framing), since(h.counts.overrun, h.opened.overrun)
			s.ParityErrors, s.Breaks = since(h.counts.parity, h.opened.parity), since(h.counts.breaks, h.opened.breaks)
		}
	}, h.warning)
}
