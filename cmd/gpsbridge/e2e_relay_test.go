package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"

	"github.com/gorilla/websocket"
)

// pythonViewer joins a group with Python's websockets, trusting one certificate, and prints what it hears, a message a
// line, until it has heard seq LAST.
const pythonViewer = `
import asyncio, json, ssl, sys, websockets
url, ca, token, last = sys.argv[1:]
async def main():
    trust = ssl.create_default_context(cafile=ca)
    async with websockets.connect(url, ssl=trust, subprotocols=["gpsbridge.v1", "gpsbridge.token." + token]) as ws:
        print("joined", ws.subprotocol, flush=True)
        async for message in ws:
            print(message, flush=True)
            if json.loads(message)["seq"] == int(last):
                break
asyncio.run(main())
`

var relaySays = regexp.MustCompile(`(?s)viewers: +https://([^/]+)/ .*SHA-256 ([0-9A-F:]{95})\n`)

// A tracker with a token of its own, over TLS with a certificate that the relay made, to a viewer in another language.
func TestTrackerToRelayToPython(t *testing.T) {
	t.Parallel()
	realtest.Need(t, realtest.Websockets)
	const own, viewers, each = "0123456789abcdef", "who-watches", 200
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, text)
		return path
	}
	tokens := file("tokens", deviceID+" "+own+"\nanother_van fedcba9876543210\n")
	server := start(t, gpsbridge(t, "relay", "--listen", "127.0.0.1:0", "--device-tokens-file", tokens,
		"--token-file", file("viewers", viewers+"\n"), "--tls-self-signed"))
	out, err := server.WaitOutput(soon, relaySays.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	addr, certificate := relaySays.FindStringSubmatch(out)[1], filepath.Join(dir, "relay.pem")
	group := "wss://" + addr + "/ws/gps-tracking/" + deviceID + "/"
	viewer := realtest.Start(t, "viewer", realtest.Python(t, pythonViewer, group, certificate, viewers, fmt.Sprint(each)))
	if _, err := viewer.WaitOutput(soon, func(s string) bool { return strings.Contains(s, "joined gpsbridge.v1\n") }); err != nil {
		t.Fatal(err)
	}

	config := file("gpsbridge.toml", fmt.Sprintf("[[uplink]]\nserver = %q\nca_file = %q\ntoken_file = %q\norder = \"oldest-first\"\n",
		"wss://"+addr, certificate, file("token", own+"\n")))
	line, v := realtest.OpenPty(t), newVehicle()
	d := startDaemon(t, "-c", config, "--device", line.Path()+"?baud=115200")
	d.waitOpen()
	v.feed(d, line, 0, each)
	if code, err := viewer.Exit(delivery); code != 0 || err != nil {
		t.Fatalf("the viewer ended with %d, %v", code, err)
	}
	heard := 0
	for text := range strings.Lines(viewer.Output()) {
		var p position
		if json.Unmarshal([]byte(text), &p) != nil {
			continue
		}
		heard++
		if err := v.check(p); err != nil || p.Seq != heard {
			t.Fatalf("message %d is seq %d, %v", heard, p.Seq, err)
		}
	}
	if heard != each {
		t.Errorf("the viewer heard %d messages, want %d", heard, each)
	}
	d.Signal(syscall.SIGTERM)
	if code, err := d.Exit(soon); code != 0 || err != nil {
		t.Errorf("the tracker ended with %d, %v", code, err)
	}
	server.Signal(syscall.SIGTERM)
	if code, err := server.Exit(soon); code != 0 || err != nil {
		t.Errorf("the relay ended with %d, %v", code, err)
	}
	for _, token := range []string{own, viewers} {
		if said := server.Output() + d.Output(); strings.Contains(said, token) {
			t.Errorf("a token is in the log:\n%s", said)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "relay.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the certificate's key: %v %v", info, err)
	}
}

// A tracker with another's token is refused with the reason, and its messages reach no viewer.
func TestTokenOfAnotherTracker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tokens, token := filepath.Join(dir, "tokens"), filepath.Join(dir, "token")
	writeFile(t, tokens, "another_van fedcba9876543210\n")
	writeFile(t, token, "fedcba9876543210\n")
	server := start(t, gpsbridge(t, "relay", "--listen", "127.0.0.1:0", "--device-tokens-file", tokens))
	address := regexp.MustCompile(`viewers: +http://([^/]+)/`)
	out, err := server.WaitOutput(soon, address.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "gpsbridge.toml")
	writeFile(t, config, fmt.Sprintf("[[uplink]]\nserver = %q\ntoken_file = %q\n", "ws://"+address.FindStringSubmatch(out)[1], token))
	d := startDaemon(t, "-c", config, "--device", "sim:")
	if _, err := d.WaitOutput(soon, func(s string) bool { return strings.Contains(s, "401 Unauthorized") }); err != nil {
		t.Error(err)
	}
}

