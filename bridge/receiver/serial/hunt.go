package serial

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/protocol"
	"gpsbridge/bridge/receiver/source"
)

// speedLine is an open port whose speed can be changed.
type speedLine interface {
	source.Conn
	// setSpeed changes the speed and forgets what came at another one.
	setSpeed(baud int) error
}

// hunt listens on an open port until it has heard NMEA, changing the speed as what it hears suggests. It writes nothing.
type hunt struct {
	line speedLine
	port string
	host source.Host
	// nothing is the problem of a port on which nothing comes.
	nothing *problem.Problem
	speeds  *search
	fixed   bool          // there is one speed, which the configuration gives
	silent  time.Duration // for how long nothing may come
	passes  int           // how often all speeds may be tried; 0: without end
	// position asks for sentences of a GPS receiver, and not of another instrument; fix asks for one with a position.
	position, fix bool
	// unreported keeps what is wrong so far from being shown: this is one port of several.
	unreported bool
	// leave is asked about every second of a silence whether to look elsewhere; nil for never.
	leave func() bool

	last    time.Time // of a byte, or the start
	silence bool      // was reported
}

// found is a line that sends NMEA.
type found struct {
	heard []byte // since the speed was set, without what was garbled in front
	baud  int
}

const (
	// settle is for how long after a change of speed bytes may come that were received at the one before: an adapter's
	// latency timer, 16 ms in FTDI chips.
	settle = 20 * time.Millisecond
	// burstGap ends a burst that is garbled: longer than an adapter or a loaded machine holds bytes back, and short, so
	// that the next speed is set before the next burst.
	burstGap = 80 * time.Millisecond
	// sentenceWait is how long a line on which a binary message or text came may take to send a sentence too, or one with
	// another sentence to send one of a GPS receiver: receivers that mix send both in each epoch.
	sentenceWait = 1200 * time.Millisecond
	// fixWait is how long a port on which a fix is wanted may take to send one: some epochs of a receiver at 1 Hz.
	fixWait = 3 * time.Second
	// sentenceMost is that of a line that does not pause: the longest epoch of binary messages at 9600 baud.
	sentenceMost = 10 * time.Second
	// textWait is how long a line may send text in which no sentence is.
	textWait = 3 * time.Second
	// burstMost is how long a burst may last before a line whose bits look right counts as one that does not pause.
	burstMost = time.Second
	// messageGap is how long a binary message may be interrupted: a loaded machine, or a receiver's own pause.
	messageGap = 300 * time.Millisecond
	// leaveEvery is how often leave is asked.
	leaveEvery = time.Second
	// aliveWithin is what is promised to Host.Alive at each read.
	aliveWithin = leaveEvery + 5*time.Second
	// silentNotice is after which silence a port is shown to be silent.
	silentNotice = 1900 * time.Millisecond
	// hearMost bounds what is kept of a line at one speed.
	hearMost = 1 << 16
)

// run returns what was found, or a problem, or source.ErrElsewhere.
func (h *hunt) run() (found, error) {
	h.last = time.Now()
	for {
		baud := h.speeds.next()
		if h.passes > 0 && h.speeds.passes >= h.passes {
			return found{}, h.garbled()
		}
		switch {
		case h.speeds.passes > 0:
			h.report(h.garbled(), baud)
		case len(h.speeds.tried) > 1:
			h.report(nil, baud)
		}
		if err := h.line.setSpeed(baud); err != nil {
			if h.fixed || h.speeds.passes > 0 {
				return found{}, explain(h.port, err)
			}
			continue // an adapter need not have them all
		}
		l := &listening{hunt: h, baud: baud, recogniser: protocol.New(), began: time.Now()}
		wrong, err := l.run()
		switch {
		case err != nil:
			return found{}, err
		case wrong != nil:
			if !l.fix {
				l.host.Line(func(line *source.Line) { line.Protocol, line.Baud = l.recogniser.Binary, baud })
			}
			return found{}, wrong
		case l.recogniser.IsNMEA():
			return found{l.clear(), baud}, nil
		}
		h.speeds.learn(baud, &l.evidence)
	}
}

// report shows what is wrong so far, nil for nothing, and the speed that is tried.
func (h *hunt) report(wrong *problem.Problem, baud int) {
	if h.unreported {
		return
	}
	h.host.Line(func(l *source.Line) { l.Baud = baud })
	h.host.Problem(wrong)
}

// withoutBaud is the fix where the speed of the configuration is wrong.
const withoutBaud = "leave ?baud= out and the speed is found"

// garbled is what is wrong with a line that sends something, and a sentence at none of the speeds.
func (h *hunt) garbled() *problem.Problem {
	if h.fixed {
		return &problem.Problem{Code: source.NoSentenceAt, Cause: fmt.Sprintf("%s sends no NMEA sentence at %d baud", h.port, h.speeds.order[0]), Fix: withoutBaud}
	}
	return &problem.Problem{Code: source.NoSentence, Cause: h.port + " sends no NMEA sentence at any speed from 4800 to 921600 baud",
		Fix: "check that it is a GPS receiver, its cable and its ground"}
}

