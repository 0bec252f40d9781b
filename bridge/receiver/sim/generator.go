package sim

import "time"

// State is what is true of an epoch, to the precision that the sentences have where they round it.
type State struct {
	Time     time.Time // UTC
	Fix      bool      // there is sky; without it the sentences have no position, speed or track
	Lat, Lon float64   // degrees
	AltMSL   float64   // m above mean sea level
	GeoidSep float64   // m, geoid above the ellipsoid
	Speed    float64   // m/s over ground
	// Track is the heading of the vehicle, degrees from true north, 0 to below 360. The sentences leave it out while Moving
	// is false, as receivers do: there is no course without motion.
	Track            float64
	Moving           bool
	Climb            float64 // m/s
	HDOP, VDOP, PDOP float64
	Satellites       []Satellite // in view, valid until the next epoch
	Used             int         // how many of them are used
}

const (
	geoidSep = 45.8 // m, of London
	magVar   = 0.8  // degrees east, of London in 2026
	// minCourse is the speed, m/s, below which receivers give no course.
	minCourse = 0.1
)

// Generator makes the sentences of a simulated receiver, epoch by epoch. It has no clock.
type Generator struct {
	// State is what is true of the epoch that was generated last. It is to be read only.
	State State

	config  Config // checked
	profile profile
	vehicle *vehicle
	sky     *sky

	epoch int64 // number of the next epoch
}

// New returns a Generator, or an error that names what is wrong with c and how to fix it.
func New(c Config) (*Generator, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	return newGenerator(c), nil
}

func newGenerator(checked Config) *Generator {
	p := profileOf(checked.Baud)
	return &Generator{
		config:  checked,
		profile: p,
		vehicle: newVehicle(newRoute(hydePark), checked.Seed),
		sky:     newSky(p.systems, checked.Seed),
	}
}

// AppendEpoch drives to the next epoch and appends its sentences, or its UBX message, to dst. The first epoch is at Config.Start.
func (g *Generator) AppendEpoch(dst []byte) []byte {
	g.Skip()
	if g.config.UBX {
		return g.appendUBX(dst)
	}
	return g.appendSentences(dst)
}

// Epoch is AppendEpoch to a new slice.
func (g *Generator) Epoch() []byte {
	return g.AppendEpoch(nil)
}

// Skip drives to the next epoch without sentences.
func (g *Generator) Skip() {
	since := g.sinceStart(g.epoch)
	g.vehicle.advance(since - g.vehicle.elapsed)
	g.observe(since)
	g.epoch++
}

// Next is the time of the next epoch.
func (g *Generator) Next() time.Time {
	return g.config.Start.Add(g.sinceStart(g.epoch)).UTC()
}

// sinceStart is the time of an epoch. It is computed from the number, so that no error adds up at 3 Hz.
func (g *Generator) sinceStart(epoch int64) time.Duration {
	rate := int64(g.config.Rate)
	return time.Duration(epoch/rate)*time.Second + time.Duration(epoch%rate)*time.Second/time.Duration(rate)
}

// onSecond reports whether the epoch that was generated last is the first of a second since the start.
func (g *Generator) onSecond() bool {
	return (g.epoch-1)%int64(g.config.Rate) == 0
}

// second is the number of the second since the start of the epoch that was generated last.
func (g *Generator) second() int64 {
	return (g.epoch - 1) / int64(g.config.Rate)
}

// observe takes the state of an epoch.
func (g *Generator) observe(since time.Duration) {
	v := g.vehicle
	open := !(g.config.Tunnel && v.inTunnel()) && (g.config.Outage == nil || !g.config.Outage(since))
	s := &g.State
	changed := s.Fix != open
	s.Time = g.config.Start.Add(since).UTC()
	s.Fix = open
	s.Lat, s.Lon, s.Track = v.route.at(v.way)
	alt, slope := v.route.height(v.way)
	s.AltMSL, s.GeoidSep = alt, geoidSep
	s.Speed, s.Climb = v.speed, slope*v.speed
	s.Moving = v.speed >= minCourse
	if (g.epoch)%int64(g.config.Rate) == 0 || changed {
		g.sky.update(float64(s.Time.Unix()%swingPeriod), open)
	}
	s.HDOP, s.VDOP, s.PDOP = g.sky.hdop, g.sky.vdop, g.sky.pdop
	s.Satellites, s.Used = g.sky.view, g.sky.numUsed
}
