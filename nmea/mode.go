package nmea

// String names a mode as people know it: NO FIX, 2D, 3D.
func (m Mode) String() string {
	switch m {
	case ModeNone:
		return "NO FIX"
	case Mode2D:
		return "2D"
	case Mode3D:
		return "3D"
	}
	return "UNKNOWN"
}
