package nmea

import "time"

// Mode is how much of a position is known, in gpsd's numbers.
type Mode uint8

// The modes of a fix.
const (
	ModeUnknown Mode = iota // not stated
	ModeNone                // no fix
	Mode2D                  // latitude and longitude
	Mode3D                  // altitude too
)

// String names a mode for people.
func (m Mode) String() string {
	return [...]string{"UNKNOWN", "NO FIX", "2D", "3D"}[min(m, Mode3D)]
}

// Status is by what means the position was found, in gpsd's numbers.
type Status uint8

// The statuses of a fix.
const (
	StatusUnknown       Status = iota // not stated, or no fix
	StatusGPS                         // satellites alone
	StatusDGPS                        // differential correction
	StatusRTKFixed                    // carrier phase, integers resolved
	StatusRTKFloat                    // carrier phase, integers open
	StatusDeadReckoning               // estimated from the last position
	StatusGNSSDR                      // satellites and dead reckoning together
	StatusSurveyed                    // entered by hand, a known place
	StatusSimulated                   // a simulation
	StatusPPS                         // military precise service
)

// Fix is what the receiver stated about one navigation epoch. Angles are degrees, lengths metres, speeds metres a second.
// What the receiver did not state is absent.
type Fix struct {
	// Mode is 1 for an epoch without a fix; then no position is set.
	Mode   Mode
	Status Status
	// Time is the receiver's UTC, zero until a date is known.
	Time time.Time
	// LeapSecond reports that the receiver stated 23:59:60: Time, which has no such second, is then 00:00:00 of the next day.
	LeapSecond bool

	Lat, Lon Value // degrees, north and east positive
	AltMSL   Value // above mean sea level
	AltHAE   Value // above the WGS 84 ellipsoid; needs altitude and separation
	GeoidSep Value // mean sea level above the ellipsoid
	Speed    Value // over ground
	Track    Value // course over ground from true north, 0 to 360
	Heading  Value // of the vehicle from true north, 0 to 360
	Climb    Value // vertical speed, up positive
	MagVar   Value // magnetic variation, east positive

	HDOP, VDOP, PDOP Value // dilutions of precision
	Eph, Epv         Value // estimated horizontal and vertical error, 95 %
	USat, NSat       Value // satellites used, satellites in view
}

// Sky is what the receiver stated about the satellites, once a cycle of GSV.
type Sky struct {
	Time             time.Time // UTC of the epoch, zero until a date is known
	LeapSecond       bool      // see Fix.LeapSecond
	Satellites       []Satellite
	HDOP, VDOP, PDOP Value
	NSat, USat       int // satellites in view, satellites used
}

// Satellite is one satellite in view.
type Satellite struct {
	// GNSSID is the constellation in u-blox's numbers, which gpsd uses too: 0 GPS, 1 SBAS, 2 Galileo, 3 BeiDou, 5 QZSS,
	// 6 GLONASS, 7 NavIC.
	GNSSID uint8
	SVID   int   // number within the constellation
	PRN    int   // number in gpsd's common range over all constellations
	El, Az Value // degrees above the horizon, degrees from true north
	SS     Value // strongest signal-to-noise density over the signals, dB-Hz
	Used   bool  // part of the solution
}

// find returns the place of the entry that is about the same satellite as sat, -1 when there is none.
func find(satellites []Satellite, sat *Satellite) int {
	for i := range satellites {
		if s := &satellites[i]; s.SVID == sat.SVID && s.GNSSID == sat.GNSSID {
			return i
		}
	}
	return -1
}
