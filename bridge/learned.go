package bridge

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/secret"
)

// learnedName is the file in the spool's directory with what was learned about servers, by their addresses.
const learnedName = "servers.json"

// learned is what was learned about a server.
type learned struct {
	Echoes bool      `json:"echoes,omitempty"`     // nothing less than an echo acknowledges (ack = "auto")
	Plain  time.Time `json:"plain_until,omitzero"` // connections broke with compression, which is not offered before
}

// servers remembers what was learned about them, over restarts where there is a spool on disk.
type servers struct {
	path string // "" without a disk
	log  *slog.Logger

	mu    sync.Mutex
	known map[string]learned
}

func newServers(dir string, log *slog.Logger) *servers {
	s := &servers{log: log}
	if dir != "" {
		s.path = filepath.Join(dir, learnedName)
		if err := s.read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Warn("cannot read what was learned about the servers, that will be learned again", "file", s.path, "err", err)
		}
	}
	if s.known == nil {
		s.known = map[string]learned{}
	}
	return s
}

func (s *servers) read() error {
	text, err := directory.ReadFile(s.path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &s.known)
}

// about is what was learned about a server.
func (s *servers) about(server string) learned {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[secret.RedactURL(server)]
}

// learn changes what is known about a server. What cannot be written is learned again after the next start.
func (s *servers) learn(server string, change func(*learned)) {
	server = secret.RedactURL(server)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.known[server]
	change(&l)
	if l == s.known[server] {
		return
	}
	s.known[server] = l
	if s.path == "" {
		return
	}
	text, err := json.Marshal(s.known)
	if err == nil {
		err = directory.Replace(s.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		s.log.Warn("cannot remember what was learned about the server", "file", s.path, "err", err)
	}
}
