package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest/program"
)

// contender is one of the programs that are compared: it reads a line of its own, and a client listens to it.
type contender struct {
	line    *line
	program *program.Program
	client  *client
}

// device is the device ID that gpsbridge has here.
const device = "compare"

// starter starts a contender's program on a line whose speed is baud, and names how its client joins.
type starter struct {
	name    string
	command func(port int, l *line, baud int) *exec.Cmd
	dial    func(ctx context.Context, addr string) (*client, error)
}

// startAll starts every contender on a line of its own. The caller stops those that are returned, also with an error.
func startAll(ctx context.Context, starters []starter, baud int) ([]*contender, error) {
	var all []*contender
	for _, s := range starters {
		l, err := openLine()
		if err != nil {
			return all, err
		}
		c := &contender{line: l}
		all = append(all, c)
		port, err := program.FreePort()
		if err != nil {
			return all, err
		}
		if c.program, err = start(s.name, s.command(port, l, baud)); err != nil {
			return all, err
		}
		if err := c.program.Await(ctx, startTimeout, func() (err error) {
			c.client, err = s.dial(ctx, program.Loopback(port))
			return err
		}); err != nil {
			return all, err
		}
	}
	return all, nil
}

func stopAll(all []*contender) {
	for _, c := range all {
		if c.client != nil {
			c.client.close()
		}
		if c.program != nil {
			stop(c.program)
		}
		_ = c.line.Close() // the program has ended: no one reads it
	}
}

// finish returns what the program's client has received and what memory the program has.
func (c *contender) finish() ([]fix, result, error) {
	list, err := c.client.drain()
	if err != nil {
		return nil, result{}, fmt.Errorf("receive from %s: %w: %s", c.program.Name(), err, c.program.LastLine())
	}
	r := result{Program: c.program.Name()}
	if r.Resident, err = memory(resident, c.program); err == nil {
		r.Private, err = memory(private, c.program)
	}
	return list, r, err
}

// findGPSD returns the path and the version of gpsd. Distributions install it where users' PATH does not lead.
func findGPSD(ctx context.Context) (path, version string, err error) {
	path, err = exec.LookPath("gpsd")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/gpsd")
	}
	if err != nil {
		return "", "", fmt.Errorf("gpsd is missing: %sgpsd", apt)
	}
	out, err := exec.CommandContext(ctx, path, "-V").Output()
	if err != nil {
		return "", "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	return path, regexp.MustCompile(`[0-9][0-9a-z.~]*`).FindString(string(out)), nil
}

// gpsd is Debian's program as it runs for one receiver that it must not reconfigure: -N in the foreground, -n reading
// without waiting for a client, -b never writing to the receiver.
func gpsd(path string) starter {
	return starter{"gpsd", func(port int, l *line, _ int) *exec.Cmd {
		return exec.Command(path, "-N", "-n", "-b", "-S", strconv.Itoa(port), l.Path)
	}, watchGPSD}
}

// gpsbridge is the daemon without a tracking server, watched by a viewer of its own relay. Builds are distinguished by the
// names of their files.
func gpsbridge(path string) starter {
	return starter{filepath.Base(path), func(port int, l *line, baud int) *exec.Cmd {
		cmd := exec.Command(path, "run", "--device", l.Path+"?baud="+strconv.Itoa(baud), "--device-id", device,
			"--listen", program.Loopback(port))
		cmd.Env = cleanEnvironment()
		return cmd
	}, watchGroup}
}

// fix is a message with a position at a client.
type fix struct {
	at   time.Time // when it had come
	time string    // its own
}

// client receives what a program sends and notes when.
type client struct {
	conn io.Closer
	done chan struct{} // closed when reading has ended

	mu    sync.Mutex
	fixes []fix
	last  time.Time // of any message
	err   error     // why reading ended
}

// newClient reads messages with next until it fails.
func newClient(conn io.Closer, next func() ([]byte, error)) *client {
	c := &client{conn: conn, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for {
			msg, err := next()
			if c.add(time.Now(), msg, err); err != nil {
				return
			}
		}
	}()
	return c
}

func (c *client) add(at time.Time, msg []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.err = at, err
	var m struct {
		Mode int    `json:"mode"`
		Time string `json:"time"`
	}
	// Both programs begin so; what cannot be decoded is missing in the count.
	if bytes.HasPrefix(msg, []byte(`{"class":"TPV"`)) && json.Unmarshal(msg, &m) == nil && m.Mode >= 2 {
		c.fixes = append(c.fixes, fix{at, m.Time})
	}
}

// drain returns the fixes so far and forgets them. The error is why no more will come.
func (c *client) drain() ([]fix, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.fixes
	c.fixes = nil
	return all, c.err
}

// lastMessage is when the last message came, of any class; zero before the first.
func (c *client) lastMessage() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *client) close() {
	_ = c.conn.Close()
	<-c.done
}

// watchGPSD connects as gpsd's clients do and asks for JSON.
func watchGPSD(ctx context.Context, addr string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, `?WATCH={"enable":true,"json":true};`+"\n"); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	lines := bufio.NewReaderSize(conn, 64<<10) // a message of satellites in view has 10 kB at the most
	return newClient(conn, func() ([]byte, error) { return lines.ReadSlice('\n') }), nil
}

// watchGroup joins the group of the device as a viewer. It asks for satellites too, because gpsd's clients get them.
func watchGroup(ctx context.Context, addr string) (*client, error) {
	ws, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+groupPath+"?sky=1", nil)
	if err != nil {
		return nil, err
	}
	return newClient(ws, func() ([]byte, error) {
		_, msg, err := ws.ReadMessage()
		return msg, err
	}), nil
}
