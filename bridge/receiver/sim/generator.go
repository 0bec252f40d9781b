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
	drive   *drive
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
		drive:   newDrive(hydePark, checked.Seed),
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
func (g *Generator) Epoch() []byte { return g.AppendEpoch(nil) }

// Next is the time of the next epoch.
func (g *Generator) Next() time.Time { return g.config.Start.Add(g.sinceStart()).UTC() }

// sinceStart is the time of the next epoch. It is computed from the number, so that no error adds up at 3 Hz.
func (g *Generator) sinceStart() time.Duration {
	rate := int64(g.config.Rate)
	return time.Duration(g.epoch/rate)*time.Second + time.Duration(g.epoch%rate)*time.Second/time.Duration(rate)
}

// second is the number of the second since the start that begins with the epoch that was generated last; false where none does.
func (g *Generator) second() (int64, bool) {
	rate := int64(g.config.Rate)
	return (g.epoch - 1) / rate, (g.epoch-1)%rate == 0
}

// Skip drives to the next epoch without sentences.
func (g *Generator) Skip() {
	way, speed := g.drive.after(g.sinceStart().Seconds())
	open := !g.config.Tunnel || !g.drive.inTunnel(way)
	s := &g.State
	changed := s.Fix != open
	s.Time, s.Fix = g.Next(), open
	s.Lat, s.Lon, s.Track = g.drive.at(way)
	alt, slope := g.drive.height(way)
	s.AltMSL, s.GeoidSep = alt, geoidSep
	s.Speed, s.Climb, s.Moving = speed, slope*speed, speed >= minCourse
	g.epoch++
	if _, whole := g.second(); whole || changed {
		g.sky.update(float64(s.Time.Unix()%swingPeriod), open)
	}
	s.HDOP, s.VDOP, s.PDOP = g.sky.hdop, g.sky.vdop, g.sky.pdop
	s.Satellites, s.Used = g.sky.view, g.sky.numUsed
}
