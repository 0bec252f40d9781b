package nmea

import "time"

// Errors of a range at 95 %, in metres, by which a DOP becomes an estimated
// error. They are gpsd's.
const (
	rangeH, rangeHDGPS = 19.0, 4.75
	rangeV, rangeVDGPS = 23.0, 5.75
)

// send hands out the fix of the open epoch, once, if the epoch says anything
// about one.
func (a *Assembler) send() {
	e := &a.epoch
	if e.sent || e.norigins == 0 {
		return
	}
	e.sent = true
	f := &a.fix
	*f = Fix{Mode: e.mode(a.dimension())}
	a.date(f)
	a.satellites(f)
	if f.Mode >= Mode2D {
		a.position(f)
	}
	a.stats.Fixes++
	a.h.Fix(f)
}

// date sets the time of the fix.
func (a *Assembler) date(f *Fix) {
	e := &a.epoch
	if !e.stamped {
		return
	}
	a.calendar.advance(e.stamp, e.fix())
	if e.fix() && e.date != (date{}) {
		a.calendar.set(e.date)
	}
	f.Time, f.LeapSecond = a.calendar.time()
}

// dimension returns what GSA said, in this epoch or lately.
func (a *Assembler) dimension() Mode {
	if a.epoch.dim != ModeUnknown {
		return a.epoch.dim
	}
	if a.dim != ModeUnknown && (a.dimAt < 0 || forward(a.dimAt, a.now()) <= dimAge) {
		return a.dim
	}
	return ModeUnknown
}

// satellites sets the numbers of satellites, which an epoch without a fix has too.
func (a *Assembler) satellites(f *Fix) {
	e := &a.epoch
	f.NSat = a.sky.seen(a.now())
	f.USat = e.values[uSat]
	switch {
	case f.USat.Set && f.USat.V == 12 && a.listed > 12:
		f.USat = some(float64(a.listed)) // GGA of many receivers ends at 12
	case !f.USat.Set && e.said[kindGSA] > 0:
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
	f.Lat, f.Lon, f.decimals = some(e.lat), some(e.lon), uint8(e.minutes+2)
	for q := range quantities {
		if v := e.values[q]; v.Set && quantity(q) != uSat {
			*quantities[q].field(f) = v
		}
	}
	a.height(f)
	a.errors(f)
}

// height sets what needs a position in three dimensions.
func (a *Assembler) height(f *Fix) {
	if f.Mode < Mode3D {
		f.AltMSL, f.AltHAE, f.GeoidSep, f.Climb = Value{}, Value{}, Value{}, Value{}
		return
	}
	switch {
	case f.AltMSL.Set && f.GeoidSep.Set:
		f.AltHAE = some(f.AltMSL.V + f.GeoidSep.V)
	case f.AltHAE.Set && f.GeoidSep.Set:
		f.AltMSL = some(f.AltHAE.V - f.GeoidSep.V)
	}
	f.Climb = a.climb()
}

// climb returns the vertical speed that was stated, or like gpsd the slope
// between this altitude and an earlier one. That is a second old at least: over a
// tenth of it the last digit of the altitude alone would make 1 m/s.
func (a *Assembler) climb() Value {
	e := &a.epoch
	alt := e.values[altMSL]
	if e.values[climb].Set || !e.stamped || !alt.Set {
		return e.values[climb]
	}
	for _, h := range a.heights {
		if dt := forward(h.at, e.stamp); h.alt.Set && dt >= climbBase && dt <= climbAge {
			return some((alt.V - h.alt.V) / dt.Seconds())
		}
	}
	return Value{}
}

// climbFrom keeps the altitude of a closed epoch for later ones, a second after
// the one before.
func (a *Assembler) climbFrom(now time.Duration) {
	switch newest := &a.heights[0]; {
	case a.fix.Mode != Mode3D || !a.epoch.values[altMSL].Set || !a.epoch.stamped:
		a.heights = [2]height{}
	case !newest.alt.Set || forward(newest.at, now) >= climbBase:
		a.heights[1], *newest = *newest, height{a.epoch.values[altMSL], now}
	}
}

// errors sets the estimated errors.
func (a *Assembler) errors(f *Fix) {
	h, v := rangeH, rangeV
	if f.Status == StatusDGPS {
		h, v = rangeHDGPS, rangeVDGPS
	}
	f.Eph = a.estimate(f.Eph, a.eph, f.HDOP, h)
	if f.Mode == Mode3D {
		f.Epv = a.estimate(f.Epv, a.epv, f.VDOP, v)
	} else {
		f.Epv = Value{}
	}
}

// estimate returns the error that the receiver stated in this epoch, or else
// lately, or else the dilution times the error of a range.
func (a *Assembler) estimate(stated, lately, dop Value, ranging float64) Value {
	switch {
	case stated.Set:
		return stated
	case lately.Set && forward(a.errorsAt, a.now()) <= estimateAge:
		return lately
	case dop.Set:
		return some(dop.V * ranging)
	}
	return Value{}
}

// settle keeps from a closed epoch what later ones need.
func (a *Assembler) settle() {
	e := &a.epoch
	now := a.now()
	if e.fix() && e.stamped && e.date != (date{}) {
		a.calendar.set(e.date)
	}
	if e.said[kindGSA] > 0 {
		a.listed = len(a.sky.used)
	}
	if e.dim != ModeUnknown {
		a.dim, a.dimAt = e.dim, now
	} else if a.dimAt < 0 || a.fix.Mode == Mode3D && e.values[altMSL].Set {
		a.dim, a.dimAt = max(a.dim, a.fix.Mode), now
	}
	if e.values[eph].Set || e.values[epv].Set {
		a.eph, a.epv, a.errorsAt = e.values[eph], e.values[epv], now
	}
	a.climbFrom(now)
}
