package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/gorilla/websocket"

	"gpsbridge/bridge/realtest"
)

// screen is what a program has written to a terminal.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) wait(t *testing.T, want string) {
	t.Helper()
	for limit := time.After(soon); ; {
		s.mu.Lock()
		text := s.text.String()
		s.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-s.more:
		case <-limit:
			t.Fatalf("%q is not on the screen: %q", want, text[max(0, len(text)-2000):])
		}
	}
}

// TestWatchOnATerminal has a person look at a group, and end that with Ctrl-C.
func TestWatchOnATerminal(t *testing.T) {
	t.Parallel()
	line, v := realtest.OpenPty(t), newVehicle()
	d := startDaemon(t, "--device", line.Path()+"?baud=115200")
	d.waitOpen()
	v.feed(d, line, 0, 20)

	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	show := &screen{more: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(show, master) // until the last of the program's descriptors is closed
	}()
	cmd := gpsbridge(t, "watch", "ws://"+d.addr+"/ws/gps-tracking/"+deviceID+"/")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	show.wait(t, enterScreen)
	show.wait(t, "joined for")
	show.wait(t, "3D, ")
	show.wait(t, "50.0 km/h") // 27 knots
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("watch ended with %v", err)
	}
	<-read
	if !strings.HasSuffix(show.text.String(), leaveScreen) {
		t.Error("the terminal does not get its screen back")
	}
}

// TestTerminalIsNotControlledByAGroup: a message of another member of the group can hold anything. On a terminal it is shown
// without what would move the cursor, set the title or turn the text around; piped it is passed on as it came.
func TestTerminalIsNotControlledByAGroup(t *testing.T) {
	t.Parallel()
	const hostile = `{"class":"TPV","device_id":"van\u001b]0;owned\u0007\u202e","run":"` + "\u009b31m" + `","seq":1,"mode":3,"text":"` + "\u202e\x7f" + `"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_ = conn.WriteMessage(websocket.TextMessage, []byte(hostile))
		_, _, _ = conn.ReadMessage() // until the viewer goes
	}))
	defer server.Close()
	url := strings.Replace(server.URL, "http", "ws", 1) + "/ws/gps-tracking/van/"
	for _, args := range [][]string{{"watch", url}, {"watch", "--lines", url}} {
		said, err := onTerminal(t, gpsbridge(t, args...), 80, 24, func(said string) bool { return strings.Contains(said, "owned") || strings.Contains(said, `\u202e`) })
		for _, own := range []string{enterScreen, leaveScreen, toTop, endOfLine, endOfScreen} {
			said = strings.ReplaceAll(said, own, "")
		}
		if err != nil || strings.ContainsAny(said, "\x1b\x07\x7f\u009b\u202e") {
			t.Errorf("%q: %v, the terminal got %q", args, err, said)
		}
	}
	piped := start(t, gpsbridge(t, "watch", url))
	if _, err := piped.WaitOutput(soon, func(out string) bool { return strings.Contains(out, hostile+"\n") }); err != nil {
		t.Error(err)
	}
	piped.Signal(os.Interrupt)
	if code, err := piped.Exit(soon); code != exitDone || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}
