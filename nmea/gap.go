package nmea

// maxGap bounds the companions in a row; receivers have at most a dozen.
const maxGap = 24

// companion is a sentence with neither a time nor a position of its own. It belongs to an epoch all the same.
type companion struct {
	reading
	member  int  // of the cycle
	tail    bool // of the epoch before it, and not of the one after
	certain bool // that is known, and not assumed
	whole   bool // was merged into its epoch with all it states
	early   bool // came out of its place: the first sentence of its epoch was lost
}

// fix returns whether a companion is of an epoch with a fix, as far as it shows that.
func (c *companion) fix() verdict {
	if c.dim > ModeNone || c.values[speed].Set || c.values[track].Set || c.values[heading].Set {
		return valid
	}
	if c.dim == ModeNone || c.kind == kindVTG { // a heading may be missing beside a fix
		return void
	}
	return unsaid
}

// gap is a row of companions, with no sentence between them that has a time or a position.
type gap struct{ list []companion }

// add appends a copy of r, and returns nil when there is no room.
func (g *gap) add(r *reading, member int) *companion {
	n := len(g.list)
	if n == maxGap {
		return nil
	}
	if n < cap(g.list) {
		g.list = g.list[:n+1]
	} else {
		g.list = append(g.list, companion{})
	}
	c := &g.list[n]
	satellites := append(c.sats[:0], r.sats...)
	c.reading, c.member = *r, member
	c.sats = satellites
	c.tail, c.certain, c.whole, c.early = false, false, false, false
	return c
}

func (g *gap) clear() { g.list = g.list[:0] }
