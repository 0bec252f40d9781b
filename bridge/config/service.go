package config

import (
	"io/fs"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ServiceFile is the configuration of the service (systemd/gpsbridge.service).
const ServiceFile = "/etc/gpsbridge/gpsbridge.toml"

// service are the directories that the service manager gives gpsbridge (systemd.exec(5)), "" for none: for its state, on a
// tmpfs, and with its credentials.
type service struct{ state, runtime, credentials string }

// serviceOf returns the directories of the service that a process is, by its environment. A process that is not started by
// systemd but reads the configuration of a service is outside of it and has its directories, so that it finds what the service
// uses.
func serviceOf(environ []string, path string) (s service, outside bool) {
	s = service{
		state:       firstPath(environ, "STATE_DIRECTORY"),
		runtime:     firstPath(environ, "RUNTIME_DIRECTORY"),
		credentials: firstPath(environ, "CREDENTIALS_DIRECTORY"),
	}
	dir := filepath.Dir(ServiceFile)
	if path, err := filepath.Abs(path); s == (service{}) && err == nil && filepath.Dir(path) == dir && filepath.Ext(path) == ".toml" {
		unit := "gpsbridge"
		if path != ServiceFile {
			unit += "-" + strings.TrimSuffix(filepath.Base(path), ".toml") // an instance of gpsbridge@.service
		}
		return service{state: "/var/lib/" + unit, runtime: "/run/" + unit, credentials: dir}, true // LoadCredential= reads them there
	}
	return s, false
}

// serviceGroup is the group of the service's user, which is made when it starts (DynamicUser=) and owns no files in /etc.
const serviceGroup = "dialout"

// serviceReads reports whether the service's user may read a file.
func serviceReads(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	if mode&0o004 != 0 {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	group, err := user.LookupGroup(serviceGroup)
	return mode&0o040 != 0 && ok && err == nil && group.Gid == strconv.Itoa(int(st.Gid))
}

// firstPath is the first of the paths in an environment variable.
func firstPath(environ []string, variable string) string {
	for _, e := range environ {
		if value, found := strings.CutPrefix(e, variable+"="); found {
			first, _, _ := strings.Cut(value, ":")
			return first
		}
	}
	return ""
}

// Credentials is where the directory of the service's credentials goes in the name of a file.
const Credentials = "${CREDENTIALS_DIRECTORY}"

// expand replaces Credentials, which stays where there is no such directory.
func (s service) expand(path string) string {
	if s.credentials == "" {
		return path
	}
	return strings.ReplaceAll(path, Credentials, s.credentials)
}

// in is a path in one of the directories; "" without the directory.
func in(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}