// A hangup has the relay read its tokens again, and does not end it.
func TestHangupReloadsTheTokens(t *testing.T) {
	t.Parallel()
	caught := make(chan os.Signal, 1) // where the tests run under nohup the program would ignore it too, and rightly
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	token := filepath.Join(t.TempDir(), "token")
	writeFile(t, token, "fedcba9876543210\n")
	cmd := gpsbridge(t, "relay", "--listen", "127.0.0.1:0", "--publish-token-file", token)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a service has no terminal
	server := start(t, cmd)
	address := regexp.MustCompile(`viewers: +http://([^/]+)/`)
	out, err := server.WaitOutput(soon, address.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	group := "ws://" + address.FindStringSubmatch(out)[1] + "/ws/gps-tracking/van_7/"
	answered := func(token string) int {
		t.Helper()
		conn, answer, err := websocket.DefaultDialer.Dial(group, http.Header{"Authorization": {"Bearer " + token}})
		if answer == nil {
			t.Fatal(err)
		}
		if conn != nil {
			conn.Close()
		}
		return answer.StatusCode
	}
	if code := answered("fedcba9876543210"); code != 101 {
		t.Fatalf("the token is answered %d", code)
	}
	writeFile(t, token, "0123456789abcdef\n")
	server.Signal(syscall.SIGHUP)
	if _, err := server.WaitOutput(soon, func(s string) bool { return strings.Contains(s, "configuration reloaded") }); err != nil {
		t.Fatal(err)
	}
	if old, now := answered("fedcba9876543210"), answered("0123456789abcdef"); old != 401 || now != 101 {
		t.Errorf("the old token is answered %d and the new one %d, want 401 and 101", old, now)
	}
}

// A relay that is stopped with a time to drain answers load balancers and clients with 503 and keeps its members meanwhile. It ends when
// they have left.
func TestStoppedRelayDrains(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	server := start(t, gpsbridge(t, "relay", "--listen", "127.0.0.1:0", "--publish-token-file", token, "--drain", "1h"))
	address := regexp.MustCompile(`viewers: +http://([^/]+)/`)
	out, err := server.WaitOutput(soon, address.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	addr := address.FindStringSubmatch(out)[1]
	group := "ws://" + addr + "/ws/gps-tracking/van_7/"
	member, _, err := websocket.DefaultDialer.Dial(group, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	server.Signal(syscall.SIGTERM)
	if _, err := server.WaitOutput(soon, func(s string) bool { return strings.Contains(s, "draining") }); err != nil {
		t.Fatal(err)
	}
	health, err := http.Get("http://" + addr + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	health.Body.Close()
	_, late, err := websocket.DefaultDialer.Dial(group, nil)
	if late == nil {
		t.Fatal(err)
	}
	if health.StatusCode != http.StatusServiceUnavailable || late.StatusCode != http.StatusServiceUnavailable || late.Header.Get("Retry-After") == "" {
		t.Errorf("/healthz is %s, a handshake %s with Retry-After %q, want 503", health.Status, late.Status, late.Header.Get("Retry-After"))
	}
	member.Close()
	if code, err := server.Exit(soon); code != 0 || err != nil {
		t.Errorf("exit code %d, %v, want 0", code, err)
	}
}

// A relay that is asked to drain has its clients connect again, and goes on. No other process can be asked.
func TestDrainedRelayGoesOn(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	server := start(t, gpsbridge(t, "relay", "--listen", "127.0.0.1:0", "--publish-token-file", token))
	address := regexp.MustCompile(`viewers: +http://([^/]+)/`)
	out, err := server.WaitOutput(soon, address.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	group := "ws://" + address.FindStringSubmatch(out)[1] + "/ws/gps-tracking/van_7/"
	for range 2 {
		member, _, err := websocket.DefaultDialer.Dial(group, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer member.Close()
		if out, err := gpsbridge(t, "relay", "drain", "--pid", strconv.Itoa(server.PID())).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := member.SetReadDeadline(time.Now().Add(soon)); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, _, err = member.ReadMessage()
		}
		if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
			t.Errorf("the member's connection ends with %v, want 1001", err)
		}
	}
	other := start(t, gpsbridge(t, "relay", "--listen", "127.0.0.1:0", "--publish-token-file", token))
	if _, err := other.WaitOutput(soon, address.MatchString); err != nil {
		t.Fatal(err)
	}
	both, err := gpsbridge(t, "relay", "drain").CombinedOutput()
	if err == nil || !strings.Contains(string(both), strconv.Itoa(server.PID())) || !strings.Contains(string(both), strconv.Itoa(other.PID())) {
		t.Errorf("with two relays: %v, %s, want both processes named", err, both)
	}
	out2, err := gpsbridge(t, "relay", "drain", "--pid", strconv.Itoa(os.Getpid())).CombinedOutput()
	if err == nil || !strings.Contains(string(out2), "is not a gpsbridge relay") {
		t.Errorf("this test could be asked: %v, %s", err, out2)
	}
}
