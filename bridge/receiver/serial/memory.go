package serial

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// memory is which ports and speeds worked, the last one first. With a directory it outlives the process, in one small file a
// source that is written only when its first entry changes. A nil memory is empty and keeps nothing.
type memory struct {
	path  string // "": none
	log   *slog.Logger
	ports []portMemory
}

// portMemory is a port that worked.
type portMemory struct {
	Path string `json:"path"`
	Baud int    `json:"baud"`
}

// memoryMost bounds the memory: more receivers than are changed between.
const memoryMost = 8

// notInNames is what file names of memories are kept free of.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// newMemory reads what was kept. A file that cannot be read is as none: its contents are found again.
func newMemory(directory, source string, log *slog.Logger) *memory {
	m := &memory{log: log}
	if directory == "" {
		return m
	}
	name := notInNames.ReplaceAllString(source, "-")
	m.path = filepath.Join(directory, "receiver-"+name[:min(len(name), 100)]+".json")
	text, err := os.ReadFile(m.path)
	if err == nil {
		err = json.Unmarshal(text, &m.ports)
	}
	if err != nil {
		m.ports = nil
		if !errors.Is(err, fs.ErrNotExist) {
			log.Warn("port that worked last is not known", "err", err)
		}
	}
	m.ports = slices.DeleteFunc(m.ports, func(p portMemory) bool { return p.Baud < minBaud || p.Baud > MaxBaud })
	return m
}

// place is that of a port in the memory, -1 where it has none.
func (m *memory) place(path string) int {
	if m == nil {
		return -1
	}
	return slices.IndexFunc(m.ports, func(p portMemory) bool { return p.Path == path })
}

// baud is the speed that worked at a port, 0 for none.
func (m *memory) baud(path string) int {
	if i := m.place(path); i >= 0 {
		return m.ports[i].Baud
	}
	return 0
}

// keep notes what works now.
func (m *memory) keep(path string, baud int) {
	now := portMemory{path, baud}
	if m == nil || len(m.ports) > 0 && m.ports[0] == now {
		return
	}
	if i := m.place(path); i >= 0 {
		m.ports = slices.Delete(m.ports, i, i+1)
	}
	m.ports = slices.Insert(m.ports, 0, now)
	m.ports = m.ports[:min(len(m.ports), memoryMost)]
	if m.path == "" {
		return
	}
	if err := m.write(); err != nil {
		m.log.Warn("port that works is not kept for the next start", "err", err)
	}
}

// write replaces the file in one step. It is not synced: a power cut leaves the old one, or an empty one, which is as none.
func (m *memory) write() error {
	text, err := json.Marshal(m.ports)
	if err != nil {
		return err
	}
	temp := m.path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // new: a link is not followed
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, m.path)
}

// order compares two ports: what worked later comes first, what never did last.
func (m *memory) order(a, b string) int {
	rank := func(path string) int {
		if i := m.place(path); i >= 0 {
			return i
		}
		return memoryMost
	}
	return cmp.Compare(rank(a), rank(b))
}
