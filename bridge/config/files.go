package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
)

// CheckFiles names a file of the configuration that is missing, or a token's that holds none: an error in a configuration that
// is checked, and for a daemon a reason to try again, since files are read when they are needed. A file that this user may not
// look at, and a credential that only the service has, count as good.
func (c *Config) CheckFiles() error {
	var errs []error
	for i, u := range c.Uplinks {
		for _, f := range []struct{ key, path string }{
			{"token_file", u.TokenFile}, {"ca_file", u.CAFile}, {"cert_file", u.CertFile}, {"key_file", u.KeyFile},
		} {
			errs = append(errs, c.Explain(numbered("uplink", i)+"."+f.key, checkFile(f.path, f.key == "token_file")))
		}
	}
	errs = append(errs, c.Explain("relay.basemap", checkFile(c.Relay.Basemap, false)))
	return errors.Join(errs...)
}

// checkFile looks whether a file is there, and whether it holds a token.
func checkFile(path string, token bool) error {
	if path == "" || strings.Contains(path, credentialsPlace) {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return &problem.Problem{Code: CodeNamed, Cause: fmt.Sprintf("file %q does not exist", path), Fix: "create it, or remove the key", Err: err}
	}
	if !token {
		return nil
	}
	if _, err := secret.Read(path); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// Secrets are the files that hold tokens and keys.
func (c *Config) Secrets() []string {
	files := []string{c.Relay.TokenFile, c.Relay.KeyFile}
	for _, u := range c.Uplinks {
		files = append(files, u.TokenFile, u.KeyFile)
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// SpoolDirs are the directories of a device ID's spool, on disk and on a tmpfs, "" for none. Each device ID has its own, so
// that a fix is delivered to the group of the device ID that it was made for, whatever the configuration is by then.
func (c *Config) SpoolDirs(deviceID string) (dir, runtime string) {
	return in(c.Spool.Dir, deviceID), in(c.Spool.Runtime, deviceID)
}

// FormerIDs are the device IDs that have a spool and that no receiver feeds any more.
func (c *Config) FormerIDs() (ids []string) {
	current := c.DeviceIDs()
	if c.Spool.Dir == "" {
		return nil
	}
	entries, _ := os.ReadDir(c.Spool.Dir) // one that cannot be read is the spool's to report
	for _, e := range entries {
		if id := e.Name(); e.IsDir() && relay.ValidDeviceID(id) && !slices.Contains(current, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
