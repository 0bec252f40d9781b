package serial

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// rank orders ports by how likely they have a receiver.
type rank int

const (
	ranksGPS     rank = iota // its name or number is that of a receiver
	ranksAdapter             // USB, could be anything
	ranksUART                // soldered on the board
	ranksModem               // a modem's: control channels that send nothing, mostly
	ranksLast                // a PC's serial ports, Bluetooth, a debug connector
)

// gpsIDs are USB receivers whose names need not show that they are receivers: u-blox (5, 6, 7, M8, M9 and later; gpsd's list begins with
// 01a5), MediaTek, and DeLorme's Earthmate.
var gpsIDs = []string{"1546:01a4", "1546:01a5", "1546:01a6", "1546:01a7", "1546:01a8", "1546:01a9", "0e8d:3329", "1163:0100"}

var (
	gpsNames = regexp.MustCompile(`(?i)gps|gnss|glonass|globalsat|garmin|u-blox [5-9m]|navigation|septentrio|novatel|trimble|unicore`)
	// modemDrivers are those of cellular modems' serial ports. One of the ports may send NMEA once that is switched on.
	modemDrivers = []string{"option", "option1", "sierra", "qcserial", "qcaux", "hso"}
)

// onPi5 reports a Raspberry Pi of the fifth generation. Its /dev/serial0 is ttyAMA10, the debug connector between the HDMI
// sockets; GPIO 14 and 15 are ttyAMA0, which dtparam=uart0=on switches on (raspberrypi/documentation, PR 3294).
func (s system) onPi5() bool {
	model := attribute(filepath.Join(s.proc, "device-tree"), "model")
	return strings.HasPrefix(model, "Raspberry Pi 5") || strings.HasPrefix(model, "Raspberry Pi Compute Module 5")
}

// debugPort is the debug connector's.
const debugPort = "ttyAMA10"

// gpioOfPi5 is the fix for a receiver on the pins that are another port than on older models.
const gpioOfPi5 = "GPIO 14 and 15 of a Raspberry Pi 5 are /dev/ttyAMA0: switch it on with dtparam=uart0=on in /boot/firmware/config.txt, and reboot"

// silent is the problem of a port on which nothing comes.
func (s system) silent(p Port) *problem.Problem {
	if filepath.Base(p.Device) != debugPort || !s.onPi5() {
		return source.SilentPort(p.Path)
	}
	return &problem.Problem{Code: source.DebugPort, Cause: p.Path + " is the debug connector of the Raspberry Pi 5, and nothing comes there", Fix: gpioOfPi5}
}

// describe adds what sysfs has about a port.
func (s system) describe(p *Port) {
	p.rank = ranksUART
	base := filepath.Base(p.Device)
	switch {
	case strings.HasPrefix(base, "ttyUSB") || strings.HasPrefix(base, "ttyACM"):
		p.rank = ranksAdapter
	case strings.HasPrefix(base, "ttyS") && filepath.Base(p.Path) != "serial0", strings.HasPrefix(base, "rfcomm"), base == debugPort:
		p.rank = ranksLast
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
