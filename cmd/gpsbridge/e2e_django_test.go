package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

// fixes is how many fixes have to arrive without one missing.
const fixes = 3000

// servers runs a test with Daphne and either channel layer, one after the other: the machine is busy with one.
func servers(t *testing.T, f func(t *testing.T, server *realtest.Server)) {
	t.Run("in memory", func(t *testing.T) { f(t, realtest.StartDjango(t, realtest.Options{})) })
	t.Run("Redis", func(t *testing.T) { f(t, realtest.StartDjango(t, realtest.Options{Layer: realtest.Redis})) })
}

// startInOrder starts a daemon whose fixes keep their order over every outage.
func startInOrder(t *testing.T, line *realtest.Pty, server *realtest.Server) *daemon {
	t.Helper()
	config := filepath.Join(t.TempDir(), "gpsbridge.toml")
	text := fmt.Sprintf("[[uplink]]\nserver = %q\norder = \"oldest-first\"\n", server.URL())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startDaemon(t, "-c", config, "--device", line.Path()+"?baud=115200")
}

// reaches feeds a drive, and checks that all of it arrives, compressed or not.
func reaches(t *testing.T, server *realtest.Server, compressed bool) {
	line, v := realtest.OpenPty(t), newVehicle()
	member := realtest.Join(t, server.GroupURL(deviceID))
	d := startInOrder(t, line, server)
	d.waitOpen()
	v.feed(d, line, 0, fixes)
	v.checkAll(t, member.WaitDistinct(fixes, delivery), fixes)

	st := d.waitStatus("everything to be acknowledged", func(st observe.Status) bool { return st.Uplinks[0].Acked == fixes })
	if st.Spool.Dropped != 0 || st.Spool.Records != 0 || st.Uplinks[0].Ack != "echo" {
		t.Errorf("%d dropped, %d waiting, acknowledged by %s; want none, none, echo",
			st.Spool.Dropped, st.Spool.Records, st.Uplinks[0].Ack)
	}
	if u := st.Uplinks[0]; u.Compressed != compressed || compressed != (u.SentBytes < fixes*100) {
		t.Errorf("%d bytes sent, compressed %t, want %t", u.SentBytes, u.Compressed, compressed)
	}
}

func TestEveryFixReachesTheGroup(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *realtest.Server) { reaches(t, server, false) }) // Daphne declines
	t.Run("Uvicorn with Redis", func(t *testing.T) {
		reaches(t, realtest.StartDjango(t, realtest.Options{Layer: realtest.Redis, Server: realtest.Uvicorn}), true)
	})
}

func TestEveryFixReachesHypercorn(t *testing.T) {
	t.Parallel()
	reaches(t, realtest.StartDjango(t, realtest.Options{Server: realtest.Hypercorn}), true)
}

// The fixes of a second in which the server is killed are on their way, in its memory or in the daemon's: those that
// it has not acknowledged must come again.
func TestEveryFixReachesAServerThatIsKilled(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *realtest.Server) {
		line, v := realtest.OpenPty(t), newVehicle()
		member := realtest.Join(t, server.GroupURL(deviceID))
		d := startInOrder(t, line, server)
		d.waitOpen()
		v.feed(d, line, 0, 1000)
		member.WaitDistinct(900, delivery)
		v.feed(d, line, 1000, 1200)
		member.WaitDistinct(1001, delivery)
		server.Kill() // in the middle of 200
		v.feed(d, line, 1200, 2000)
		server.Restart()
		member.WaitJoined(2, soon)
		v.feed(d, line, 2000, fixes)

		v.checkAll(t, waitProcessed(t, server, fixes), fixes)
		if st := d.waitStatus("everything to be acknowledged", func(st observe.Status) bool { return st.Spool.Records == 0 }); st.Spool.Dropped != 0 {
			t.Errorf("%d dropped", st.Spool.Dropped)
		}
		checkAfterRejoin(t, member)
	})
}

