package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
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
	errs = append(errs, c.Explain("relay.token_file", checkFile(c.Relay.TokenFile, true)), c.Explain("relay.basemap", checkFile(c.Relay.Basemap, false)))
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

// SpoolDirs are the directories of a device ID's spool, "" for none: those of [spool] for the tracker's own, and such that
// lie beside them for a receiver's of its own.
func (c *Config) SpoolDirs(deviceID string) (dir, runtime string) {
	dir, runtime = c.Spool.Dir, c.Spool.Runtime
	if deviceID == c.DeviceID {
		return dir, runtime
	}
	if dir != "" {
		dir += "-" + deviceID
	}
	if runtime != "" {
		runtime += "-" + deviceID
	}
	return dir, runtime
}
