package realtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"gpsbridge/bridge/realtest/django"
	"gpsbridge/bridge/realtest/program"
)

// Layer is the channel layer of a [Server]: what carries a message from one connection to the others.
type Layer int

const (
	// InMemory keeps groups in the server process, and they die with it.
	InMemory Layer = iota
	// Redis keeps groups in Redis (channels_redis, its default layer).
	Redis
	// RedisPubSub sends messages over Redis' channels (channels_redis.pubsub).
	RedisPubSub
)

// ASGI is the program that serves the application.
type ASGI int

const (
	// Daphne is the server of the Channels project.
	Daphne ASGI = iota
	// Uvicorn runs with the websockets library.
	Uvicorn
	// Hypercorn speaks WebSocket through wsproto.
	Hypercorn
)

// Options choose which tracking server [StartDjango] starts. The zero value is Daphne with the in-memory layer.
type Options struct {
	Layer    Layer
	Server   ASGI
	RedisURL string // as the relay has it; with a Layer in Redis and no URL a Redis is started for this server
	Refuse   bool   // close every WebSocket before accepting it: the client sees HTTP 403
	Host     string // the one host whose pages may open a WebSocket (ALLOWED_HOSTS and its Origin validator); "" for any
	Token    string // close a WebSocket without it in Authorization before accepting it; "" for none
	Device   string // close the WebSocket of any other device ID with 4403 once it is accepted; "" for none
	Short    bool   // acknowledge in short to trackers that ask
	Store    bool   // the project's own consumer, with a database and tokens, in place of the plain one with a journal
	At       *Host  // where its programs run; nil for this machine
}

// Server is a running tracking server of bridge/django on a port of its own, with the route ws/gps-tracking/DEVICE_ID/.
type Server struct {
	t       testing.TB
	options Options
	dir     string // holds the database or the journal
	port    int
	addr    string   // where this machine reaches it
	env     []string // beside this process's
	process *Process
}

// StartDjango starts a tracking server and returns when it accepts connections. It needs what the options name, as
// [Need] does, and the server is killed when the test ends.
func StartDjango(t testing.TB, o Options) *Server {
	t.Helper()
	Need(t, Django)
	switch o.Server {
	case Uvicorn:
		Need(t, UvicornServer)
	case Hypercorn:
		Need(t, HypercornServer)
	}
	if o.Layer != InMemory {
		Need(t, ChannelsRedis)
		if o.RedisURL == "" {
			o.RedisURL = StartRedis(t).URL()
		}
	}
	s := &Server{t: t, options: o, dir: t.TempDir(), port: FreePort(t)}
	s.addr = hostPort(s.port)
	if o.At != nil {
		s.addr = o.At.Forward(s.addr).Addr()
	}
	values := map[string]string{"TRACKING_HOSTS": o.Host, "TEST_TOKEN": o.Token, "TEST_DEVICE": o.Device, "TRACKING_CONSUMER": "journal.JournalConsumer"}
	if o.Layer != InMemory {
		values["TRACKING_REDIS_URL"] = o.RedisURL
		values["TRACKING_LAYER"] = map[Layer]string{Redis: "core", RedisPubSub: "pubsub"}[o.Layer]
	}
	if o.Refuse {
		values["TEST_REFUSE"] = "1"
	}
	if o.Short {
		values["TRACKING_SHORT_ACKS"] = "1"
	}
	if o.Store {
		delete(values, "TRACKING_CONSUMER")
	}
	for name, value := range values {
		if value != "" {
			s.env = append(s.env, name+"="+value)
		}
	}
	if o.Store {
		s.Manage("migrate", "--verbosity=0")
	}
	s.start()
	return s
}

func (s *Server) start() {
	s.t.Helper()
	name := "Daphne"
	cmd, err := django.Daphne(s.dir, s.port)
	switch s.options.Server {
	case Hypercorn:
		name = "Hypercorn"
		cmd, err = django.Run(s.dir, "-m", "hypercorn", "--bind", hostPort(s.port), "tracking.asgi:application")
	case Uvicorn:
		name = "Uvicorn"
		cmd, err = django.Run(s.dir, "-m", "uvicorn", "--ws", "websockets", "--host", "127.0.0.1", "--port", strconv.Itoa(s.port),
			"tracking.asgi:application")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = Start(s.t, name, s.at(cmd))
	// Both load the application before they listen, so a connection accepted is a server that can serve.
	if err := s.process.Await(s.t.Context(), startTimeout, s.listens); err != nil {
		s.t.Fatal(err)
	}
}

// at has a program of the project run with the server's settings where the server runs.
func (s *Server) at(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, s.env...)
	if s.options.At != nil {
		return s.options.At.Command(cmd)
	}
	return cmd
}

