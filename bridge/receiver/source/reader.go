package source

import (
	"errors"
	"os"
	"time"
)

// Reader reads until a deadline that every byte puts off. It sets the conn's deadline only where that would come too late or
// has passed, because to set one moves a timer and wakes a thread, a seventh of what a sentence costs: a deadline of some
// bytes ago comes too early and is set again then.
type Reader struct {
	Conn  Conn
	set   bool      // a deadline is set, and has not passed
	armed time.Time // that deadline; zero is never
}

// A read ends by its deadline within wokenLate where the process got the CPU. Where it did not, the deadline has passed before anyone
// looked at what came meanwhile, and the kernel may not have handed that on either: it is waited for as long again, up to
// graceMost.
const (
	wokenLate = 5 * time.Millisecond
	graceMost = 250 * time.Millisecond
)

// Forget lets the next Read set the deadline, where that costs nothing.
func (r *Reader) Forget() { r.set = false }

// Read reads what has come, or comes until the deadline. That a process did not run is no silence of the source: what has come by
// then is read first.
func (r *Reader) Read(buf []byte, deadline time.Time) (int, error) {
	for waited := false; ; {
		if !r.set || Earlier(deadline, r.armed) {
			if err := r.Conn.SetReadDeadline(deadline); err != nil && !errors.Is(err, os.ErrNoDeadline) {
				return 0, err
			}
			r.set, r.armed = true, deadline
		}
		n, err := r.Conn.Read(buf)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		r.set = false
		late := -time.Until(deadline)
		switch {
		case n > 0 || !deadline.IsZero() && late >= 0 && (waited || late < wokenLate):
			return n, err
		case !deadline.IsZero() && late >= 0:
			waited, deadline = true, time.Now().Add(min(late, graceMost))
		}
	}
}

// Earlier compares deadlines, of which zero is never.
func Earlier(a, b time.Time) bool {
	return !a.IsZero() && (b.IsZero() || a.Before(b))
}
