package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"gpsbridge/bridge/secret"
)

// quarantineName is the file in the spool's directory with the messages that a server does not accept.
const quarantineName = "quarantine.jsonl"

// quarantineMax bounds that file in bytes: some 2,000 messages, more than anyone reads, and nothing on an SD card.
const quarantineMax = 1 << 20

// quarantine keeps the messages of a device ID that a server does not accept: in a file beside the spool, else in the log. Each
// line of the file is one quarantined.
type quarantine struct {
	path string // "" without a disk
	max  int64  // bytes
	log  *slog.Logger
	mu   sync.Mutex // several uplinks write
}

// quarantined is one line of the file.
type quarantined struct {
	Time    time.Time       `json:"time"`    // by the system's clock
	Uplink  string          `json:"uplink"`  // its name
	Server  string          `json:"server"`  // its address, without what may be secret
	Reason  string          `json:"reason"`  // what the server does with the message
	Message json.RawMessage `json:"message"` // the object itself, or a string where it is not JSON
}

func newQuarantine(dir string, log *slog.Logger) *quarantine {
	q := &quarantine{max: quarantineMax, log: log}
	if dir != "" {
		q.path = filepath.Join(dir, quarantineName)
	}
	return q
}

// of returns what keeps the messages that one server does not accept. When it returns nil, nothing waits for them any more.
func (q *quarantine) of(uplink, server string) func(msg []byte, reason string) error {
	server = secret.RedactURL(server)
	return func(msg []byte, reason string) error {
		log := q.log.With("uplink", uplink)
		if q.path == "" {
			log.Error("message quarantined, the server does not accept it", "reason", reason, "message", string(msg))
			return nil
		}
		line, err := quarantined{Uplink: uplink, Server: server, Reason: reason, Message: msg}.line()
		if err == nil {
			err = q.append(line)
		}
		if err != nil {
			return fmt.Errorf("quarantine a message in %q: %w", q.path, err)
		}
		log.Error("message quarantined, the server does not accept it", "reason", reason, "file", q.path)
		return nil
	}
}

// line is a message with what is known about it, now.
func (l quarantined) line() ([]byte, error) {
	l.Time = time.Now().UTC().Truncate(time.Millisecond)
	if !json.Valid(l.Message) {
		l.Message, _ = json.Marshal(string(l.Message)) // a string always can be
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(l)
	return b.Bytes(), err
}

// append puts a line on the disk, whole or not at all, and drops the oldest lines where the file would grow beyond its bound.
func (q *quarantine) append(line []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	old, err := os.ReadFile(q.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		line = append([]byte{'\n'}, line...) // a power cut has left half a line
	}
	if int64(len(old)+len(line)) > q.max {
		kept, dropped := newest(old, q.max*3/4-int64(len(line)))
		q.log.Warn("quarantine is full, its oldest messages are dropped", "dropped", dropped, "file", q.path, "max_bytes", q.max)
		return replaceFile(q.path, append(kept, line...))
	}
	return appendFile(q.path, line)
}

// newest returns the last lines of text that fit into size bytes, and how many others there are.
func newest(text []byte, size int64) (kept []byte, dropped int) {
	for int64(len(text)) > size && len(text) > 0 {
		text = text[bytes.IndexByte(append(text, '\n'), '\n')+1:]
		dropped++
	}
	return bytes.Clone(text), dropped
}

// replaceFile replaces a file with another text, so that a power cut leaves one of both.
func replaceFile(path string, text []byte) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // new: a link is not followed
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// appendFile appends to a file or leaves it as it was, since the caller tries again.
func appendFile(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(info.Size()))
	}
	if info.Size() == 0 {
		return syncDir(filepath.Dir(path)) // so that its name is on the disk too
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
