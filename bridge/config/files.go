package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
)

// CheckFiles names a file of the configuration that is missing, a token's that holds none, and one that the service's user cannot
// read. These are errors in a configuration that is checked, and for a daemon reasons to try again, since files are read when they
// are needed. A file that this user may not look at counts as good, and so does a credential that is missing, which the service
// has in any case.
func (c *Config) CheckFiles() error {
	var errs []error
	check := func(key, file string, token bool) { errs = append(errs, c.Explain(key, c.file.checkFile(file, token))) }
	for i, u := range c.file.Uplinks {
		section := numbered("uplink", i)
		check(section+".token_file", u.Token, true)
		check(section+".ca_file", u.CA, false)
		check(section+".cert_file", u.Cert, false)
		check(section+".key_file", u.Key, false)
	}
	check("relay.basemap", c.file.Relay.Basemap, false)
	if c.file.outside { // else they were read when the relay was built
		check("relay.token_file", c.file.Relay.Token, true)
		if c.file.Relay.TLS != selfSigned { // the service creates both itself
			check("relay.tls_cert_file", c.file.Relay.Cert, false)
			check("relay.tls_key_file", c.file.Relay.Key, false)
		}
	}
	return errors.Join(errs...)
}

// checkFile checks a file as a key names it.
func (f File) checkFile(name string, token bool) error {
	path, credential := f.service.expand(name), strings.Contains(name, Credentials)
	if path == "" || strings.Contains(path, Credentials) {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && credential:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &problem.Problem{Code: CodeNamed, Cause: fmt.Sprintf("file %q does not exist", path), Fix: "create it, or remove the key", Err: err}
	case err != nil:
		return nil
	case f.outside && !credential && !serviceReads(info):
		return &problem.Problem{Code: CodeUnreadable, Cause: fmt.Sprintf("the service's user cannot read file %q", path),
			Fix: fmt.Sprintf("chgrp %s and chmod 640, or make it a credential of the unit (LoadCredential=)", serviceGroup)}
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

// Replaced names the credentials whose files were written after the start of the service, at which systemd copies them
// (systemd.exec(5)): it goes on with the old ones.
func (c *Config) Replaced() (names []string) {
	for _, path := range c.Secrets() {
		name := filepath.Base(path)
		copied, err := os.Stat(path)
		now, errNow := os.Stat(filepath.Join(filepath.Dir(ServiceFile), name))
		if filepath.Dir(path) == c.file.service.credentials && errors.Join(err, errNow) == nil && now.ModTime().After(copied.ModTime()) {
			names = append(names, "credential "+name)
		}
	}
	return names
}

// SpoolDirs are the directories of a device ID's spool, on disk and on a tmpfs, "" for none. Each device ID has its own, so
// that a fix is delivered to the group of the device ID that it was made for, whatever the configuration is by then.
func (c *Config) SpoolDirs(deviceID string) (dir, runtime string) {
	return in(c.Spool.Dir, deviceID), in(c.Spool.Runtime, deviceID)
}

// FormerIDs are the device IDs that may have a spool and that no receiver feeds any more: the names of directories beside those
// of the others. There are none without a server to deliver to.
func (c *Config) FormerIDs() (ids []string) {
	current := c.DeviceIDs()
	if c.Spool.Dir == "" || len(c.Uplinks) == 0 {
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
