// Package config holds what can be configured: the file as it is written (File), what is made of it (Config), and where each
// value was given. systemd/gpsbridge.toml documents every key.
//
//   - file.go: the sections and keys of a file, their defaults, and how it is read.
//   - load.go: the file, over it the environment, over that the flags.
//   - edit.go: a value is set in a file whose comments stay.
//   - check.go: what is wrong with the values, and what is made of them.
//   - config.go: the checked configuration, made of the parts' own settings.
//   - origin.go: where a value was given, for errors.
//   - server.go: the same for a tracking server (gpsbridge relay), whose keys systemd/relay.toml documents.
//   - service.go: the directories that systemd gives the service.
//   - files.go: the files that keys name.
//
// A key is added in file.go, check.go and the reference; a test holds that the last has it.
package config

import (
	"log/slog"
	"strings"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// Config is a configuration that has been checked, as far as that is possible without the parts: they check their own.
type Config struct {
	DeviceID  string
	Receivers []Receiver
	Report    pipeline.Limits
	Uplinks   []Uplink
	Spool     spool.Options // Dir and Runtime hold the spools of all device IDs, see SpoolDirs
	Relay     Relay
	Log       Log

	file    File // that it was made of
	origins origins
}

// Receiver is a receiver and what is done with its bytes.
type Receiver struct {
	receiver.Config
	DeviceID        string // that it feeds
	Record          record.Config
	Share           share.Config
	Rollover        Rollover
	AllowNoChecksum bool
}

// Rollover is what is done about dates that are 1024 weeks old.
type Rollover string

// The values of receiver.rollover.
const (
	RolloverAuto    Rollover = "auto" // correct the dates of a receiver, keep those of a recording
	RolloverCorrect Rollover = "correct"
	RolloverKeep    Rollover = "keep"
)

// Uplink is a tracking server. The device ID's place is still in its URL: see For.
type Uplink struct{ uplink.Config }

// For returns the settings for the group of a device ID, which needs no escaping in a URL.
func (u Uplink) For(deviceID string) uplink.Config {
	u.URL = strings.ReplaceAll(u.URL, deviceIDPlace, deviceID)
	return u.Config
}

// Relay are the relay's settings. Its token is still in a file.
type Relay struct {
	relay.Config
	TokenFile string // "" for none
}

// Off reports that no viewers are served.
func (r Relay) Off() bool { return r.Listen == relayOff }

// Log is how the daemon logs.
type Log struct {
	Level  slog.Level
	Format string // text or json
}

// DeviceIDs are those that the receivers feed, in the order of the configuration.
func (c *Config) DeviceIDs() (ids []string) {
	seen := map[string]bool{}
	for _, r := range c.Receivers {
		if !seen[r.DeviceID] {
			ids = append(ids, r.DeviceID)
		}
		seen[r.DeviceID] = true
	}
	return ids
}
