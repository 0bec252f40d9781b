package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/creack/pty"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/sim"
)

var trackersAt = regexp.MustCompile(`trackers: +ws://([^/]+)/`)

// trackingServer starts gpsbridge relay, and returns its address and the file with its token.
func trackingServer(t *testing.T) (address, token string) {
	t.Helper()
	token = filepath.Join(t.TempDir(), "publish-token")
	server := start(t, gpsbridge(t, "relay", "--listen", "127.0.0.1:0", "--publish-token-file", token))
	out, err := server.WaitOutput(soon, trackersAt.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	return trackersAt.FindStringSubmatch(out)[1], token
}

// TestSetupWithFlags: without a terminal nothing is asked, and the daemon delivers with the file that was written.
func TestSetupWithFlags(t *testing.T) {
	t.Parallel()
	address, token := trackingServer(t)
	port := strconv.Itoa(realtest.FreePort(t))
	path := reference(t, `#listen = "127.0.0.1:8947"`, `listen = "127.0.0.1:`+port+`"`)
	device := simulate(t, sim.Config{Rate: 5, Baud: 38400})
	out, err := gpsbridge(t, "setup", "-c", path, "--device-id", deviceID, "--device", device+"?baud=38400",
		"--server", "ws://"+address, "--token-file", token).CombinedOutput()
	for _, want := range []string{path + " is a good configuration of device van_7\n", "Start the daemon with: gpsbridge run -c " + path + "\n",
		"ok      upgrade ", "Page: http://127.0.0.1:" + port + "/?device=van_7\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("setup: %v, without %q:\n%s", err, want, out)
		}
	}
	if (err == nil) != strings.Contains(string(out), "\nNothing is broken.") { // doctor's verdict, whatever the machine lets it find
		t.Errorf("setup: %v, but it prints:\n%s", err, out)
	}
	if strings.ContainsAny(string(out), "\x1b█") || strings.Contains(string(out), strings.TrimSpace(contents(t, token))) {
		t.Errorf("setup prints the token, or draws without a terminal:\n%s", out)
	}
	copied := filepath.Join(filepath.Dir(path), "gpsbridge.token")
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 || contents(t, copied) != contents(t, token) {
		t.Errorf("the token's copy: %v, %v", info, err)
	}
	if text := contents(t, path); !strings.Contains(text, "# Names the tracking group") || strings.Count(text, "\n") != strings.Count(contents(t, filepath.Join(root, "systemd/gpsbridge.toml")), "\n") {
		t.Errorf("the comments are not what they were:\n%s", text)
	}
	d := startDaemonCmd(t, gpsbridge(t, "run", "-c", path))
	d.waitStatus("acknowledged fixes", func(st observe.Status) bool { return st.DeviceID == deviceID && st.Uplinks[0].Acked > 0 })

	// The page is for this machine alone, so it has no code for phones.
	out, err = gpsbridge(t, "status", "-c", path, "--qr").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "only this machine reaches the page at 127.0.0.1:"+port+": sudo gpsbridge setup --phones") {
		t.Errorf("status --qr: %v, %s", err, out)
	}
	_, _ = gpsbridge(t, "setup", "-c", path, "--server", "none").CombinedOutput()
	if code, stdout, _ := invoke(t, "", "check", path); code != exitDone || strings.Contains(stdout, "server ") {
		t.Errorf("after --server none: exit code %d, %s", code, stdout)
	}
}

