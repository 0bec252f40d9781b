package uplink

import "time"

// The loss of a whole window shows itself by nothing that comes later: the
// window is full, and so nothing is sent that could be echoed. The same holds
// for the last record of all. Waiting for the deadline of deafness would cost
// ten seconds each time, and a fleet that overruns its server loses whole
// windows all the time.
//
// So a silence that is long for this connection has one record more sent than
// the window allows: the next one, or where there is none the last one once
// more. The server's order holds: when that is echoed, all before it without an
// echo are lost, and are sent again for that. (To repeat the oldest would prove
// nothing: its echo may be that of the first sending, come late, with all
// others right behind it.) To a server that is slow it adds one frame, not a
// window, and mostly not a repeat either.
const (
	// stallFloor is more than the second between two fixes of most receivers:
	// where the window has room, the next fix shows the loss for nothing.
	stallFloor = 2 * time.Second
	// drainFloor is the same where no later record is coming: during a drain,
	// which is bounded by some seconds, and where one record goes at a time.
	drainFloor = time.Second
	// stallRounds is how many times the expected upper limit of a round trip a
	// silence is long; deafRounds, after which the connection is given up, is
	// more than twice that.
	stallRounds = 3
)

// stall is what was done about the silence of a connection.
type stall struct {
	at    time.Time // of the last record called for; zero: none yet
	count int       // of them since anything was acknowledged
	due   bool      // the writer has not sent it yet
}

// stalled is when the connection will have been silent for too long. The pause
// doubles with each record called for that stays without an answer, so that
// there are two before a deafness and one in a drain. Not ok: nothing is on its
// way, or nothing that can have an echo. Caller holds mu.
func (s *session) stalled() (at time.Time, ok bool) {
	u := s.u
	tail, ok := u.win.tail()
	if !ok || u.mode != AckEcho || !tail.keyed {
		return at, false
	}
	floor := stallFloor
	if u.drains > 0 || u.win.single {
		floor = drainFloor
	}
	if u.win.progress.After(s.stall.at) {
		s.stall = stall{}
	}
	at = latest(u.win.progress, latest(tail.at, s.stall.at))
	return at.Add(max(floor, stallRounds*u.win.timeout()) << s.stall.count), true
}

// prod calls for one more record, and for a ping: its answer tells a server that
// is deaf from a link that is dead. Caller holds mu.
func (s *session) prod(now time.Time) {
	s.hurry = true
	s.stall = stall{at: now, count: s.stall.count + 1, due: true}
	s.interrupt()
	signal(s.room)
}

// prodding reports whether one more record is called for, and the silence
// lasts. Caller holds mu.
func (s *session) prodding() bool {
	return s.stall.due && !s.u.win.progress.After(s.stall.at)
}

// tailAgain returns the record that was sent last, to be sent once more. Caller
// holds mu.
func (s *session) tailAgain() (f flight, ok bool) {
	s.stall.due = false
	f, ok = s.u.win.tail()
	f.repeat = true
	return f, ok
}

// prodded takes note that a record was found to be sent.
func (s *session) prodded() {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.stall.due = false
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