// checkAfterRejoin checks that the member, once back, missed nothing: its messages run without a gap to the last.
func checkAfterRejoin(t *testing.T, member *realtest.Member) {
	t.Helper()
	member.WaitDistinct(1, soon)
	var seqs []uint64
	for _, m := range member.Messages() {
		if m.Join > 1 {
			seqs = append(seqs, m.Seq)
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	if len(seqs) == 0 || seqs[len(seqs)-1] != fixes || seqs[len(seqs)-1]-seqs[0] != uint64(len(seqs)-1) {
		t.Errorf("after rejoining the member got %d different messages, not all up to seq %d", len(seqs), fixes)
	}
}

// A recorded log, played over and over, comes out as decode prints it, whatever lies between: terminal, daemon, server,
// Python's JSON.
func TestRecordedLogReachesTheGroup(t *testing.T) {
	t.Parallel()
	log := readFile(t, filepath.Join(realtest.CorpusDir(t), "quectel-l76k-nmea.log"))
	const times = 7 // 150 fixes each
	drive := bytes.Repeat(log, times)
	decode := gpsbridge(t, "decode")
	decode.Stdin = bytes.NewReader(drive)
	decoded, err := decode.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []map[string]any
	for text := range bytes.Lines(decoded) {
		want = append(want, members(t, text))
	}
	if len(want) < 1000 {
		t.Fatalf("decode printed %d fixes, want at least 1000", len(want))
	}
	const atOnce = 2000 // one or two epochs: see vehicle.feed
	servers(t, func(t *testing.T, server *realtest.Server) {
		line := realtest.OpenPty(t)
		member := realtest.Join(t, server.GroupURL(deviceID))
		d := startInOrder(t, line, server)
		d.waitOpen()
		for _, epochs := range cycles(drive, "$GNGGA,", atOnce) {
			d.send(line, epochs)
		}
		messages := member.WaitDistinct(len(want), delivery)
		if err := realtest.Complete(messages); err != nil {
			t.Error(err)
		}
		if len(messages) != len(want) {
			t.Fatalf("%d messages, decode printed %d", len(messages), len(want))
		}
		cut := 0 // epochs: a busy machine makes a pause in one now and then, and what comes after it is missing
		for i, m := range messages {
			got, whole := members(t, m.Text), maps.Clone(want[i])
			if len(got) < len(whole) {
				cut++
				maps.DeleteFunc(whole, func(name string, _ any) bool { _, has := got[name]; return !has })
			}
			if diff := cmp.Diff(whole, got); diff != "" {
				t.Fatalf("message %d of %d differs from decode (-decode +group):\n%s", i+1, len(want), diff)
			}
		}
		if cut > len(want)/100 {
			t.Errorf("%d of %d messages lack what decode prints", cut, len(want))
		}
	})
}

// cycles cuts a log into pieces of at most about size bytes that begin with the sentence that begins an epoch.
func cycles(log []byte, first string, size int) [][]byte {
	var pieces [][]byte
	for len(log) > size {
		cut := bytes.LastIndex(log[:size], []byte(first))
		if cut <= 0 {
			break
		}
		pieces = append(pieces, log[:cut])
		log = log[cut:]
	}
	return append(pieces, log)
}

// members returns the members of a message without those that identify the sender. Of the time it keeps the place within
// 1024 weeks: the daemon moves the date of an old recording by GPS week rollovers, decode does not.
func members(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, name := range []string{"device_id", "run", "seq"} {
		delete(m, name)
	}
	if stamp, ok := m["time"].(string); ok {
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		m["time"] = at.UnixMilli() % (1024 * 7 * 24 * time.Hour).Milliseconds()
	}
	return m
}

func TestInterruptDeliversWhatWasRead(t *testing.T) {
	server, line, v := realtest.StartDjango(t, realtest.Options{}), realtest.OpenPty(t), newVehicle()
	d := startInOrder(t, line, server)
	d.waitOpen()
	v.feed(d, line, 0, 500)
	d.waitStatus("acknowledgements", func(st observe.Status) bool { return st.Spool.Records == 0 && st.Uplinks[0].Acked > 400 })
	v.feed(d, line, 500, 510) // not more than a server takes in the moment that the daemon waits, however busy the machine is
	read := d.waitStatus("fixes", func(st observe.Status) bool { return st.Receivers[0].Fixes >= 509 }).Receivers[0].Fixes

	d.Signal(syscall.SIGINT)
	if code, err := d.Exit(soon); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v; want %d", code, err, exitDone)
	}
	got := processed(t, server)
	if len(got) < int(read) {
		t.Errorf("the server has %d messages of the %d that were made before the signal", len(got), read)
	}
	v.checkAll(t, got, len(got))
	if out := d.Output(); strings.Contains(out, "lost") {
		t.Errorf("the log reports a loss:\n%s", out)
	}
}

// startUnanswered starts a daemon whose server hangs with fixes on the way.
func startUnanswered(t *testing.T) *daemon {
	t.Helper()
	server, line, v := realtest.StartDjango(t, realtest.Options{}), realtest.OpenPty(t), newVehicle()
	d := startInOrder(t, line, server)
	d.waitStatus("a connection", func(st observe.Status) bool { return st.Uplinks[0].State == "connected" })
	d.waitOpen()
	server.Hang()
	v.feed(d, line, 0, 10)
	d.waitStatus("fixes on the way", func(st observe.Status) bool { return st.Uplinks[0].Outstanding > 0 })
	return d
}

func TestInterruptWithAServerThatHangs(t *testing.T) {
	d := startUnanswered(t)
	d.Signal(syscall.SIGINT)
	if code, err := d.Exit(soon); err != nil || code != exitDone {
		t.Errorf("exit code %d, %v; want %d", code, err, exitDone)
	}
	if out := d.Output(); !strings.Contains(out, "not delivered") {
		t.Errorf("the log does not report the fixes that were not delivered:\n%s", out)
	}
}

// TestSecondInterruptEndsAtOnce: the first one has the daemon wait 2.5 s for acknowledgements. A machine that holds the test up for
// longer than that lets it end by itself, and the attempt is no use.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	const attempts = 5
	for range attempts {
		d := startUnanswered(t)
		d.Signal(syscall.SIGINT)
		// The intake has ended, so the first signal was taken and the daemon waits for acknowledgements.
		if _, err := d.WaitOutput(soon, func(out string) bool { return strings.Contains(out, "receiver ended") }); err != nil {
			t.Fatal(err)
		}
		// A moment later the signal kills, as it does to any program: a person who presses again is not quicker than that, a
		// test can be.
		var code int
		err := errors.New("not asked")
		for deadline := time.Now().Add(soon); err != nil && time.Now().Before(deadline); {
			d.Signal(syscall.SIGINT)
			code, err = d.Exit(pollEvery)
		}
		if err != nil {
			t.Fatal(err)
		}
		if code == -1 { // ended by the signal
			return
		}
		if !strings.Contains(d.Output(), "not delivered") {
			t.Fatalf("exit code %d, and no wait for acknowledgements", code)
		}
	}
	t.Errorf("in %d attempts no interrupt ended the wait for acknowledgements", attempts)
}
