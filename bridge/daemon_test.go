package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
	"gpsbridge/bridge/spool"
)

func TestMain(m *testing.M) { realtest.Main(m) }

// patience bounds a wait for something that takes milliseconds on an idle machine.
const patience = time.Minute

// recording writes a log of n epochs, ten a second, and returns its path.
func recording(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).Add(time.Duration(i) * 100 * time.Millisecond)
		minutes := 30 + float64(i)*0.0005
		b.WriteString(receivertest.Sentence("GPGGA,%s,51%07.4f,N,00007.5000,W,1,09,0.8,11.2,M,46.7,M,,", at.Format("150405.00"), minutes))
		b.WriteString(receivertest.Sentence("GPRMC,%s,A,51%07.4f,N,00007.5000,W,27.0,84.4,%s,,,A", at.Format("150405.00"), minutes, at.Format("020106")))
	}
	path := filepath.Join(t.TempDir(), "drive.nmea")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// logBuffer is a log that a test may read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a daemon that a test has started.
type running struct {
	*Daemon
	file config.File // its configuration
	log  *logBuffer
	stop context.CancelFunc
	done chan error
}

// start runs a daemon with a configuration that the test has changed; it is stopped with the test.
func start(t *testing.T, change func(*config.File)) *running {
	t.Helper()
	return startWith(t, ClockSynchronised, change)
}

// startWith is start on a machine whose clock is synchronised or not.
func startWith(t *testing.T, synchronised func() bool, change func(*config.File)) *running {
	t.Helper()
	f := config.Default()
	f.DeviceID, f.Relay.Listen = "van_7", "127.0.0.1:0"
	change(&f)
	c, err := f.Check()
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	d, err := newDaemon(c, synchronised, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Daemon: d, file: f, log: log, stop: stop, done: make(chan error, 1)}
	go func() {
		r.done <- d.Run(ctx)
		close(r.done)
	}()
	t.Cleanup(func() {
		stop()
		r.wait(t)
		if t.Failed() {
			t.Logf("log of the daemon:\n%s", log)
		}
	})
	return r
}

// wait returns when the daemon has ended.
func (r *running) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("the daemon runs on after %v", patience)
	}
}

// trackingServer runs the relay as a tracking server and returns an uplink to it and the group's address.
func trackingServer(t *testing.T) (config.UplinkSection, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if _, err := secret.ReadOrCreate(path); err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(config.Server{Config: relay.Config{Listen: "127.0.0.1:0"}, PublishTokenFile: path},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the tracking server ended with %v", err)
		}
	})
	return config.UplinkSection{Server: "ws://" + s.Addr(), Token: path}, "ws://" + s.Addr() + "/ws/gps-tracking/van_7/"
}

func TestRecordingReachesTheGroupWholeAndInOrder(t *testing.T) {
	t.Parallel()
	const n = 200 // fewer than a member's queue takes: one that is held up would rightly lose some of more
	uplink, group := trackingServer(t)
	uplink.Order = "oldest-first" // the recording is read before there is a connection
	member := realtest.Join(t, group)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "file:" + recording(t, n) + "?rate=0"}}
		c.Uplinks = []config.UplinkSection{uplink}
	})
	d.wait(t) // the recording ends, and with it the daemon, when all is acknowledged
	got := member.WaitDistinct(n, patience)
	if err := realtest.Complete(got); err != nil || len(got) != n {
		t.Errorf("%d messages, want %d: %v", len(got), n, err)
	}
	st := d.Status()
	if st.Spool.Records != 0 || st.Spool.Appended != n || st.Spool.Dropped != 0 {
		t.Errorf("spool at the end: %+v", st.Spool)
	}
	var last struct {
		Mode     int       `json:"mode"`
		Time     time.Time `json:"time"`
		Lat      float64   `json:"lat"`
		DeviceID string    `json:"device_id"`
	}
	if err := json.Unmarshal(got[n-1].Text, &last); err != nil {
		t.Fatal(err)
	}
	wantTime := time.Date(2026, 11, 23, 9, 0, 19, 900_000_000, time.UTC)
	if last.Mode != 3 || !last.Time.Equal(wantTime) || last.DeviceID != "van_7" || last.Lat < 51.501 || last.Lat > 51.502 {
		t.Errorf("the last fix is %s", got[n-1].Text)
	}
}

