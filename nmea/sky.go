package nmea

import "time"

const (
	// skyCycles is how long a group of GSV counts for receivers without a clock, in cycles of GSV.
	skyCycles = 3
	// maxGroups bounds the groups: seven constellations with up to four signals.
	maxGroups = 32
	// maxGroupSats bounds a group: 99 sentences of four satellites are noise.
	maxGroupSats = 64
)

// group is one run of GSV sentences: those of a talker and a signal, or of several signals that are numbered in one go.
type group struct {
	talker [2]byte
	gnss   int
	signal byte // of the first part

	building []Satellite
	parts    int // of the sentence that began it
	next     int // part that is to come, 0 when none is

	sats  []Satellite   // of the latest complete group
	when  time.Duration // stamp of the Sky that it was first part of
	cycle int           // Skies before that
}

// sky collects GSV and GSA to the view of the whole sky.
type sky struct {
	groups  []group
	fresh   bool          // a group was completed since the last Sky
	cycle   int           // Skies so far
	when    time.Duration // stamp of the latest Sky
	used    []Satellite
	usedNew bool // GSA in the open epoch
	out     Sky
}

// view takes a GSV. Parts that do not follow each other spoil their group.
func (s *sky) view(r *reading) {
	g := s.group(r)
	if g == nil {
		return
	}
	if len(g.building)+len(r.sats) > maxGroupSats {
		g.next = 0
		return
	}
	g.building = append(g.building, r.sats...)
	g.next++
	if r.part == r.parts {
		g.sats, g.building = g.building, g.sats
		g.cycle, g.next = s.cycle, 0
		s.fresh = true
	}
}

// group returns the group that a GSV begins or goes on with, nil when it does neither or there are too many. A group begins
// with part 1 and its signal. The signal of the other parts may differ: Quectel's LC79D numbers the parts of all signals of
// a constellation in one go.
func (s *sky) group(r *reading) *group {
	var talker [2]byte
	copy(talker[:], r.Talker)
	var begun *group
	for i := range s.groups {
		g := &s.groups[i]
		if g.talker != talker || g.gnss != r.gnss {
			continue
		}
		if g.next == r.part && g.parts == r.parts {
			return g
		}
		g.next = 0 // a part is missing, or another group begins
		if g.signal == r.signal {
			begun = g
		}
	}
	if r.part > 1 {
		return nil
	}
	if begun == nil {
		if len(s.groups) == maxGroups {
			return nil
		}
		s.groups = append(s.groups, group{talker: talker, gnss: r.gnss, signal: r.signal})
		begun = &s.groups[len(s.groups)-1]
	}
	begun.building, begun.parts, begun.next = begun.building[:0], r.parts, 1
	return begun
}

// begin starts an epoch.
func (s *sky) begin() { s.usedNew = false }

// use takes a GSA. The first of an epoch begins a new list.
func (s *sky) use(r *reading) {
	if !s.usedNew {
		s.used, s.usedNew = s.used[:0], true
	}
	for i := range r.sats {
		if find(s.used, &r.sats[i]) < 0 {
			s.used = append(s.used, r.sats[i])
		}
	}
}

// seen returns the number of satellites in view, absent when no Sky is recent.
func (s *sky) seen(stamp time.Duration) Value {
	if s.cycle == 0 || forward(s.when, stamp) > satelliteAge {
		return Value{}
	}
	return some(float64(s.out.NSat))
}

// assemble makes the Sky of an epoch that has completed a group, nil otherwise.
func (s *sky) assemble(stamp time.Duration) *Sky {
	if !s.fresh {
		return nil
	}
	s.fresh = false
	s.when = stamp
	s.out = Sky{Satellites: s.out.Satellites[:0]}
	for i := range s.groups {
		g := &s.groups[i]
		if g.cycle == s.cycle {
			g.when = stamp // whatever the clock said before: it may not have known the time
		}
		if age := forward(g.when, stamp); age > satelliteAge || s.cycle-g.cycle >= skyCycles && age == 0 {
			g.sats = g.sats[:0]
			continue
		}
		for i := range g.sats {
			s.add(&g.sats[i])
		}
	}
	s.cycle++
	s.out.NSat = len(s.out.Satellites)
	for i := range s.out.Satellites {
		if sat := &s.out.Satellites[i]; find(s.used, sat) >= 0 {
			sat.Used = true
			s.out.USat++
		}
	}
	return &s.out
}

// add merges a satellite: the strongest of its signals counts.
func (s *sky) add(sat *Satellite) {
	i := find(s.out.Satellites, sat)
	if i < 0 {
		s.out.Satellites = append(s.out.Satellites, *sat)
		return
	}
	have := &s.out.Satellites[i]
	if sat.SS.Set && (!have.SS.Set || sat.SS.V > have.SS.V) {
		have.SS = sat.SS
	}
	if !have.El.Set {
		have.El, have.Az = sat.El, sat.Az
	}
}
