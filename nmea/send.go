package nmea

import "time"

// Errors of a range at 95 %, in metres, by which a DOP becomes an estimated error. They are gpsd's.
const (
	rangeH, rangeHDGPS = 19.0, 4.75
	rangeV, rangeVDGPS = 23.0, 5.75
)

const (
	// satelliteAge is how long what GSA and GSV stated holds for epochs without them: they may come every few seconds only; SiRF's
	// receivers send GSV every five.
	satelliteAge = 10 * time.Second
	// estimateAge is the same for error estimates. They often come after everything else, and the fix does not wait for them:
	// the previous epoch's serve.
	estimateAge = 2500 * time.Millisecond
	// climbBase and climbAge are how far apart two altitudes are that give a climb.
	climbBase = time.Second - jitter
	climbAge  = 5 * time.Second
)

// carried is what a fix may take from earlier epochs, because receivers state it late or seldom. The satellites in view are
// carried too, by sky.
type carried struct {
	dim      Mode // latest of GSA
	dimAt    time.Duration
	eph, epv Value // latest estimates
	errorsAt time.Duration
	listed   int       // satellites in the GSA of the latest epoch that had them
	heights  [2]height // of 3D fixes a second apart, latest first
}

// height is an altitude and the time of day of its epoch.
type height struct {
	alt Value
	at  time.Duration
}

// keep takes what later epochs need from a closed one, whose fix had the mode.
func (c *carried) keep(e *epoch, mode Mode, listed int, now time.Duration) {
	if e.listed {
		c.listed = listed
	}
	alt := e.values[altMSL]
	if e.dim != ModeUnknown {
		c.dimension(e.dim, now)
	} else if mode == Mode3D && alt.Set {
		c.dimension(Mode3D, now)
	}
	c.estimates(&e.values, now)
	newest := &c.heights[0]
	if mode != Mode3D || !alt.Set || !e.stamped || e.stamp >= day { // over a leap second stamps show no duration
		c.heights = [2]height{}
	} else if !newest.alt.Set || forward(newest.at, now) >= climbBase {
		c.heights[1], *newest = *newest, height{alt, now}
	}
}

// dimension keeps a dimension that was stated.
func (c *carried) dimension(dim Mode, now time.Duration) {
	if dim != ModeUnknown {
		c.dim, c.dimAt = dim, now
	}
}

// estimates keeps estimated errors that were stated.
func (c *carried) estimates(v *values, now time.Duration) {
	if v[eph].Set || v[epv].Set {
		c.eph, c.epv, c.errorsAt = v[eph], v[epv], now
	}
}

// climb returns the slope between an altitude and an earlier one, like gpsd. That is a second old at least: over a tenth of it
// the last digit of the altitude alone would make 1 m/s.
func (c *carried) climb(alt Value, now time.Duration) Value {
	for _, h := range c.heights {
		if dt := forward(h.at, now); alt.Set && h.alt.Set && dt >= climbBase && dt <= climbAge {
			stated := max(alt.stated, h.alt.stated)
			if dt > time.Second {
				stated = stated.more(1) // climbAge is less than ten seconds
			}
			return computed((alt.V-h.alt.V)/dt.Seconds(), stated)
		}
	}
	return Value{}
}

// send hands out the fix of the open epoch, once, if the epoch states anything about one.
func (a *Assembler) send() {
	e := &a.epoch
	if e.sent || len(e.positions) == 0 {
		return
	}
	e.sent = true
	f := &a.fix
	*f = Fix{Mode: e.mode(a.dimension())}
	if e.stamped {
		a.calendar.advance(e.stamp, e.fix())
		a.settleDate()
		f.Time, f.LeapSecond = a.calendar.time()
	}
	a.satellites(f)
	if f.Mode >= Mode2D {
		a.position(f)
	}
	a.stats.Fixes++
	a.h.Fix(f)
}

// settleDate takes the date of an epoch with a fix.
func (a *Assembler) settleDate() {
	if e := &a.epoch; e.stamped && e.fix() && e.date != (date{}) {
		a.calendar.set(e.date)
	}
}

// dimension returns what GSA stated, in this epoch or recently.
func (a *Assembler) dimension() Mode {
	if a.epoch.dim != ModeUnknown {
		return a.epoch.dim
	}
	if forward(a.carried.dimAt, a.now()) <= satelliteAge {
		return a.carried.dim
	}
	return ModeUnknown
}

// satellites sets the numbers of satellites, which an epoch without a fix has too.
func (a *Assembler) satellites(f *Fix) {
	e := &a.epoch
	f.NSat = a.sky.seen(a.now())
	f.USat = e.values[uSat]
	if f.USat.V == 12 { // GGA of many receivers ends at 12
		f.USat = some(float64(max(12, a.carried.listed)))
	}
	if !f.USat.Set && e.listed {
		f.USat = some(float64(len(a.sky.used)))
	}
}

// position sets where the receiver is, how it moves and how certain that is.
func (a *Assembler) position(f *Fix) {
	e := &a.epoch
	f.Status = e.status
	if f.Status == StatusUnknown {
		f.Status = StatusGPS
	}
	least := 8 // 0.5 mm; 7 are 6 mm, and the last digit of 4 decimals of a minute is 185 mm
	if e.minutes <= 4 {
		least = 7
	}
	degrees := places(1).more(max(e.minutes+2, least))
	f.Lat, f.Lon = computed(e.lat, degrees), computed(e.lon, degrees)
	for q := range e.values {
		if e.values[q].Set && quantity(q) != uSat {
			*quantities[q].field(f) = e.values[q]
		}
	}
	a.vertical(f)
	a.errors(f)
}

// vertical sets what needs a position in three dimensions.
func (a *Assembler) vertical(f *Fix) {
	if f.Mode < Mode3D {
		f.AltMSL, f.AltHAE, f.GeoidSep, f.Climb = Value{}, Value{}, Value{}, Value{}
		return
	}
	if !f.Climb.Set && a.epoch.stamped {
		f.Climb = a.carried.climb(f.AltMSL, a.epoch.stamp)
	}
	if f.AltMSL.Set && f.GeoidSep.Set {
		f.AltHAE = computed(f.AltMSL.V+f.GeoidSep.V, max(f.AltMSL.stated, f.GeoidSep.stated))
	} else if f.AltHAE.Set && f.GeoidSep.Set {
		f.AltMSL = computed(f.AltHAE.V-f.GeoidSep.V, max(f.AltHAE.stated, f.GeoidSep.stated))
	}
}

// errors sets the estimated errors.
func (a *Assembler) errors(f *Fix) {
	h, v := rangeH, rangeV
	if f.Status == StatusDGPS {
		h, v = rangeHDGPS, rangeVDGPS
	}
	f.Eph = a.estimate(f.Eph, a.carried.eph, f.HDOP, h)
	if f.Mode == Mode3D {
		f.Epv = a.estimate(f.Epv, a.carried.epv, f.VDOP, v)
	} else {
		f.Epv = Value{}
	}
}

// estimate returns the error that the receiver stated in this epoch, or else recently, or else the dilution times the error of
// a range.
func (a *Assembler) estimate(stated, recent, dop Value, ranging float64) Value {
	if stated.Set {
		return stated
	}
	if recent.Set && forward(a.carried.errorsAt, a.now()) <= estimateAge {
		return recent
	}
	dop.V *= ranging
	return dop
}
