package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"gpsbridge/bridge/directory"
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
// The whole file is written again: a message is quarantined rarely, and the file is small.
func (q *quarantine) append(line []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept, err := directory.ReadFile(q.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(kept) > 0 && !bytes.HasSuffix(kept, []byte("\n")) { // someone has edited it
		kept = append(kept, '\n')
	}
	if int64(len(kept)+len(line)) > q.max {
		var dropped int
		kept, dropped = newest(kept, q.max*3/4-int64(len(line)))
		q.log.Warn("quarantine is full, its oldest messages are dropped", "dropped", dropped, "file", q.path, "max_bytes", q.max)
	}
	return directory.Replace(q.path, append(kept, line...), 0o600)
}

// newest returns the last lines of text that fit into size bytes, and how many others there are.
func newest(text []byte, size int64) (kept []byte, dropped int) {
	for int64(len(text)) > size && len(text) > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
		dropped++
	}
	return text, dropped
}
