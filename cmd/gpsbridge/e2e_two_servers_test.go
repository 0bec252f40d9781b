package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

var pageOfRelay = regexp.MustCompile(`viewers: +http:`)

// twoServers is a daemon that delivers to a Django Channels server and to a relay.
type twoServers struct {
	t      *testing.T
	line   *realtest.Pty
	drive  course
	django *realtest.Server
	relay  *realtest.Process
	viewer *realtest.Member // at the relay, over its restarts
	daemon *daemon

	relayArgs, args []string
	fed             int // epochs
}

func newTwoServers(t *testing.T) *twoServers {
	s := &twoServers{
		t: t, line: realtest.OpenPty(t), django: realtest.StartDjango(t, realtest.Options{}),
		drive: course{start: time.Now().UTC().Truncate(time.Second), step: time.Second},
	}
	token, config := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "gpsbridge.toml")
	addr := fmt.Sprintf("127.0.0.1:%d", realtest.FreePort(t))
	s.relayArgs = []string{"relay", "--listen", addr, "--publish-token-file", token, "--history", "5000"}
	s.startRelay()
	s.viewer = realtest.Join(t, "ws://"+addr+"/ws/gps-tracking/"+deviceID+"/?history=5000")
	writeFile(t, config, fmt.Sprintf("[[uplink]]\nname = \"django\"\nserver = %q\n[[uplink]]\nname = \"relay\"\nserver = \"ws://%s\"\ntoken_file = %q\n[spool]\ndir = %q\nruntime = %q\n",
		s.django.URL(), addr, token, t.TempDir(), t.TempDir()))
	s.args = []string{"-c", config, "--device", s.line.Path() + "?baud=115200"}
	s.startDaemon()
	return s
}

func (s *twoServers) startRelay() {
	s.t.Helper()
	s.relay = start(s.t, gpsbridge(s.t, s.relayArgs...))
	if _, err := s.relay.WaitOutput(soon, pageOfRelay.MatchString); err != nil {
		s.t.Fatal(err)
	}
}

func (s *twoServers) startDaemon() {
	s.t.Helper()
	s.daemon = startDaemon(s.t, s.args...)
	s.daemon.waitOpen()
}

func (s *twoServers) feed(n int) {
	s.t.Helper()
	feedCourse(s.daemon, s.line, s.drive, s.fed, s.fed+n)
	s.fed += n
}

// await waits until so many messages wait for each server, and so many are held.
func (s *twoServers) await(what string, django, relay uint64, held int) observe.Status {
	s.t.Helper()
	return s.daemon.waitStatus(what, func(st observe.Status) bool {
		return st.Uplinks[0].Behind == django && st.Uplinks[1].Behind == relay && st.Spool.Records == held
	})
}

// judge checks that a server got every epoch, in order.
func (s *twoServers) judge(server string, got []delivered) {
	s.t.Helper()
	a := account{course: s.drive, must: slices.Repeat([]bool{true}, s.fed), processed: got}
	for _, wrong := range a.wrongs() {
		s.t.Errorf("%s: %s", server, wrong)
	}
}

// Each of two servers has acknowledgements of its own: one that hangs or is gone holds up neither the other nor what is kept
// for it, and a daemon that is killed goes on with each where that was.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	s := newTwoServers(t)
	s.feed(500)
	s.await("both servers to have everything", 0, 0, 0)

	s.django.Hang()
	s.feed(500)
	s.await("the relay to have what the other does not take", 500, 0, 500)
	s.daemon.Kill()
	s.startDaemon()
	s.feed(100)
	st := s.await("the relay to have what came after the restart", 600, 0, 600)
	if u := st.Uplinks[1]; u.Sent != 100 {
		t.Errorf("%d messages were sent to the relay after the restart, want the 100 that it did not have", u.Sent)
	}

	s.feed(2) // which the relay holds the acknowledgement of back
	s.viewer.WaitDistinct(s.fed, soon)
	s.relay.Kill()
	s.feed(100)
	s.django.Wake()
	s.daemon.waitStatus("the first server to have everything, with the relay gone", func(st observe.Status) bool {
		first, relay := st.Uplinks[0], st.Uplinks[1]
		return first.Behind == 0 && relay.Behind >= 100 && relay.Behind <= 102 && st.Spool.Records == int(relay.Behind)
	})
	s.daemon.Kill()
	s.startRelay()
	s.viewer.WaitJoined(2, soon)
	s.startDaemon()
	s.feed(100)
	st = s.await("both servers to have everything", 0, 0, 0)
	if u := st.Uplinks[0]; u.Sent != 100 {
		t.Errorf("%d messages were sent to the first server after the restart, want the 100 that it did not have", u.Sent)
	}

	s.judge("Django", journalled(t, s.django))
	var seen []delivered
	for _, message := range s.viewer.WaitDistinct(s.fed, soon) {
		m, err := unpack(message.Text)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, m)
	}
	s.judge("the relay", seen)
}