func TestStopAcknowledgesWhatWasSent(t *testing.T) {
	t.Parallel()
	uplink, group := trackingServer(t)
	member := realtest.Join(t, group)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "sim:?rate=25"}}
		c.Uplinks = []config.UplinkSection{uplink}
	})
	member.WaitDistinct(30, patience)
	d.stop()
	d.wait(t)
	st := d.Status()
	if st.Spool.Records != 0 || st.Uplinks[0].Acked != st.Spool.Appended {
		t.Errorf("%d of %d acknowledged, %d left", st.Uplinks[0].Acked, st.Spool.Appended, st.Spool.Records)
	}
	if got := member.WaitDistinct(int(st.Spool.Appended), patience); realtest.Complete(got) != nil {
		t.Error(realtest.Complete(got))
	}
}

func TestWithoutServerFixesWaitAndTheLossIsSaid(t *testing.T) {
	t.Parallel()
	const n = 20
	const address = "127.0.0.1:1"
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "file:" + recording(t, n) + "?rate=0"}}
		c.Uplinks = []config.UplinkSection{{Server: "ws://" + address}}
	})
	viewer := watchLocally(t, d)
	for viewer.seq < n {
		viewer.read(t)
	}
	if got := d.Status().Spool.Records; got != n {
		t.Errorf("%d fixes wait, want %d", got, n)
	}
	d.stop()
	d.wait(t)
	if !strings.Contains(d.log.String(), "not delivered are lost") || !strings.Contains(d.log.String(), fmt.Sprint("records=", n)) {
		t.Errorf("the loss of %d fixes is not in the log", n)
	}
}

// viewer is a member of the daemon's own relay, which has the fixes from before it joined.
type viewer struct {
	conn *websocket.Conn
	seq  uint64
}

func watchLocally(t *testing.T, d *running) *viewer {
	t.Helper()
	<-d.Ready()
	url := "ws://" + d.relay.Addr().String() + "/ws/gps-tracking/van_7/?history=600"
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return &viewer{conn: conn}
}

func (v *viewer) read(t *testing.T) {
	t.Helper()
	var msg struct {
		Seq uint64 `json:"seq"`
	}
	if err := v.conn.ReadJSON(&msg); err != nil {
		t.Fatalf("after message %d: %v", v.seq, err)
	}
	if msg.Seq != v.seq+1 {
		t.Fatalf("message %d after %d", msg.Seq, v.seq)
	}
	v.seq = msg.Seq
}

func TestTakenPortIsSaidAndTrackingGoesOn(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	uplink, group := trackingServer(t)
	member := realtest.Join(t, group)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "sim:?rate=10"}}
		c.Uplinks = []config.UplinkSection{uplink}
		c.Relay.Listen = taken.Addr().String()
	})
	member.WaitDistinct(5, patience)
	if log := d.log.String(); strings.Count(log, "no viewers can be served") != 1 || !strings.Contains(log, taken.Addr().String()) {
		t.Errorf("the log does not state once that the port is taken")
	}
}

func TestStatusSaysWhatGoesOn(t *testing.T) {
	t.Parallel()
	uplink, group := trackingServer(t)
	member := realtest.Join(t, group)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "sim:?rate=10"}}
		c.Uplinks = []config.UplinkSection{uplink}
	})
	member.WaitDistinct(15, patience)
	d.await(t, "acknowledgements", func(st observe.Status) bool { return st.Uplinks[0].Acked >= 10 })
	text, err := json.Marshal(d.Status())
	if err != nil {
		t.Fatal(err)
	}
	var st struct {
		Role      string `json:"role"`
		DeviceID  string `json:"device_id"`
		Receivers []struct {
			State string   `json:"state"`
			Mode  int      `json:"mode"`
			Fixes int      `json:"fixes"`
			Age   *float64 `json:"fix_age"`
			NSat  float64  `json:"nSat"`
		} `json:"receivers"`
		Uplinks []struct {
			State string `json:"state"`
			Ack   string `json:"ack"`
			Acked int    `json:"acked"`
		} `json:"uplinks"`
	}
	if err := json.Unmarshal(text, &st); err != nil || len(st.Receivers) != 1 || len(st.Uplinks) != 1 {
		t.Fatalf("status %s: %v", text, err)
	}
	r, u := st.Receivers[0], st.Uplinks[0]
	if st.Role != "tracker" || st.DeviceID != "van_7" || r.State != "reading" || r.Mode != 3 || r.Fixes < 15 ||
		r.Age == nil || r.NSat < 4 || u.State != "connected" || u.Ack != "echo" || u.Acked < 10 {
		t.Errorf("status %s", text)
	}
	if line := d.Status().Line(); !strings.HasPrefix(line, "3D fix ") || !strings.Contains(line, "messages acknowledged") {
		t.Errorf("line %q", line)
	}
	if err := observe.Health(d.Status()); err != nil {
		t.Errorf("not healthy: %v", err)
	}
}