// listening is one attempt, at one speed.
type listening struct {
	*hunt
	evidence
	baud       int
	recogniser *protocol.Recogniser
	heard      []byte
	began      time.Time
	whole      bool      // the burst began while we listened
	first      time.Time // the first byte of the burst came
	understood time.Time // the first binary message, or the first sentence of another instrument, was complete
}

// run returns when the line has sent a sentence, or a problem once what it sends is known to hold none, or neither when it is
// not to be understood at this speed. Errors are the end of the hunt.
func (l *listening) run() (*problem.Problem, error) {
	buf := make([]byte, 1024)
	for {
		l.host.Alive(aliveWithin)
		wait := burstGap // all that is waited for is longer
		if l.silence {
			wait = min(leaveEvery, max(wait, l.silent-time.Since(l.last)))
		}
		err := l.line.SetReadDeadline(time.Now().Add(wait))
		n := 0
		if err == nil {
			n, err = l.line.Read(buf)
		}
		now := time.Now()
		quiet := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case n > 0:
			l.add(buf[:n], now)
		case quiet:
			err = l.pause(now)
		case err == nil:
			err = source.ErrNothing
		}
		if err != nil && !(quiet && n > 0) {
			return nil, err
		}
		if wrong, done := l.judge(now); done {
			return wrong, nil
		}
	}
}

// add looks at what came.
func (l *listening) add(p []byte, now time.Time) {
	if l.silence {
		l.silence = false
		l.report(nil, l.baud)
	}
	l.recogniser.Scan(p)
	l.heard = append(l.heard, p...)
	l.hunt.last = now
	if now.Sub(l.began) < settle {
		return // may have come at another speed
	}
	if l.evidence.bytes == 0 {
		l.whole = now.Sub(l.began) > burstGap
		l.first = now
	}
	l.ended = false
	l.evidence.add(p)
	if l.understood.IsZero() && (l.recogniser.Frames > 0 || l.recogniser.IsNMEA()) {
		l.understood = now
	}
}

// pause notes that nothing came until the deadline.
func (l *listening) pause(now time.Time) error {
	idle := now.Sub(l.last)
	if l.evidence.bytes > 0 && idle >= burstGap {
		l.ended = true
	}
	if !l.silence && idle >= silentNotice {
		l.silence = true
		l.report(l.nothing, l.baud)
	}
	if idle >= l.silent {
		return l.nothing
	}
	if l.silence && l.leave != nil && l.leave() {
		return source.ErrElsewhere
	}
	return nil
}

// judge reports whether there is nothing more to learn at this speed, and the problem where that is one of what is sent.
func (l *listening) judge(now time.Time) (wrong *problem.Problem, done bool) {
	switch {
	case l.recogniser.IsNMEA() && (!l.position || l.recogniser.Positions > 0) && (!l.fix || l.recogniser.Fixed):
		return nil, true
	case l.recogniser.Positions > 0 && l.fix:
		return &problem.Problem{Code: source.NoFix, Cause: l.port + " has no fix"}, now.Sub(l.understood) >= fixWait
	case !l.understood.IsZero():
		if waited := now.Sub(l.understood); waited < sentenceWait || !l.ended && waited < sentenceMost {
			return nil, false
		}
		return l.recogniser.Problem(l.port, l.at()), true
	case l.text():
		if now.Sub(l.first) <= textWait && len(l.heard) <= hearMost {
			return nil, false
		}
		return l.recogniser.Problem(l.port, l.at()), l.recogniser.IsText() || now.Sub(l.first) > textWait
	case l.ended && !l.whole && l.shortest() == 1:
		// The end of a burst: how long it was is not known, and of a byte or a message it may be the end too. Listen to a
		// whole one.
		l.evidence = evidence{}
		return nil, false
	case !l.ended && l.shortest() == 1 && now.Sub(l.first) < burstMost, l.interrupted(now) && now.Sub(l.first) < sentenceMost:
		return nil, false
	}
	if !l.decided() {
		return nil, false
	}
	return l.recogniser.Problem(l.port, l.at()), true
}

// interrupted reports whether a binary message has begun that may still go on.
func (l *listening) interrupted(now time.Time) bool {
	return l.recogniser.MidMessage() && now.Sub(l.last) < messageGap
}

func (l *listening) at() string { return fmt.Sprintf(" at %d baud", l.baud) }

// clear is what was heard from where it is text: a listener that begins in between the bits of a byte misreads what follows
// until the line pauses, and the first bytes may be of another speed. No sentence is lost by it.
func (l *listening) clear() []byte {
	first := max(bytes.Index(l.heard, l.recogniser.First), 0)
	garbled := bytes.LastIndexFunc(l.heard[:first], func(r rune) bool {
		return r != '\r' && r != '\n' && (r < ' ' || r > '~')
	})
	if garbled < 0 {
		return l.heard
	}
	_, size := utf8.DecodeRune(l.heard[garbled:])
	return l.heard[garbled+size:]
}
