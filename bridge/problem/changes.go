package problem

import "time"

// logEvery is the least time between two log lines about the same code, so that a state that comes and goes, such as a
// server that accepts and closes again and again, costs two lines a minute.
const logEvery = time.Minute

// Changes decides which reports of a problem that is checked again and again are worth a line in the log: a problem that was
// not there, one that became another, and its end. What is left out is counted. The zero value is ready and assumes that
// there is no problem. It is not safe for concurrent use.
type Changes struct {
	logged  *Problem           // in the last line; nil: none, or its end
	lines   map[Code]time.Time // when each code was last logged
	end     time.Time          // when the end of a problem was last logged
	skipped int
}

// Report takes the problem as it is now, nil for none. Worth says that it belongs into the log; skipped is then the number of
// reports since the last line that did not. A report that comes less than a minute after the last line about the same code is
// not worth one: the caller's next report after that minute is.
func (c *Changes) Report(p *Problem, now time.Time) (worth bool, skipped int) {
	if p.Same(c.logged) || now.Sub(c.lastLine(p)) < logEvery {
		c.skipped++
		return false, 0
	}
	c.logged, skipped = p, c.skipped
	c.skipped = 0
	if p == nil {
		c.end = now
		return true, skipped
	}
	if c.lines == nil {
		c.lines = map[Code]time.Time{}
	}
	c.lines[p.Code] = now
	return true, skipped
}

func (c *Changes) lastLine(p *Problem) time.Time {
	if p == nil {
		return c.end
	}
	return c.lines[p.Code]
}