func TestSatellitesGoToTheServerWhenConfigured(t *testing.T) {
	t.Parallel()
	uplink, group := trackingServer(t)
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), group+"?sky=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "sim:?rate=5"}}
		c.Uplinks = []config.UplinkSection{uplink}
		c.Report.Sky = true
	})
	for {
		var msg struct {
			Class      string            `json:"class"`
			DeviceID   string            `json:"device_id"`
			Satellites []json.RawMessage `json:"satellites"`
		}
		if err := conn.ReadJSON(&msg); err != nil {
			t.Fatal(err)
		}
		if msg.Class == "SKY" {
			if msg.DeviceID != "van_7" || len(msg.Satellites) < 4 {
				t.Errorf("%d satellites of device %q", len(msg.Satellites), msg.DeviceID)
			}
			break
		}
	}
	d.stop()
	d.wait(t)
	if st := d.Status(); st.Spool.Records != 0 {
		t.Errorf("%d messages were not acknowledged at the end", st.Spool.Records)
	}
}

func TestReceiverSettingsReachTheSentences(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "old.nmea")
	const old = "$GPRMC,090000.00,A,5130.0000,N,00007.5000,W,27.0,84.4,100407,,,A\r\n" // 1024 weeks before 2026-11-22
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	uplink, group := trackingServer(t)
	member, sent := realtest.Join(t, group), 0
	for _, test := range []struct {
		receiver    config.ReceiverSection
		fixes       uint64
		year, rolls int
	}{
		{config.ReceiverSection{}, 0, 0, 0},
		{config.ReceiverSection{AllowNoChecksum: true}, 1, 2007, 0},
		{config.ReceiverSection{AllowNoChecksum: true, Rollover: "correct"}, 1, 2026, 1},
	} {
		test.receiver.Source = "file:" + path + "?rate=0"
		d := start(t, func(c *config.File) {
			c.Receivers, c.Uplinks = []config.ReceiverSection{test.receiver}, []config.UplinkSection{uplink}
		})
		d.wait(t)
		st := d.Status().Receivers[0]
		if st.Fixes != test.fixes || st.Rollovers != test.rolls || st.NoChecksum != 1 {
			t.Errorf("%+v: %d fixes, %d rollovers, %d without checksum, want %d, %d, 1",
				test.receiver, st.Fixes, st.Rollovers, st.NoChecksum, test.fixes, test.rolls)
		}
		if test.fixes == 0 {
			continue
		}
		sent++
		var fix struct{ Time time.Time }
		if got := member.WaitDistinct(sent, patience); len(got) != sent || json.Unmarshal(got[sent-1].Text, &fix) != nil || fix.Time.Year() != test.year {
			t.Errorf("%+v: %d messages, the last is of %d, want %d and %d", test.receiver, len(got), fix.Time.Year(), sent, test.year)
		}
	}
}

func TestSpoolOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	const n = 50
	dir := t.TempDir()
	configure := func(server config.UplinkSection) func(*config.File) {
		server.Name = "fleet"
		return func(c *config.File) {
			c.Receivers = []config.ReceiverSection{{Source: "file:" + recording(t, n) + "?rate=0"}}
			c.Uplinks = []config.UplinkSection{server}
			c.Spool.Dir = filepath.Join(dir, "disk")
			c.Spool.Runtime = filepath.Join(dir, "tmpfs")
		}
	}
	first := start(t, configure(config.UplinkSection{Server: "ws://127.0.0.1:1"}))
	viewer := watchLocally(t, first)
	for viewer.seq < n {
		viewer.read(t)
	}

	f := config.Default()
	f.DeviceID = "van_7"
	configure(config.UplinkSection{Server: "ws://a.example"})(&f)
	c, err := f.Check()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, slog.New(slog.DiscardHandler)); problem.CodeOf(err) != spool.CodeInUse {
		t.Errorf("a second daemon with the same spool: %v, want %s", err, spool.CodeInUse)
	}

	first.stop()
	first.wait(t)
	if !strings.Contains(first.log.String(), "kept for the next start") {
		t.Error("the log does not state that fixes are kept")
	}
	uplink, group := trackingServer(t)
	member := realtest.Join(t, group)
	second := start(t, configure(uplink))
	second.wait(t)
	runs := map[string]int{}
	for _, m := range member.WaitDistinct(2*n, patience) {
		runs[m.Run]++
	}
	if runs[first.Status().Devices[0].Run] != n || runs[second.Status().Devices[0].Run] != n {
		t.Errorf("messages by run %v, want %d of each of two", runs, n)
	}
}

