package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

const (
	// aDay is so many hours at one fix a second.
	aDay = hoursOffline * 60 * 60
	// liveEvery is the pace of the fixes that are made while the day drains.
	liveEvery = 100 * time.Millisecond
	// dayDrain bounds the drain. Alone with two cores, Daphne takes 86,400 fixes in half a minute.
	dayDrain = 15 * time.Minute
	// reconnects bounds the wait for the daemon to find its server again: pauses between attempts grow to 30 s.
	reconnects = 5 * time.Minute
	// largestWindow is the default of uplink.window.
	largestWindow = 32
)

// TestDayOffline spools a day without a server. When the server returns, the newest fix goes first, new ones go as they
// come, and the day arrives whole.
func TestDayOffline(t *testing.T) {
	t.Parallel()
	server, line := realtest.StartDjango(t, realtest.Options{}), realtest.OpenPty(t)
	limit := ownLimit(t, server)
	already := len(journalled(t, server))
	server.Kill()

	config := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, config, fmt.Sprintf("[[uplink]]\nserver = %q\norder = \"live-first\"\n[spool]\ndir = %q\n", server.URL(), t.TempDir()))
	d := startDaemon(t, "-c", config, "--device", line.Path()+"?baud=115200")
	d.waitOpen()
	drive := course{start: time.Now().UTC().Truncate(time.Second), step: time.Second}
	feedCourse(d, line, drive, 0, aDay)
	d.waitStatus("a day to be spooled", func(st observe.Status) bool { return st.Spool.Records == aDay })

	server.Restart()
	member := realtest.Join(t, server.GroupURL(deviceID))
	back := waitReconnected(t, d)
	before, after := feedLive(t, d, line, drive)
	live := len(before)
	drained := time.Since(back)
	awaitLive(t, member, live)
	st, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	if u := st.Uplinks[0]; u.Connects != 1 || u.Lost != 0 || st.Spool.Dropped != 0 {
		t.Errorf("%d connections, %d lost by the server, %d dropped from the spool; want one connection and no loss", u.Connects, u.Lost, st.Spool.Dropped)
	}

	a := account{course: drive, must: slices.Repeat([]bool{true}, aDay+live), processed: journalled(t, server)[already:]}
	wrongs := a.wrongs()
	for _, wrong := range wrongs[:min(len(wrongs), 20)] {
		t.Error(wrong)
	}
	if first := a.processed[0]; first.Seq < aDay || first.Backlog {
		t.Errorf("first came seq %d, backlog %t; want the newest, %d", first.Seq, first.Backlog, aDay)
	}
	// What is on its way when a fix is taken up is all that may go ahead of it.
	if waits := waited(a.processed, after); waits[len(waits)-1] > largestWindow {
		t.Errorf("a live fix that had been taken up waited for %d others, want at most %d", waits[len(waits)-1], largestWindow)
	}
	// From the receiver to there it takes its time, in which the backlog goes on: how long is a matter of the machine.
	waits := waited(a.processed, before)
	median, longest := waits[len(waits)/2], waits[len(waits)-1]
	t.Logf("%d fixes drained in %.1f s, %.0f a second; the server's own limit is %.0f", aDay, drained.Seconds(), aDay/drained.Seconds(), limit)
	t.Logf("%d live fixes meanwhile: after %d others (median), %d (most); %d repeats", live, median, longest, len(a.processed)-aDay-live)
}

// feedCourse sends epochs as fast as the daemon reads them.
func feedCourse(d *daemon, line *realtest.Pty, c course, from, to int) {
	d.t.Helper()
	const burst = 100 // what the terminal takes in one piece
	for i := from; i < to; i += burst {
		var epochs []byte
		for k := i; k < min(i+burst, to); k++ {
			epochs = append(epochs, c.sentences(k)...)
		}
		d.send(line, epochs)
	}
}

// waitReconnected waits until the daemon is connected and its first fix acknowledged. It returns since when it is connected.
func waitReconnected(t *testing.T, d *daemon) time.Time {
	t.Helper()
	for deadline := time.Now().Add(reconnects); ; <-time.After(pollEvery) {
		st, err := d.status()
		if err != nil {
			t.Fatal(err)
		}
		if u := st.Uplinks[0]; u.Acked > 0 {
			t.Logf("first acknowledgement at most %v after connecting", st.Now.Sub(u.Since))
			return u.Since
		}
		if time.Now().After(deadline) {
			t.Fatalf("not connected within %v: %+v", reconnects, st.Uplinks[0])
		}
	}
}

// feedLive makes new fixes until everything is acknowledged. It returns, for each of them, how many messages the server had
// acknowledged before the receiver sent it, and how many after the daemon had taken it up.
func feedLive(t *testing.T, d *daemon, line *realtest.Pty, c course) (before, after []uint64) {
	t.Helper()
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for deadline := time.Now().Add(dayDrain); ; {
		st, err := d.status()
		if err != nil {
			t.Fatal(err)
		}
		if st.Spool.Records == 0 && len(before) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d fixes are left after %v: %+v", st.Spool.Records, dayDrain, st.Uplinks[0])
		}
		d.send(line, c.sentences(aDay+len(before)))
		before = append(before, st.Uplinks[0].Acked)
		st = d.waitStatus("the fix", func(st observe.Status) bool { return st.Receivers[0].Fixes >= uint64(aDay+len(before)) })
		after = append(after, st.Uplinks[0].Acked)
		<-tick.C
	}
	return before, after
}

// awaitLive waits until a member of the group has all of the live fixes.
func awaitLive(t *testing.T, member *realtest.Member, live int) {
	t.Helper()
	for deadline := time.Now().Add(soon); ; <-time.After(pollEvery) {
		got := make(map[uint64]bool)
		for _, m := range member.Messages() {
			if m.Seq > aDay {
				got[m.Seq] = true
			}
		}
		if len(got) == live {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the member got %d of %d live fixes", len(got), live)
		}
	}
}

// waited returns, in order of size, after how many others each of the live fixes was processed that had not been among the
// acknowledged ones given for it.
func waited(processed []delivered, acked []uint64) (waits []int) {
	for i, m := range processed {
		if k := int(m.Seq) - aDay - 1; k >= 0 && k < len(acked) {
			waits = append(waits, i-int(acked[k]))
		}
	}
	slices.Sort(waits)
	return waits
}

// ownLimit measures how many messages a second a server echoes to one sender that keeps a full window on the way.
func ownLimit(t *testing.T, server *realtest.Server) float64 {
	t.Helper()
	const messages = 3000
	conn, _, err := websocket.DefaultDialer.Dial(server.GroupURL("probe"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	for sent, echoed := 0, 0; echoed < messages; {
		if sent < messages && sent-echoed < largestWindow {
			sent++
			text := fmt.Sprintf(`{"class":"TPV","device_id":"probe","run":"probe","seq":%d,"mode":3,"lat":51.5033635,"lon":-0.1276248}`, sent)
			if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		conn.SetReadDeadline(time.Now().Add(soon))
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		echoed++
	}
	return messages / time.Since(start).Seconds()
}
