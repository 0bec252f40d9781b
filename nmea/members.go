package nmea

import "slices"

// Members is a set of the members of a fix's JSON. The zero Members is all of them.
type Members uint32

// The members of a fix that are not quantities, in the order in which a message has them. The quantities follow, in that of
// their table.
const (
	memberMode Members = 1 << iota
	memberStatus
	memberTime
	memberLat
	memberLon
	memberQuantities // the first of them
)

// MemberNames are the members of a fix's JSON in their order, without class.
func MemberNames() []string {
	names := []string{"mode", "status", "time", "lat", "lon"}
	for q := range quantities {
		names = append(names, quantities[q].key)
	}
	return names
}

// ParseMembers returns the set of some names, all of them for none. It is not ok where no member has one of them, the unknown.
func ParseMembers(names []string) (m Members, unknown string, ok bool) {
	known := MemberNames()
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return 0, name, false
		}
		m |= 1 << i
	}
	return m, "", true
}

// has reports whether members of the set are to be written.
func (m Members) has(members Members) bool { return m == 0 || m&members != 0 }
