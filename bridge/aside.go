package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// asideName is the file in the spool's folder with the messages that a server would not take.
const asideName = "aside.jsonl"

// aside is where the messages go that one server would not take: a file beside the spool, else the log.
type aside struct {
	writes *sync.Mutex // held by the one of several uplinks that writes
	folder string      // of the spool; "" for none
	uplink string      // its name
	server string      // its address, without what may be secret
	log    *slog.Logger
}

// asideLine is one line of the file.
type asideLine struct {
	Time    time.Time       `json:"time"` // by the system's clock
	Uplink  string          `json:"uplink"`
	Server  string          `json:"server"`
	Reason  string          `json:"reason"`  // what the server does with it
	Message json.RawMessage `json:"message"` // the object itself, or a string where it is no JSON
}

func newAside(t *track, u UplinkConfig) aside {
	return aside{writes: &t.asides, folder: t.folder, uplink: u.Name, server: withoutSecrets(u.Endpoint(t.deviceID)), log: t.log.With("uplink", u.Name)}
}

// withoutSecrets is an address without user, password and query.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// take keeps a message on which the server breaks the connection again and again, or which it swallows: nothing waits for
// it any more.
func (a aside) take(msg []byte, reason string) error {
	if a.folder == "" {
		a.log.Error("message set aside, the server does not take it", "reason", reason, "message", string(msg))
		return nil
	}
	a.writes.Lock()
	defer a.writes.Unlock()
	line, err := a.line(msg, reason)
	path := filepath.Join(a.folder, asideName)
	if err == nil {
		err = appendLine(path, line)
	}
	if err != nil {
		return fmt.Errorf("set message aside in %q: %w", path, err)
	}
	a.log.Error("message set aside, the server does not take it", "file", path)
	return nil
}

// line is a message with what is known about it.
func (a aside) line(msg []byte, reason string) ([]byte, error) {
	l := asideLine{Time: time.Now().UTC().Truncate(time.Millisecond), Uplink: a.uplink, Server: a.server, Reason: reason, Message: msg}
	if !json.Valid(msg) {
		l.Message, _ = json.Marshal(string(msg)) // a string always is
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(l)
	return b.Bytes(), err
}

// appendLine puts a line on the disk, whole or not at all. A power cut may have left half of one at the end.
func appendLine(path string, line []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	if last := []byte{'\n'}; end > 0 {
		if _, err := f.ReadAt(last, end-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err = f.Write(line); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(end)) // to be tried again
	}
	if end == 0 {
		return syncFolder(filepath.Dir(path)) // so that its name is on the disk too
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
