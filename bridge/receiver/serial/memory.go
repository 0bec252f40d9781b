package serial

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"

	"gpsbridge/bridge/directory"
)

// memory is the port and the speed that worked last. With a directory it outlives the process, in one small file a source that is
// written only when something else works.
type memory struct {
	file string // "": none
	log  *slog.Logger
	last worked
}

// worked is a port that was read at a speed; the zero value is none.
type worked struct {
	Path string `json:"path"`
	Baud int    `json:"baud"`
}

// notInNames is what file names of memories are kept free of.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// newMemory reads what was kept. A file that cannot be read is as none: its contents are found again.
func newMemory(dir, source string, log *slog.Logger) *memory {
	m := &memory{log: log}
	if dir == "" {
		return m
	}
	name := notInNames.ReplaceAllString(source, "-")
	m.file = filepath.Join(dir, "receiver-"+name[:min(len(name), 100)]+".json")
	text, err := directory.ReadFile(m.file)
	if err == nil {
		err = json.Unmarshal(text, &m.last)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("port that worked last is not known", "err", err)
	}
	if err != nil || m.last.Baud < minBaud || m.last.Baud > MaxBaud {
		m.last = worked{}
	}
	return m
}

// baud is the speed that worked last, if it did at this port; 0 if not.
func (m *memory) baud(path string) int {
	if m.last.Path == path {
		return m.last.Baud
	}
	return 0
}

// keep notes what works now.
func (m *memory) keep(path string, baud int) {
	if now := (worked{path, baud}); m.last != now {
		m.last = now
		if err := m.write(); err != nil {
			m.log.Warn("port that works is not kept for the next start", "err", err)
		}
	}
}

func (m *memory) write() error {
	if m.file == "" {
		return nil
	}
	text, err := json.Marshal(m.last)
	if err != nil {
		return err
	}
	return directory.Replace(m.file, append(text, '\n'), 0o600)
}
