package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// speedLine is an open port whose speed can be changed.
type speedLine interface {
	conn
	// setSpeed changes the speed and forgets what came at another one.
	setSpeed(baud int) error
}

// hunt listens on an open port until it has heard NMEA, changing the speed as what it hears suggests. It writes nothing.
type hunt struct {
	line   speedLine
	port   string
	speeds *search
	fixed  bool          // there is one speed, which the user wants
	silent time.Duration // for how long nothing may come; 0: as long as it likes
	passes int           // how often all speeds may be tried; 0: for ever
	// tell gets what is wrong so far, nil when bytes come again, and the speed that is tried.
	tell func(wrong *problem.Problem, baud int)
	// turn is told that the hunt goes on; nil for nobody.
	turn func(within time.Duration)
	// leave is asked about every second whether to look elsewhere.
	leave func() bool

	last    time.Time // of a byte, or the start
	silence bool      // was told
}

// found is a line that speaks.
type found struct {
	heard []byte // since the speed was set, without what was garbled in front
	baud  int
}

// binaryError is the problem of a port that sends a binary protocol.
type binaryError struct {
	*problem.Problem
	protocol string
	baud     int
}

func (e *binaryError) Unwrap() error { return e.Problem }

// errElsewhere: hunt.leave said so.
var errElsewhere = errors.New("another port may have the receiver")

const (
	// settle is for how long after a change of speed bytes may come that were received at the one before: an adapter's
	// latency timer, 16 ms in FTDI chips.
	settle = 20 * time.Millisecond
	// burstGap ends a burst that is garbled: longer than an adapter or a loaded machine holds bytes back, and short, so
	// that the next speed is set before the next burst.
	burstGap = 80 * time.Millisecond
	// binaryWait is how long a line that speaks a binary protocol may take to say a sentence too: receivers that mix send
	// both in each epoch.
	binaryWait = 1200 * time.Millisecond
	// textWait is how long a line may send text in which no sentence is.
	textWait = 3 * time.Second
	// leaveEvery is how often leave is asked.
	leaveEvery = time.Second
	// hearMost bounds what is kept of a line at one speed.
	hearMost = 1 << 16
)

// run returns what was found, or why nothing was.
func (h *hunt) run() (found, error) {
	h.last = time.Now()
	for {
		baud := h.speeds.next()
		if h.passes > 0 && h.speeds.passes >= h.passes {
			return found{}, h.garbled()
		}
		switch {
		case h.speeds.passes > 0:
			h.say(h.garbled(), baud)
		case len(h.speeds.tried) > 1:
			h.say(nil, baud)
		}
		if err := h.line.setSpeed(baud); err != nil {
			if h.fixed || h.speeds.passes > 0 {
				return found{}, explain(h.port, err)
			}
			continue // an adapter need not have them all
		}
		e := &ear{hunt: h, baud: baud, speech: newSpeech(), began: time.Now()}
		if err := e.listen(); err != nil {
			return found{}, err
		}
		if e.speech.nmea() {
			return found{e.clear(), baud}, nil
		}
		if e.text() && h.passes > 0 {
			return found{}, &problem.Problem{Code: source.NotNMEA, Cause: fmt.Sprintf("%s sends text and no NMEA sentence, at %d baud", h.port, baud),
				Fix: "it is not a GPS receiver, or set to something else"}
		}
		h.speeds.learn(baud, &e.evidence)
	}
}

