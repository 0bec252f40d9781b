package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/relay"
)

// The tests of these files run the built program against real parts: pseudo-terminals, a Django Channels server,
// Redis, Chromium.

const (
	// soon bounds what takes a moment on a quiet machine, and may take minutes on one that has ten times as much to do as it can.
	soon = 4 * time.Minute
	// delivery bounds the way of thousands of fixes through Django: with Redis it takes some 500 to 1000 a second on a quiet machine.
	delivery = 10 * time.Minute
	// pollEvery is how often the program is asked for what it does not announce.
	pollEvery = 10 * time.Millisecond

	deviceID = "van_7"
)

// asProgram is the environment variable under which the test binary is gpsbridge. So the tests run the program that was
// compiled with them, by -race with its detector, and go test knows when a change calls for running them again.
const asProgram = "TEST_GPSBRIDGE_AS_PROGRAM"

// envProgram names another build of the program to test instead, with what runs it and its arguments before it:
// "qemu-aarch64-static /tmp/gpsbridge-arm64".
const envProgram = "TEST_GPSBRIDGE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main() // exits
	}
	realtest.Main(m)
}

// gpsbridge returns a run of the program that no setting of the caller's environment reaches.
func gpsbridge(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves out the tests that run the built program")
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := []string{path}
	if other := strings.Fields(os.Getenv(envProgram)); len(other) > 0 {
		program = other
	}
	cmd := exec.Command(program[0], slices.Concat(program[1:], args)...)
	cmd.Dir = "/"
	// The race detector would wait a second at the end, for reports that come late.
	cmd.Env = append(cmd.Env, asProgram+"=1", "GORACE=atexit_sleep_ms=50")
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GPSBRIDGE_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	return cmd
}

// start starts the program, and fails the test when the race detector has found anything.
func start(t *testing.T, cmd *exec.Cmd) *realtest.Process {
	t.Helper()
	p := realtest.Start(t, "gpsbridge", cmd)
	t.Cleanup(func() {
		if _, report, found := strings.Cut(p.Output(), "DATA RACE"); found {
			t.Errorf("the program has a data race:%.4000s", report)
		}
	})
	return p
}

// daemon is a running gpsbridge run with viewers on a port of its own.
type daemon struct {
	*realtest.Process
	t    *testing.T
	addr string // of the relay
	sent uint64 // bytes, to its receiver
}

// startDaemon starts gpsbridge run and waits until it serves viewers.
func startDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	return startDaemonCmd(t, gpsbridge(t, append([]string{"run", "--device-id", deviceID, "--listen", "127.0.0.1:0"}, args...)...))
}

var pageAddress = regexp.MustCompile(`page="?http://([^/]+)/`)

func startDaemonCmd(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{t: t, Process: start(t, cmd)}
	out, err := d.WaitOutput(soon, pageAddress.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	d.addr = pageAddress.FindStringSubmatch(out)[1]
	return d
}

// status asks the daemon what it is doing.
func (d *daemon) status() (observe.Status, error) {
	var st observe.Status
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.addr+"/api/v1/status", nil)
	if err != nil {
		return st, err
	}
	req.Close = true // no idle connection stays behind
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return st, fmt.Errorf("status: %s", resp.Status)
	}
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// waitStatus waits until the daemon's status satisfies reached.
func (d *daemon) waitStatus(what string, reached func(observe.Status) bool) observe.Status {
	d.t.Helper()
	deadline := time.After(soon)
	for pause := time.Millisecond; ; pause = min(2*pause, 5*pollEvery) {
		st, err := d.status()
		if err != nil {
			d.t.Fatal(err)
		}
		if reached(st) {
			return st
		}
		select {
		case <-time.After(pause):
		case <-deadline:
			d.t.Fatalf("waited %v for %s; status: %.2000s", soon, what, fmt.Sprintf("%+v", st))
		}
	}
}

// waitOpen waits until the daemon has opened its port: what is written before may be flushed by the opening.
func (d *daemon) waitOpen() {
	d.t.Helper()
	d.waitStatus("the port to be opened", func(st observe.Status) bool { return st.Receivers[0].Opens > 0 })
}

// send writes whole epochs, up to 32 KiB at a time, and waits until the daemon has read them. So much the terminal takes in
// one piece: a test that the machine holds up cannot hold up the line in the middle of an epoch, which would end it there.
func (d *daemon) send(line *realtest.Pty, epochs []byte) {
	d.t.Helper()
	n, err := line.Write(epochs)
	if err != nil {
		d.t.Fatal(err)
	}
	d.sent += uint64(n)
	d.waitStatus("the epochs to be read", func(st observe.Status) bool { return st.Receivers[0].Bytes >= d.sent })
}

// group joins the device's group at the daemon's own relay.
func (d *daemon) group() *realtest.Member {
	d.t.Helper()
	m := realtest.Join(d.t, "ws://"+d.addr+"/ws/gps-tracking/"+deviceID+"/")
	d.waitViewer()
	return m
}

// waitViewer waits until the relay counts a member of the group: that begins a moment after it has taken the connection.
func (d *daemon) waitViewer() {
	d.t.Helper()
	d.waitStatus("a viewer to be a member", func(st observe.Status) bool {
		return slices.ContainsFunc(st.Relay.Devices, func(g relay.DeviceStatus) bool { return g.DeviceID == deviceID && g.Viewers > 0 })
	})
}

