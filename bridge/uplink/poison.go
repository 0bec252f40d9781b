package uplink

import (
	"context"

	"gpsbridge/bridge/problem"
)

// One bad record must not stop the rest: a server that breaks the connection on
// it, and would again each time, never gets to what is behind it. But a broken
// connection says little. It costs every record that was on its way, so that
// all of them look alike; and a server whose channel layer is down breaks it on
// any record. A record is therefore convicted only by an experiment in which
// nothing but the record differs:
//
//  1. Suspicion. Connections that break in a row with the same oldest record
//     outstanding: from then on one record goes at a time, so that the next
//     break names one.
//  2. Trial. The one that was alone when the connection broke is sent alone on
//     fresh connections, as the first record of one, and behind another record
//     of the next, in turns. As the first it fails on no server that merely
//     breaks connections after a record or two; the other one must have been
//     taken on the same connection a moment before, so it fails on no server
//     that takes nothing. If the other one fails, it is the suspect itself,
//     with nothing proved: a server that breaks on everything convicts nobody.
//  3. Verdict. After enough failures of both kinds, none of which may be
//     followed by its acknowledgement, the record is set aside.
//
// A server that breaks the connection on half of what it gets, at random, does
// all that by chance to one suspect in five hundred (half to the power of six
// failures and three others that pass), and a record set aside is not thrown
// away. Links that die prove nothing, so they do not count at all.
const (
	// suspicious is the number of breaks in a row that raise suspicion.
	suspicious = 3
	// proofs is how many failures of each kind convict, where the server said
	// with a close frame that it was its doing, or went deaf on an open connection.
	proofs = 3
	// muteProofs is the same where the connection just ended, or was closed as if
	// all were well. Uvicorn ends it so when an application fails, but a killed
	// server and a box between do too.
	muteProofs = 5
)

// probe is the search for a record that the server breaks on. It has no lock.
type probe struct {
	low    uint64 // oldest record outstanding at the last break
	breaks int    // in a row with the same
	left   int    // acknowledgements to go, one record at a time

	suspect uint64 // 0: none
	first   int    // its failures as the first record of a connection
	behind  int    // its failures behind another that passed
	mute    bool   // one of them came without a close frame that says so
}

// careful reports whether one record is to be sent at a time.
func (p *probe) careful() bool { return p.left > 0 || p.suspect != 0 }

// suspected takes note of a connection that broke with several records
// outstanding, and reports whether that raises suspicion.
func (p *probe) suspected(out []flight) bool {
	low := out[0].pos
	for _, f := range out {
		low = min(low, f.pos)
	}
	if low != p.low {
		p.low, p.breaks = low, 0
	}
	p.breaks++
	if p.breaks < suspicious {
		return false
	}
	p.left = 2 * len(out) // half of the turns are for live records
	return true
}

// failed takes note of a connection that broke with one record outstanding that
// went alone, behind another that passed or not. It reports whether that
// convicts it.
func (p *probe) failed(pos uint64, behind, mute bool) bool {
	switch {
	case pos != p.suspect:
		p.suspect, p.first, p.behind, p.mute = pos, 0, 0, mute
		return false
	case behind:
		p.behind++
	default:
		p.first++
	}
	p.mute = p.mute || mute
	enough := proofs
	if p.mute {
		enough = muteProofs
	}
	return min(p.first, p.behind) >= enough
}

// passed takes note of an acknowledgement.
func (p *probe) passed(pos uint64) {
	if pos == p.suspect {
		p.suspect = 0
	}
	p.left = max(p.left-1, 0)
	if !p.careful() {
		p.low, p.breaks = 0, 0
	}
}

// trial sends the suspect alone, if there is one.
func (s *session) trial(ctx context.Context) error {
	suspect, control := s.u.suspect()
	if suspect == 0 {
		return nil
	}
	if control {
		f, ok, err := s.other(ctx, suspect)
		if err != nil {
			return err
		}
		if ok {
			if err := s.alone(ctx, f); err != nil {
				return err
			}
			s.u.mu.Lock()
			s.vouched = true
			s.u.mu.Unlock()
		}
	}
	f, ok, err := s.look(ctx, suspect-1)
	switch {
	case err != nil:
		return err
	case !ok || f.pos != suspect: // dropped by a full queue, perhaps
		s.u.acquit()
		return nil
	}
	return s.alone(ctx, f)
}

// suspect is the record on trial, and whether it is the turn of the kind of
// trial in which another record goes ahead.
func (u *Uplink) suspect() (pos uint64, control bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.probe.suspect, u.probe.first > u.probe.behind
}

// acquit drops the suspicion against a record that is not in the queue any more.
func (u *Uplink) acquit() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.probe.suspect = 0
	u.win.single = u.probe.careful()
}

// other finds a record to go ahead of the suspect: the newest, or else any.
// Not ok: there is none.
func (s *session) other(ctx context.Context, suspect uint64) (f flight, ok bool, err error) {
	last := s.u.queue.Last()
	places := []uint64{s.u.queue.Acked(), suspect}
	if _, top := s.u.reach(); last != suspect && last != top {
		places = append([]uint64{last - 1}, places...)
	}
	for _, after := range places {
		if f, ok, err = s.look(ctx, after); err != nil || (ok && f.pos != suspect) {
			return f, ok, err
		}
	}
	return f, false, nil
}

// alone sends a record and waits until it is acknowledged.
func (s *session) alone(ctx context.Context, f flight) error {
	for due := true; ; {
		if due {
			if err := s.send(f); err != nil {
				return err
			}
		}
		if s.u.outstanding() == 0 {
			return nil
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.u.mu.Lock()
		if due = s.prodding(); due {
			f, due = s.tailAgain()
		}
		s.u.mu.Unlock()
	}
}

// judge looks what the end of a connection says about the records outstanding.
func (u *Uplink) judge(s *session, err error) {
	blame := blameOf(problem.CodeOf(err))
	if u.c.Quarantine == nil || blame == blameNone {
		return
	}
	u.mu.Lock()
	single, out := u.win.single, u.win.all()
	if single {
		out = u.win.flights // what waits to be sent again was not there when it broke
	}
	raised, convicted := false, false
	switch {
	case len(out) == 0:
	case single:
		convicted = u.probe.failed(out[0].pos, s.vouched, blame == blamePossible)
	default:
		raised = u.probe.suspected(out)
	}
	u.mu.Unlock()
	if raised {
		u.log.Warn("server breaks the connection on the same records again and again, sending one at a time to find out which", "reason", reason(err), "records", len(out))
	}
	if convicted && u.quarantine(out[0], "server breaks the connection on it, and takes others: "+reason(err)) {
		u.acquit()
	}
}

// quarantine gives a record away that the server does not take, and reports
// whether that worked. While it does not, the record stays and is tried again.
func (u *Uplink) quarantine(f flight, why string) bool {
	err := u.c.Quarantine(f.data, why)
	if err == nil {
		u.queue.Ack(f.pos)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		if !u.stuck {
			u.log.Error("record cannot be quarantined, it is kept and tried again", "pos", f.pos, "err", err)
		}
		u.stuck = true
		return false
	}
	u.log.Warn("record quarantined", "pos", f.pos, "bytes", len(f.data), "reason", why)
	u.stuck = false
	u.win.forget(f.pos)
	u.status.Quarantined++
	u.notify()
	return true
}
