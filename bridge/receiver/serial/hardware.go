package serial

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// rank orders ports by how likely a receiver is behind them.
type rank int

const (
	ranksGPS     rank = iota // says that it is one
	ranksAdapter             // USB, could be anything
	ranksUART                // soldered on the board
	ranksModem               // a modem's: control channels that say nothing, mostly
)

// gpsIDs are USB receivers that need not call themselves one: u-blox (5, 6, 7, M8, M9 and later; gpsd's list begins with
// 01a5), MediaTek, and DeLorme's Earthmate.
var gpsIDs = []string{"1546:01a4", "1546:01a5", "1546:01a6", "1546:01a7", "1546:01a8", "1546:01a9", "0e8d:3329", "1163:0100"}

var (
	gpsNames = regexp.MustCompile(`(?i)gps|gnss|glonass|globalsat|garmin|u-blox [5-9m]|navigation|septentrio|novatel|trimble|unicore`)
	// modemDrivers are those of cellular modems' serial ports. One of the ports may send NMEA once it was told to.
	modemDrivers = []string{"option", "option1", "sierra", "qcserial", "qcaux", "hso"}
)

// describe adds what sysfs tells of a port.
func (s system) describe(p *Port) {
	p.rank = ranksUART
	base := filepath.Base(p.Device)
	if strings.HasPrefix(base, "ttyUSB") || strings.HasPrefix(base, "ttyACM") {
		p.rank = ranksAdapter
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(s.sys, "class/tty", base, "device"))
	if err == nil {
		s.climb(p, dir)
	}
	if strings.HasPrefix(filepath.Base(p.Path), "gps") || slices.Contains(gpsIDs, p.IDs) || gpsNames.MatchString(p.Name) {
		p.rank = ranksGPS
	}
}

// climb goes up from a terminal's device to the USB device that it is a part of. The first driver on the way is the port's.
func (s system) climb(p *Port, dir string) {
	root, err := filepath.EvalSymlinks(s.sys)
	if err != nil {
		return
	}
	for ; strings.HasPrefix(dir, root+"/"); dir = filepath.Dir(dir) {
		if driver, err := os.Readlink(filepath.Join(dir, "driver")); err == nil && p.Driver == "" {
			// Newer kernels put two layers of their own ("port", "ctrl") between a UART and its driver.
			if name := filepath.Base(driver); name != "port" && name != "ctrl" {
				p.Driver = name
			}
		}
		if vendor := attribute(dir, "idVendor"); vendor != "" {
			p.IDs = vendor + ":" + attribute(dir, "idProduct")
			p.Name = hardwareName(attribute(dir, "manufacturer"), attribute(dir, "product"))
			break
		}
	}
	if slices.Contains(modemDrivers, p.Driver) {
		p.rank = ranksModem
	}
}

// hardwareName joins manufacturer and product, of which many products repeat the manufacturer.
func hardwareName(manufacturer, product string) string {
	if strings.Contains(strings.ToLower(product), strings.ToLower(manufacturer)) {
		return product
	}
	return strings.TrimSpace(manufacturer + " " + product)
}

// attribute reads a file of sysfs, on one line and without what a device should not put in its name.
func attribute(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "?"))
	return strings.TrimSpace(clean)
}
