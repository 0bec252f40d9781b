package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

const (
	// linkPing is uplink.ping of the daemon whose link dies.
	linkPing = time.Second
	// linkFound bounds the wait for the daemon to notice. It waits 10 s for a pong and as long for the write of a frame; TCP alone
	// would go on for a quarter of an hour.
	linkFound = 3 * time.Minute
	// beforeDrop is how many fixes have arrived before the link dies: it has been in use.
	beforeDrop = 20
	// linkRate is the daemon's, in fixes a second.
	linkRate = 5
	// sentAgain is within how long TCP sends again what was not answered for some ten seconds: the pause doubles each time.
	sentAgain = 15 * time.Second
)

// TestHalfOpenLinkIsFound runs the daemon on a host of a real network, and has the router drop its packets: no end
// notices, and TCP would go on for a quarter of an hour.
func TestHalfOpenLinkIsFound(t *testing.T) {
	for _, way := range []realtest.Way{realtest.Both, realtest.ToClient} {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel() // each mostly waits
			halfOpen(t, way)
		})
	}
}

func halfOpen(t *testing.T, way realtest.Way) {
	server := realtest.StartDjango(t, realtest.Options{})
	router := realtest.StartRouter(t, strings.TrimPrefix(server.URL(), "ws://"))
	config := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, config, fmt.Sprintf("[[uplink]]\nserver = \"ws://%s\"\nping = %q\n", router.Addr(), linkPing))
	d := startDaemonCmd(t, router.AtClient(gpsbridge(t, "run", "-c", config, "--device-id", deviceID, "--listen", "127.0.0.1:0", "--device", fmt.Sprintf("sim:?rate=%d", linkRate))))
	waitProcessed(t, server, beforeDrop)

	router.Drop(way)
	dropped := time.Now()
	out, err := d.WaitOutput(linkFound, func(out string) bool { return strings.Contains(out, "connection lost") })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("packets dropped %s: found after %.1f s, ping being %v and the wait for its pong 10 s", way, time.Since(dropped).Seconds(), linkPing)
	if !strings.Contains(out, "the link is dead") {
		t.Error("the log does not report that the link is dead")
	}
	// The server's side has seen nothing of that, and its connection stands when packets pass again.
	router.Restore()
	if _, err := d.WaitOutput(soon, func(out string) bool { return strings.Count(out, "msg=connected") > 1 }); err != nil {
		t.Fatal(err)
	}
	<-time.After(sentAgain)
	waitProcessed(t, server, beforeDrop+int(linkRate*time.Since(dropped).Seconds()))
	d.Signal(syscall.SIGTERM)
	if code, err := d.Exit(soon); err != nil || code != exitDone {
		t.Errorf("exit code %d, %v; want %d", code, err, exitDone)
	}
	a := account{processed: journalled(t, server)}
	sent := first(a.asSent())
	for run, got := range first(a.processed) {
		last := slices.MaxFunc(got, func(a, b delivered) int { return cmp.Compare(a.Seq, b.Seq) }).Seq
		for _, wrong := range append(a.gaps(run, last, got), order(run, sent[run])...) {
			t.Error(wrong)
		}
		t.Logf("%d fixes, %d repeats", last, len(a.processed)-len(got))
	}
	if n := a.stale(); n > 0 {
		t.Errorf("%d messages came over the connection that had been given up, after those of the next", n)
	}
}

// TestPathThatDropsLargePackets: the ClientHello of TLS does not fit into a packet that the path carries, and nothing
// reports it. Smaller segments pass.
func TestPathThatDropsLargePackets(t *testing.T) {
	t.Parallel()
	server := realtest.StartDjango(t, realtest.Options{})
	front, authority := realtest.StartTLS(t, strings.TrimPrefix(server.URL(), "ws://"), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	router := realtest.StartRouter(t, front.Addr())
	router.Limit(1300)
	config := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, config, fmt.Sprintf("[[uplink]]\nserver = \"wss://%s\"\nca_file = %q\nconnect_timeout = \"3s\"\n", router.Addr(), authority))
	d := startDaemonCmd(t, router.AtClient(gpsbridge(t, "run", "-c", config, "--device-id", deviceID, "--listen", "127.0.0.1:0", "--device", fmt.Sprintf("sim:?rate=%d", linkRate))))
	waitProcessed(t, server, beforeDrop)
	if out := d.Output(); !strings.Contains(out, "cannot connect") {
		t.Error("the first handshake was answered: the path dropped nothing")
	}
}