// TestFixesGoToTheDeviceIDTheyWereMadeFor has the device ID changed while fixes wait.
func TestFixesGoToTheDeviceIDTheyWereMadeFor(t *testing.T) {
	t.Parallel()
	const n = 30
	dir := t.TempDir()
	configure := func(id, source string, server config.UplinkSection) func(*config.File) {
		server.Name = "fleet"
		return func(f *config.File) {
			f.DeviceID = id
			f.Receivers = []config.ReceiverSection{{Source: source}}
			f.Uplinks = []config.UplinkSection{server}
			f.Spool.Dir, f.Spool.Runtime = filepath.Join(dir, "disk"), filepath.Join(dir, "tmpfs")
		}
	}
	first := start(t, configure("van_7", "file:"+recording(t, n)+"?rate=0", config.UplinkSection{Server: "ws://127.0.0.1:1"}))
	first.await(t, "fixes that wait", func(st observe.Status) bool { return st.Spool.Records == n })
	first.stop()
	first.wait(t)

	foreign := filepath.Join(dir, "disk", "notes")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	uplink, group := trackingServer(t)
	old, now := realtest.Join(t, group), realtest.Join(t, strings.Replace(group, "van_7", "van_8", 1))
	pty := realtest.OpenPty(t)
	second := start(t, configure("van_8", pty.Path()+"?baud=9600", uplink))
	second.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 }) // what comes before may be flushed
	if _, err := pty.Write(receivertest.Epoch(1, true)); err != nil {
		t.Fatal(err)
	}
	for id, m := range map[string]struct {
		member *realtest.Member
		n      int
	}{"van_7": {old, n}, "van_8": {now, 1}} {
		got := m.member.WaitDistinct(m.n, patience)
		for _, message := range got {
			if !bytes.Contains(message.Text, []byte(`"device_id":"`+id+`"`)) {
				t.Errorf("the group of %s has %s", id, message.Text)
			}
		}
		if len(got) != m.n {
			t.Errorf("%d messages in the group of %s, want %d", len(got), id, m.n)
		}
	}
	second.await(t, "end of the former device", func(st observe.Status) bool { return len(st.Uplinks) == 1 && len(st.Devices) == 1 })
	if files, err := os.ReadDir(foreign); err != nil || len(files) > 0 {
		t.Errorf("a directory that is not a spool has %v (%v)", files, err)
	}
	for _, want := range []string{"they are sent to its own group\" device_id=van_7 records=30", "are delivered\" device_id=van_7"} {
		if !strings.Contains(second.log.String(), want) {
			t.Errorf("the log has no %s", want)
		}
	}
}

func TestSpoolThatCannotBeUsedIsSaidAndTrackingGoesOn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const n = 10
	uplink, group := trackingServer(t)
	member := realtest.Join(t, group)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: "file:" + recording(t, n) + "?rate=0"}}
		c.Uplinks = []config.UplinkSection{uplink}
		c.Spool.Dir = filepath.Join(file, "spool")
	})
	member.WaitDistinct(n, patience)
	if log := d.log.String(); strings.Count(log, "cannot be used, fixes are held in memory") != 1 || !strings.Contains(log, file) {
		t.Error("the log does not state once that the directory cannot be used")
	}
}

// TestHealthSaysWhereTheChainStands has no server, then no receiver.
func TestHealthSaysWhereTheChainStands(t *testing.T) {
	t.Parallel()
	uplink, _ := trackingServer(t)
	pty := realtest.OpenPty(t)
	d := start(t, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}}
		c.Uplinks = []config.UplinkSection{uplink, {Name: "gone", Server: "ws://127.0.0.1:1"}}
	})
	d.await(t, "a failed attempt", func(st observe.Status) bool {
		return st.Receivers[0].Opens == 1 && st.Uplinks[0].State == "connected" && st.Uplinks[1].Problem != nil
	})
	unhealthy := func(want ...string) {
		t.Helper()
		err := observe.Health(d.Status())
		if err == nil || strings.Count(err.Error(), "\n")+1 != len(want) {
			t.Fatalf("health %v, want %q", err, want)
		}
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(err.Error()) {
				t.Errorf("health %v, want %q", err, w)
			}
		}
	}
	const gone = `uplink gone: (waiting|connecting) \(connection refused` // it tries again and again
	unhealthy("no epochs: receiver", gone)
	if _, err := pty.Write(receivertest.Epoch(0, false)); err != nil { // no fix, and a message all the same
		t.Fatal(err)
	}
	d.await(t, "an epoch", func(st observe.Status) bool { return st.Receivers[0].Fixes == 1 })
	unhealthy(gone)
}
