package bridge

import (
	"net/http"
	"time"

	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// What follows is for who looks at the daemon's surroundings as the daemon does, without being one.

// Dialing returns what concerns the connecting to a device ID's group on the server, with certificates verified at
// CertificateTime. The configuration must be validated.
func (u UplinkConfig) Dialing(deviceID string, receiver time.Time) uplink.Config {
	c := u.dialing(deviceID)
	c.Clock = func() (time.Time, string) { return CertificateTime(receiver) }
	return c
}

// dialing is what an uplink needs to connect.
func (u UplinkConfig) dialing(deviceID string) uplink.Config {
	header := http.Header{}
	for name, value := range u.Headers {
		header.Set(name, value)
	}
	return uplink.Config{
		Name: u.Name, URL: u.Endpoint(deviceID), Origin: u.Origin, Header: header,
		TokenFile: u.Token, CAFile: u.CA, CertFile: u.Cert, KeyFile: u.Key,
	}
}

// CertificateTime is the time at which the daemon verifies certificates, and whose it is, when the receiver says now;
// zero stands for a receiver that has not said the time.
func CertificateTime(receiver time.Time) (t time.Time, source string) {
	return certificateTime(time.Now(), synchronised(), receiver, builtAfter())
}

// SignOfLife is a message as the daemon sends it while there is no fix, the first of a run of its own, and that run.
func SignOfLife(deviceID string) (msg []byte, run string) {
	m := newMessages(deviceID)
	return m.fix(&nmea.Fix{Mode: nmea.ModeNone}), m.run
}

// ClockSynchronised says whether somebody keeps the system's clock right.
func ClockSynchronised() bool { return synchronised() }

// BuiltAfter is a time before which this build cannot run: a clock that says an earlier one is wrong.
func BuiltAfter() time.Time { return builtAfter() }