// TestSetupAtATerminal has a person answer at 80 columns, one answer wrong, and a phone open the page by the QR code.
func TestSetupAtATerminal(t *testing.T) {
	t.Parallel()
	address, tokenFile := trackingServer(t)
	token := strings.TrimSpace(contents(t, tokenFile))
	port := strconv.Itoa(realtest.FreePort(t))
	path := reference(t, `#listen = "127.0.0.1:8947"`, `listen = "127.0.0.1:`+port+`"`, `source = "auto"`, `source = "sim:?rate=1"`)
	device := simulate(t, sim.Config{Rate: 5, Baud: 38400}) + "?baud=38400"
	said, err := converse(t, gpsbridge(t, "setup", "-c", path), [][2]string{
		{"Device ID [", "van-7"}, {"Device ID [", deviceID}, {"Receiver, a port or auto [sim:?rate=1]: ", device},
		{"or none [none]: ", "ws://" + address}, {"as you type [none]: ", token}, {"y or n [n]: ", "y"},
	})
	for _, want := range []string{`"van-7" is not allowed: use 1 to 80`, "\r\nFound ", "is a good configuration of device van_7"} {
		if !strings.Contains(said, want) {
			t.Errorf("setup: %v, without %q:\n%s", err, want, said)
		}
	}
	if (err == nil) != strings.Contains(said, "\nNothing is broken.") || strings.Contains(said, token) {
		t.Errorf("setup: %v, or it shows the token:\n%s", err, said)
	}
	viewers := strings.TrimSpace(contents(t, filepath.Join(filepath.Dir(path), "gpsbridge.viewer-token")))
	pages := regexp.MustCompile(`(?m)^Page: (\S+)\r$`).FindStringSubmatch(said)
	plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(said, "")
	for line := range strings.Lines(plain) {
		if n := len([]rune(strings.TrimRight(line, "\r\n"))); n > 80 && !strings.Contains(line, filepath.Dir(path)) { // a test's path is long
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
	if len(ownAddresses()) == 0 {
		if !strings.Contains(said, "no address in a network") {
			t.Errorf("on a machine without a network:\n%s", said)
		}
		t.Skip("this machine has no address that a phone could reach: give it one")
	}
	if len(pages) == 0 || !strings.HasSuffix(pages[1], ":"+port+"/?device=van_7#token="+viewers) {
		t.Fatalf("the address of the page is not shown:\n%s", said)
	}
	if got := realtest.ScanQR(t, said); got != pages[1] {
		t.Errorf("the QR code is of %q, want %q", got, pages[1])
	}

	d := startDaemonCmd(t, gpsbridge(t, "run", "-c", path))
	d.addr = net.JoinHostPort("127.0.0.1", port)
	if resp, err := http.Get(strings.SplitN(pages[1], "?", 2)[0] + "api/v1/status"); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %v, %v, want 401", resp, err)
	} else {
		resp.Body.Close()
	}
	out, err := gpsbridge(t, "status", "-c", path, "--qr").Output()
	if err != nil || realtest.ScanQR(t, string(out)) != pages[1] {
		t.Errorf("status --qr: %v\n%s", err, out)
	}
	if strings.Contains(d.Output(), viewers) || strings.Contains(d.Output(), token) {
		t.Error("a token is in the log")
	}
	realtest.Need(t, realtest.Browser)
	browser := realtest.Chromium(t)
	if err := chromedp.Do(browser, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch), chromedp.Navigate(pages[1])); err != nil {
		t.Fatal(err)
	}
	poll(t, browser, `/^\d/.test(document.getElementById("speed").textContent)`, `document.body.innerText`)
}

// TestSetupInterrupted: Ctrl-C at a question changes nothing.
func TestSetupInterrupted(t *testing.T) {
	t.Parallel()
	path := reference(t, `source = "auto"`, `source = "sim:?rate=1"`)
	before := contents(t, path)
	cmd := gpsbridge(t, "setup", "-c", path, "--device-id", deviceID, "--device", "auto", "--server", "ws://127.0.0.1:1")
	said, err := typing(t, cmd, 80, 24, func(said string) bool { return strings.Contains(said, "as you type [none]: ") }, "\x03")
	if err == nil || !strings.Contains(said, "nothing was changed: answer the questions") || contents(t, path) != before {
		t.Errorf("%v, %q", err, said)
	}
	writeFile(t, path, "[[receiver]]\nsource = \"sim:?rate=1\"\n[[uplink]]\nserver = \"ws://127.0.0.1:1/van/?token=SECRET\"\n")
	said, err = typing(t, gpsbridge(t, "setup", "-c", path, "--device-id", deviceID, "--device", "auto"), 80, 24, func(said string) bool { return strings.Contains(said, "URL or none [") }, "\x03")
	if err == nil || !strings.Contains(said, "or none [ws://127.0.0.1:1/van/?...]: ") || strings.Contains(said, "SECRET") {
		t.Errorf("%v, %q", err, said)
	}
}

// converse runs a program on a terminal of 80 columns and types each answer when the program waits at its question. It returns
// all that was printed. The program is killed when it has not ended soon.
func converse(t *testing.T, cmd *exec.Cmd, answers [][2]string) (said string, err error) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer time.AfterFunc(soon, func() { _ = cmd.Process.Kill() }).Stop()
	buf, from := make([]byte, 4096), 0
	for {
		n, err := terminal.Read(buf)
		said += string(buf[:n])
		if len(answers) > 0 {
			if strings.Contains(said[from:], answers[0][0]) && strings.HasSuffix(said, ": ") {
				from = len(said)
				if _, err := fmt.Fprintln(terminal, answers[0][1]); err != nil {
					t.Fatal(err)
				}
				answers = answers[1:]
			}
		}
		if err != nil { // EIO: the program has closed it
			break
		}
	}
	if len(answers) > 0 {
		t.Errorf("%q was not asked", answers[0][0])
	}
	return said, cmd.Wait()
}