// listens returns why the server does not accept connections.
func (s *Server) listens() error {
	if s.options.At == nil {
		return program.Listens(s.port)()
	}
	c, err := s.options.At.Dial(s.t.Context(), "tcp", hostPort(s.port))
	if err != nil {
		return err
	}
	return c.Close()
}

// URL returns the server's address, ws://127.0.0.1:PORT, without a path.
func (s *Server) URL() string {
	return "ws://" + s.addr
}

// GroupURL returns the address of a device's tracking group.
func (s *Server) GroupURL(deviceID string) string {
	return s.URL() + "/ws/gps-tracking/" + deviceID + "/"
}

// Kill ends the server with SIGKILL, as a crash or the kernel out of memory would.
func (s *Server) Kill() {
	s.process.Kill()
}

// Hang stops the server without closing anything (SIGSTOP): connections stay open and nothing answers, as with a machine
// out of memory or a network that swallows packets. Wake ends that.
func (s *Server) Hang() {
	s.process.Signal(syscall.SIGSTOP)
}

// Wake lets a server go on that Hang has stopped.
func (s *Server) Wake() {
	s.process.Signal(syscall.SIGCONT)
}

// Stop ends the server with SIGTERM, as a deployment does. One that stays is killed after a minute and fails the test.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.process.Stop(stopTimeout); err != nil {
		s.t.Error(err)
	}
}

// Terminate sends SIGTERM and does not wait for the end: it may last, and the server has stopped listening meanwhile.
func (s *Server) Terminate() {
	s.process.Signal(syscall.SIGTERM)
}

// Restart kills the server if it still runs, and starts it again on the same port.
func (s *Server) Restart() {
	s.t.Helper()
	s.process.Kill()
	s.start()
}

// Manage runs a command of the project's manage.py and returns what it printed on stdout.
func (s *Server) Manage(args ...string) string {
	s.t.Helper()
	cmd, err := django.Run(s.dir, append([]string{"manage.py"}, args...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd = s.at(cmd)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("manage.py %q: %v: %s", args, err, complaint.String())
	}
	return strings.TrimSpace(string(out))
}

// Run starts a command of the project's manage.py that does not end by itself, beside the server.
func (s *Server) Run(args ...string) *Process {
	s.t.Helper()
	cmd, err := django.Run(s.dir, append([]string{"manage.py"}, args...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return Start(s.t, "manage.py "+args[0], s.at(cmd))
}

// Rows returns the stored fixes of a device, by run and seq, each as often as it is stored. It needs Options.Store.
func (s *Server) Rows(deviceID string) []Message {
	s.t.Helper()
	text := s.Manage("shell", "--command", fmt.Sprintf(`import json; from tracking.models import Fix
print(json.dumps(list(Fix.objects.filter(device_id=%q).order_by("run", "seq").values("run", "seq"))))`, deviceID))
	var rows []Message
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		s.t.Fatalf("read the rows: %v: %q", err, text)
	}
	return rows
}

// Taken is a message that a server's consumer has processed, as Python serialised it.
type Taken struct {
	Connection int64 // over which it came: when that began, in nanoseconds of Unix time
	Message    json.RawMessage
}

// Processed returns every message that the server's consumers have processed so far, in their order, over all restarts and
// with repeats. It is what a client may call delivered.
func (s *Server) Processed() ([]json.RawMessage, error) {
	taken, err := s.Taken()
	messages := make([]json.RawMessage, len(taken))
	for i, m := range taken {
		messages[i] = m.Message
	}
	return messages, err
}

// Taken returns what Processed returns, and over which connection each message came. Frames of a connection that has
// broken may still be waiting in the server while those of the next are processed.
func (s *Server) Taken() ([]Taken, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, "processed.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Taken
	for line := range bytes.Lines(data) {
		if line[len(line)-1] != '\n' {
			break // being written
		}
		connection, text, _ := bytes.Cut(line, []byte(" "))
		since, err := strconv.ParseInt(string(connection), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		all = append(all, Taken{since, bytes.TrimSpace(text)})
	}
	return all, nil
}