func (h *hunt) say(wrong *problem.Problem, baud int) {
	if h.tell != nil {
		h.tell(wrong, baud)
	}
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

// checkPower is the fix for a receiver that sends nothing.
const checkPower = "check the receiver's power and cable"

func silentPort(port string) *problem.Problem {
	return &problem.Problem{Code: source.Silent, Cause: port + " sends nothing", Fix: checkPower}
}

// ear listens at one speed.
type ear struct {
	*hunt
	evidence
	baud   int
	speech *speech
	heard  []byte
	began  time.Time
	whole  bool      // the burst began while we listened
	text0  time.Time // when the first byte came
	binary time.Time // when the first binary message was complete
}

// listen returns when the line has spoken, or what it says is not to be understood at this speed. Errors are the end of the
// hunt.
func (e *ear) listen() error {
	buf := make([]byte, 1024)
	for {
		if e.turn != nil {
			e.turn(leaveEvery + turnSlack)
		}
		err := e.line.SetReadDeadline(e.deadline())
		n := 0
		if err == nil {
			n, err = e.line.Read(buf)
		}
		now := time.Now()
		quiet := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case n > 0:
			e.take(buf[:n], now)
		case quiet:
			err = e.pause(now)
		case err == nil:
			err = errNothing
		}
		if err != nil && !(quiet && n > 0) {
			return err
		}
		if done, err := e.done(now); done || err != nil {
			return err
		}
	}
}

// deadline is when to look at what came so far: the end of a burst, of a wait, of patience.
func (e *ear) deadline() time.Time {
	next := e.last.Add(leaveEvery)
	switch now := time.Now(); {
	case !e.binary.IsZero():
		next = e.binary.Add(binaryWait)
	case e.bytes > 0 && !e.ended:
		next = e.last.Add(burstGap)
	case next.Before(now):
		next = now.Add(leaveEvery)
	}
	if !e.silence {
		return earliest(next, e.last.Add(silentNotice))
	}
	return next
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (e *ear) take(p []byte, now time.Time) {
	if e.silence {
		e.silence = false
		e.say(nil, e.baud)
	}
	e.speech.hear(p)
	e.heard = append(e.heard, p...)
	e.hunt.last = now
	if now.Sub(e.began) < settle {
		return // may have come at another speed
	}
	if e.bytes == 0 {
		e.whole = now.Sub(e.began) > burstGap
		e.text0 = now
	}
	e.ended = false
	e.add(p)
	if e.speech.frames > 0 && e.binary.IsZero() {
		e.binary = now
	}
}

// pause notes that nothing came until the deadline.
func (e *ear) pause(now time.Time) error {
	idle := now.Sub(e.last)
	if e.bytes > 0 && idle >= burstGap {
		e.ended = true
	}
	if !e.silence && idle >= silentNotice {
		e.silence = true
		e.say(silentPort(e.port), e.baud)
	}
	if e.hunt.silent > 0 && idle >= e.hunt.silent {
		return silentPort(e.port)
	}
	if e.leave != nil && e.leave() {
		return errElsewhere
	}
	return nil
}

// done says whether there is nothing more to learn at this speed.
func (e *ear) done(now time.Time) (bool, error) {
	switch {
	case e.speech.nmea():
		return true, nil
	case !e.binary.IsZero():
		if now.Sub(e.binary) < binaryWait {
			return false, nil
		}
		name := e.speech.binary
		return true, &binaryError{binaryOnly(e.port, name, e.baud), name, e.baud}
	case e.text():
		return now.Sub(e.text0) > textWait || len(e.heard) > hearMost, nil
	case e.ended && !e.whole && e.bytes < enoughSlow && e.shortest() == 1:
		// The end of a burst: how long it was is not known, and of a byte it may be the end too. Listen to a whole one.
		e.evidence = evidence{}
		return false, nil
	case e.speech.midMessage() && !e.ended && e.bytes < frameMost:
		return false, nil
	}
	return e.decided(), nil
}

// clear is what was heard from where it is text: who comes in between the bits of a byte misreads what follows until the line
// pauses, and the first bytes may be of another speed. No sentence is lost by it.
func (e *ear) clear() []byte {
	first := max(bytes.Index(e.heard, e.speech.first), 0)
	garbled := bytes.LastIndexFunc(e.heard[:first], func(r rune) bool {
		return r != '\r' && r != '\n' && (r < ' ' || r > '~')
	})
	if garbled < 0 {
		return e.heard
	}
	_, size := utf8.DecodeRune(e.heard[garbled:])
	return e.heard[garbled+size:]
}
