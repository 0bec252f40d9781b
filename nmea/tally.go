package nmea

import "maps"

// maxTally bounds the number of addresses that are counted apart: a receiver
// has some 30, and noise with a lucky checksum must not eat memory.
const maxTally = 256

// others is where the addresses above maxTally are counted.
const others = "other"

// tally counts by address. The zero tally is ready.
type tally map[string]uint64

func (t *tally) add(address []byte) {
	if *t == nil {
		*t = make(tally)
	}
	if n, ok := (*t)[string(address)]; ok {
		(*t)[string(address)] = n + 1
		return
	}
	if len(*t) >= maxTally {
		(*t)[others]++
		return
	}
	(*t)[string(address)] = 1
}

func (t tally) copy() map[string]uint64 { return maps.Clone(map[string]uint64(t)) }
