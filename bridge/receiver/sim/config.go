package sim

import (
	"fmt"
	"time"
)

// Config is the receiver to simulate. The zero value is a receiver that sends once a second, as fast as it is read.
type Config struct {
	// Rate is how many epochs a second there are, 1 to MaxRate. Default 1.
	Rate int
	// Baud is the speed of the line in bits a second; each byte takes ten bits. 0 is a line that takes no time. It
	// decides too what the receiver sends: see profileOf.
	Baud int
	// Start is the time of the first epoch. Default for a Generator: noon UTC of 23 November 2026; for a Receiver: now.
	Start time.Time
	// Seed makes one simulated receiver differ from another: where on the route it starts, when lights are red, how satellites
	// stand. Seed 0 starts at the beginning of the route.
	Seed uint64
	// Tunnel puts stretches without sky on the route: about 20 s every few minutes.
	Tunnel bool
	// UBX has the receiver send u-blox's binary protocol instead of NMEA 0183: one NAV-PVT an epoch.
	UBX bool
	// Garble has a Receiver with a Baud be read as on a real line: at another speed than Baud comes what a UART makes of it.
	// The speed is the one that the reader has set; a reader that sets none has 38400.
	Garble bool
}

// MaxRate is the most epochs a second that common receivers give.
const MaxRate = 25

// defaultStart is not a special day, so that nothing relies on it.
var defaultStart = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// profile is what a receiver sends.
type profile struct {
	systems int  // constellations: GPS, GLONASS, Galileo, BeiDou, in this order
	full    bool // VTG, GLL, ZDA and GST too
	gsv     int  // seconds between two lists of the satellites in view
}

// profileOf gives what receivers send that come with a line this slow: a GPS receiver of 4800 baud the minimum, with the
// satellites every 5 s; one of 9600 baud two constellations; newer ones, with faster lines, all four.
func profileOf(baud int) profile {
	switch {
	case baud == 0 || baud >= 19200:
		return profile{systems: 4, full: true, gsv: 1}
	case baud >= 9600:
		return profile{systems: 2, full: true, gsv: 1}
	default:
		return profile{systems: 1, gsv: 5}
	}
}

// The longest that the sentences get, in bytes with their line ends.
const (
	epochBytes     = 77 + 82              // RMC, GGA
	epochFullBytes = epochBytes + 48 + 54 // and VTG, GLL
	gsaBytes       = 66
	gsvBytes       = 72
	gsvEach        = 3 // sentences a constellation, for up to 12 satellites
	zdaGstBytes    = 38 + 68
)

// need returns how many bytes a second the receiver sends at most.
func (p profile) need(rate int) int {
	epoch, second := epochBytes, 0
	if p.full {
		epoch, second = epochFullBytes, zdaGstBytes
	}
	return rate*(epoch+p.systems*gsaBytes) + second + p.systems*gsvEach*gsvBytes/p.gsv
}

// commonBauds are the speeds that receivers have.
var commonBauds = []int{4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}

// checked returns c with its defaults, or what is wrong with it and how to fix it.
func (c Config) checked() (Config, error) {
	if c.Rate == 0 {
		c.Rate = 1
	}
	if c.Rate < 1 || c.Rate > MaxRate {
		return c, fmt.Errorf("simulate a receiver at %d Hz: use a rate of 1 to %d", c.Rate, MaxRate)
	}
	if c.Baud < 0 {
		return c, fmt.Errorf("simulate a receiver at %d baud: use 4800 to 921600, or 0 for a line without limit", c.Baud)
	}
	if c.Start.IsZero() {
		c.Start = defaultStart
	}
	if need := profileOf(c.Baud).need(c.Rate); c.Baud > 0 && need > c.Baud/10 {
		return c, fmt.Errorf("simulate a receiver: %d Hz needs up to %d bytes a second, %d baud carry %d: use %s",
			c.Rate, need, c.Baud, c.Baud/10, c.alternatives())
	}
	return c, nil
}

// alternatives names the nearest configurations that work.
func (c Config) alternatives() string {
	text := "a baud of 0"
	for _, baud := range commonBauds {
		if baud > c.Baud && profileOf(baud).need(c.Rate) <= baud/10 {
			text = fmt.Sprintf("%d baud", baud)
			break
		}
	}
	for rate := c.Rate - 1; rate > 0; rate-- {
		if profileOf(c.Baud).need(rate) <= c.Baud/10 {
			return fmt.Sprintf("%s, or at most %d Hz", text, rate)
		}
	}
	return text
}
