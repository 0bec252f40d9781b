package nmea

// Value is a quantity that may be absent. The zero Value is absent.
type Value struct {
	// V is the quantity; it means nothing unless Set.
	V float64
	// Set tells that the receiver stated the quantity.
	Set bool
}

// some returns the present Value v.
func some(v float64) Value { return Value{V: v, Set: true} }