// stale counts the messages that came over an older connection than one before them did.
func (a account) stale() (n int) {
	var newest int64
	for _, m := range a.processed {
		if m.Connection < newest {
			n++
		}
		newest = max(newest, m.Connection)
	}
	return n
}

// TestCertificateAtTheReceiversTime runs the daemon on a machine whose clock is a year slow, as far as receiver, server
// and certificates differ from it: they are all a year ahead of it.
func TestCertificateAtTheReceiversTime(t *testing.T) {
	t.Parallel()
	if state, err := unix.Adjtimex(&unix.Timex{}); err != nil || state != unix.TIME_ERROR {
		t.Skip("this machine's clock is synchronised: the daemon believes it, whatever the receiver states")
	}
	const day = 24 * time.Hour
	ahead := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Hour)
	for _, test := range []struct {
		name        string
		from, until time.Time
		refused     string
	}{
		{"valid", ahead.Add(-30 * day), ahead.Add(30 * day), ""},
		{"expired", ahead.Add(-300 * day), ahead.Add(-30 * day), "expired on " + ahead.Add(-30*day).Format(time.DateOnly)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, line := realtest.StartDjango(t, realtest.Options{}), realtest.OpenPty(t)
			front, authority := realtest.StartTLS(t, strings.TrimPrefix(server.URL(), "ws://"), test.from, test.until)
			config := filepath.Join(t.TempDir(), "gpsbridge.toml")
			writeFile(t, config, fmt.Sprintf("[[uplink]]\nserver = \"wss://%s\"\nca_file = %q\norder = \"oldest-first\"\n", front.Addr(), authority))
			d := startDaemon(t, "-c", config, "--device", line.Path()+"?baud=115200")
			d.waitOpen()
			v := vehicle{start: ahead}
			v.feed(d, line, 0, 20)
			if test.refused == "" {
				v.checkAll(t, waitProcessed(t, server, 20), 20)
			}
			st := d.waitStatus("the receiver's time to count", func(st observe.Status) bool {
				u := st.Uplinks[0]
				return u.Clock == "receiver" && (u.State == "connected" || u.State == "waiting")
			}).Uplinks[0]
			if (st.State == "connected") != (test.refused == "") || !strings.Contains(fmt.Sprint(st.Problem), test.refused) {
				t.Errorf("%s, problem %v; want %q in it", st.State, st.Problem, test.refused)
			}
		})
	}
}

// TestInterruptWithoutAServer: a recording is worked off for as long as it takes to deliver it, and who does not want to
// wait for a server that is not there presses Ctrl-C.
func TestInterruptWithoutAServer(t *testing.T) {
	v, log := newVehicle(), filepath.Join(t.TempDir(), "drive.nmea")
	writeFile(t, log, string(v.epochs(0, 100)))
	d := startDaemon(t, "--device", "file:"+log+"?rate=0", "--server", fmt.Sprintf("ws://127.0.0.1:%d", realtest.FreePort(t)))
	d.waitStatus("the recording to be read", func(st observe.Status) bool { return st.Spool.Records == 100 })
	if _, err := d.Exit(time.Second); err == nil {
		t.Fatal("it ended by itself, with nothing delivered")
	}
	d.Signal(syscall.SIGINT)
	if code, err := d.Exit(soon); err != nil || code != exitDone {
		t.Errorf("exit code %d, %v; want %d", code, err, exitDone)
	}
	var said []string
	for line := range strings.Lines(d.Output()) {
		if strings.Contains(line, "not delivered") {
			said = append(said, line)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "records=100") {
		t.Errorf("%d lines report what is left, want one with records=100: %q\n%s", len(said), said, d.Output())
	}
}
