package nmea

// AssemblerStats counts what an Assembler has met.
type AssemblerStats struct {
	Sentences uint64 `json:"sentences"` // pushed
	Fixes     uint64 `json:"fixes"`     // handed out
	Skies     uint64 `json:"skies"`     // handed out
	Late      uint64 `json:"late"`      // sentences of an epoch that was closed
	Refused   uint64 `json:"refused"`   // sentences with anything that was refused
	Panics    uint64 `json:"panics"`    // sentences on which the library panicked
	// Rollovers is how many times 1024 weeks were added to the receiver's latest
	// date.
	Rollovers int `json:"rollovers"`
	// Antenna is what the receiver last said about it in TXT: OK, OPEN, SHORT.
	Antenna string `json:"antenna,omitempty"`
	// Firmware is its version, if the receiver said so in TXT.
	Firmware string `json:"firmware,omitempty"`
	// Types counts by the address field of the sentence, such as GPRMC.
	Types map[string]TypeStats `json:"-"`
}

// TypeStats counts the sentences of one type and talker.
type TypeStats struct {
	Good        uint64            // read whole
	Unsupported uint64            // whole, but of no use here
	Refused     uint64            // with something that was refused
	Reasons     map[string]uint64 // why, counted by reason
}

// typeCount is TypeStats while it is counted.
type typeCount struct {
	good, unsupported, refused uint64
	reasons                    [len(flawNames)]uint64
}

// types counts by address. The zero types is ready.
type types map[string]*typeCount

// of returns the counters of the sentence's address.
func (t *types) of(sentence []byte) *typeCount {
	a := address(sentence)
	if a == nil {
		a = []byte(others)
	}
	if n, ok := (*t)[string(a)]; ok {
		return n
	}
	if *t == nil {
		*t = make(types)
	}
	if len(*t) >= maxTally {
		a = []byte(others)
		if n, ok := (*t)[others]; ok {
			return n
		}
	}
	n := new(typeCount)
	(*t)[string(a)] = n
	return n
}

// count records one sentence.
func (t *types) count(sentence []byte, f flaws, supported bool) {
	n := t.of(sentence)
	switch {
	case !supported:
		n.unsupported++
	case f == 0:
		n.good++
	default:
		n.refused++
		for i := range flawNames {
			if f&(1<<i) != 0 {
				n.reasons[i]++
			}
		}
	}
}

// snapshot returns a copy for others.
func (t types) snapshot() map[string]TypeStats {
	m := make(map[string]TypeStats, len(t))
	for a, n := range t {
		s := TypeStats{Good: n.good, Unsupported: n.unsupported, Refused: n.refused}
		for i, k := range n.reasons {
			if k > 0 {
				if s.Reasons == nil {
					s.Reasons = make(map[string]uint64)
				}
				s.Reasons[flawNames[i]] = k
			}
		}
		m[a] = s
	}
	return m
}