// warnings returns the warnings and errors of the log.
func (d *daemon) warnings() []string {
	var lines []string
	for line := range strings.Lines(d.Output()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			lines = append(lines, line)
		}
	}
	return lines
}

// vehicle makes the sentences of a receiver at 10 Hz: RMC, GGA and GSA an epoch. Epoch i can be recognised by its message.
type vehicle struct {
	start time.Time
}

// newVehicle starts at a time of today: a receiver's date is never before the build of the program that reads it.
func newVehicle() vehicle {
	return vehicle{start: time.Now().UTC().Truncate(time.Hour)}
}

func (v vehicle) time(i int) time.Time {
	return v.start.Add(time.Duration(i) * 100 * time.Millisecond)
}

// lat is in degrees, a multiple of 1e-5 minutes, which is what the sentences carry.
func (v vehicle) lat(i int) float64 {
	return 51 + (30+float64(i)*1e-3)/60
}

// epochs returns the sentences of the epochs from to to-1.
func (v vehicle) epochs(from, to int) []byte {
	var b []byte
	for i := from; i < to; i++ {
		at := v.time(i)
		clock, position := at.Format("150405.00"), fmt.Sprintf("51%08.5f,N,00007.65700,W", 30+float64(i)*1e-3)
		b = appendSentence(b, "GNRMC,%s,A,%s,27.0,84.4,%s,,,A", clock, position, at.Format("020106"))
		b = appendSentence(b, "GNGGA,%s,%s,1,09,0.80,11.2,M,46.7,M,,", clock, position)
		b = appendSentence(b, "GNGSA,A,3,05,07,13,15,18,20,24,28,30,,,,1.36,0.80,1.10")
	}
	return b
}

func appendSentence(b []byte, format string, args ...any) []byte {
	body := fmt.Sprintf(format, args...)
	var sum byte
	for i := range len(body) {
		sum ^= body[i]
	}
	return fmt.Appendf(b, "$%s*%02X\r\n", body, sum)
}

// feed sends the epochs from to to-1 as fast as the daemon reads them. What fits into the terminal's buffer (n_tty, 4096 bytes) the
// kernel hands over at once; it passes more on piece by piece, and a busy machine makes pauses between them that end an epoch.
func (v vehicle) feed(d *daemon, line *realtest.Pty, from, to int) {
	d.t.Helper()
	const burst = 15
	for i := from; i < to; i += burst {
		d.send(line, v.epochs(i, min(i+burst, to)))
	}
}

// position is what the tests look at in a message.
type position struct {
	Seq  int       `json:"seq"`
	Mode int       `json:"mode"`
	Time time.Time `json:"time"`
	Lat  float64   `json:"lat"`
	Lon  float64   `json:"lon"`
}

// check finds what is wrong with a message that should be epoch i of the vehicle, seq being i+1.
func (v vehicle) check(got position) error {
	i := got.Seq - 1
	const tolerance = 1e-8 // degrees; 1 mm, a tenth of what the sentences resolve
	switch {
	case !got.Time.Equal(v.time(i)):
		return fmt.Errorf("seq %d has time %v, want %v", got.Seq, got.Time, v.time(i))
	case got.Mode != 3:
		return fmt.Errorf("seq %d has mode %d, want 3", got.Seq, got.Mode)
	case abs(got.Lat-v.lat(i)) > tolerance:
		return fmt.Errorf("seq %d has latitude %v, want %v", got.Seq, got.Lat, v.lat(i))
	}
	return nil
}

func abs(x float64) float64 {
	return max(x, -x)
}

// checkAll checks messages that should be the vehicle's first n epochs, in order, each once.
func (v vehicle) checkAll(t *testing.T, messages []realtest.Message, n int) {
	t.Helper()
	if len(messages) != n {
		t.Errorf("%d different messages, want %d", len(messages), n)
	}
	if err := realtest.Complete(messages); err != nil {
		t.Error(err)
	}
	for _, m := range messages {
		var p position
		err := json.Unmarshal(m.Text, &p)
		if err == nil {
			err = v.check(p)
		}
		if err != nil {
			t.Error(err)
			return // one is enough to see
		}
	}
}

// processed returns the different messages that a server's consumers have taken up, in the order of the first time.
func processed(t *testing.T, server *realtest.Server) []realtest.Message {
	t.Helper()
	texts, err := server.Processed()
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		run string
		seq uint64
	}
	seen := make(map[key]bool)
	var messages []realtest.Message
	for _, text := range texts {
		m := realtest.Message{Text: text}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		if k := (key{m.Run, m.Seq}); !seen[k] {
			seen[k] = true
			messages = append(messages, m)
		}
	}
	return messages
}

// waitProcessed waits until a server has taken up n different messages, and returns them.
func waitProcessed(t *testing.T, server *realtest.Server, n int) []realtest.Message {
	t.Helper()
	deadline := time.After(delivery)
	tick := time.NewTicker(10 * pollEvery) // each look reads the whole journal
	defer tick.Stop()
	for {
		messages := processed(t, server)
		if len(messages) >= n {
			return messages
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the server has %d of %d messages after %v", len(messages), n, delivery)
		}
	}
}
