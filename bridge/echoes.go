package bridge

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/secret"
)

// echoesName is the file in the spool's directory with the addresses of the servers that were seen to echo, one a line: from
// them nothing less than an echo acknowledges (ack = "auto").
const echoesName = "echoes"

// echoServers remembers which servers echo, over restarts where there is a spool on disk.
type echoServers struct {
	path string // "" without a disk
	log  *slog.Logger

	mu      sync.Mutex
	servers []string
}

func newEchoServers(dir string, log *slog.Logger) *echoServers {
	e := &echoServers{log: log}
	if dir == "" {
		return e
	}
	e.path = filepath.Join(dir, echoesName)
	text, err := directory.ReadFile(e.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("cannot read which servers echo, that will be learned again", "err", err)
	}
	e.servers = strings.Fields(string(text))
	return e
}

// from reports whether a server was seen to echo.
func (e *echoServers) from(server string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.servers, secret.RedactURL(server))
}

// saw notes that a server echoes. What cannot be written is learned again after the next start.
func (e *echoServers) saw(server string) {
	server = secret.RedactURL(server)
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.Contains(e.servers, server) {
		return
	}
	e.servers = append(e.servers, server)
	if e.path == "" {
		return
	}
	if err := directory.Replace(e.path, []byte(strings.Join(e.servers, "\n")+"\n"), 0o600); err != nil {
		e.log.Warn("cannot remember that the server echoes", "err", err)
	}
}
