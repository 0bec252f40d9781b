package receiver

import (
	"errors"
	"os"
	"time"
)

// patient reads until a deadline that every byte puts off. It sets the conn's deadline only where that would come too late
// or has passed, because to set one moves a timer and wakes a thread, a seventh of what a sentence costs: the deadline of
// some bytes ago comes too early, is found to, and is set anew then.
type patient struct {
	conn  conn
	set   bool      // a deadline is set, and has not passed
	armed time.Time // which; zero is never
}

// read reads what has come, or comes until the deadline.
func (p *patient) read(buf []byte, deadline time.Time) (int, error) {
	for {
		if !p.set || earlier(deadline, p.armed) {
			if err := p.conn.SetReadDeadline(deadline); err != nil && !errors.Is(err, os.ErrNoDeadline) {
				return 0, err
			}
			p.set, p.armed = true, deadline
		}
		n, err := p.conn.Read(buf)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		p.set = false
		if n > 0 || !earlier(time.Now(), deadline) {
			return n, err
		}
	}
}

// earlier compares deadlines.
func earlier(a, b time.Time) bool {
	return !a.IsZero() && (b.IsZero() || a.Before(b))
}
