package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// TestQuarantinedMessagesAreKept has two servers that accept a message each not.
func TestQuarantinedMessagesAreKept(t *testing.T) {
	t.Parallel()
	q := newQuarantine(t.TempDir(), slog.New(slog.DiscardHandler))
	path := q.path
	const fix = `{"class":"TPV","lat":51.50336350,"note":"<b> & é"}`
	fleet := q.of("fleet", "wss://one.example/ws/van_7/?token=SECRET")
	backup := q.of("backup", "ws://me:SECRET@two.example/ws/")
	var both sync.WaitGroup
	for _, keep := range []func([]byte, string) error{fleet, backup} {
		both.Go(func() {
			if err := keep([]byte(fix), "server closed with code 1011"); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if err := fleet([]byte("no JSON\n"), "why"); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(got), "\n")
	if len(lines) != 4 || lines[3] != "" || bytes.Contains(got, []byte("SECRET")) {
		t.Fatalf("quarantined:\n%s", got)
	}
	servers := map[string]string{}
	for _, line := range lines[:3] {
		var l quarantined
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		servers[l.Uplink] = l.Server
		if age := time.Since(l.Time); age < 0 || age > time.Hour || l.Reason == "" {
			t.Errorf("no time or reason in %s", line)
		}
		if want := `"message":` + fix + "}\n"; line != lines[2] && !strings.HasSuffix(line, want) {
			t.Errorf("the message was changed: %s", line)
		}
	}
	if !strings.HasSuffix(lines[2], `"message":"no JSON\n"}`+"\n") {
		t.Errorf("no JSON is kept as %s", lines[2])
	}
	if servers["fleet"] != "wss://one.example/ws/van_7/?token=..." || servers["backup"] != "ws://two.example/ws/" {
		t.Errorf("servers %v", servers)
	}
}

// TestMessageThatCannotBeQuarantined is given back, so that the uplink tries again.
func TestMessageThatCannotBeQuarantined(t *testing.T) {
	t.Parallel()
	q := newQuarantine(filepath.Join(t.TempDir(), "missing"), slog.New(slog.DiscardHandler))
	err := q.of("fleet", "ws://one.example/")([]byte("{}"), "why")
	if err == nil || !strings.Contains(err.Error(), q.path) {
		t.Errorf("%v", err)
	}
}

// TestQuarantineIsBounded: the newest messages stay, whole, and the log counts the others.
func TestQuarantineIsBounded(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	q := newQuarantine(t.TempDir(), slog.New(slog.NewTextHandler(&log, nil)))
	q.max = 4000
	const n = 200
	keep := q.of("fleet", "ws://one.example/")
	for i := range n {
		if err := keep(fmt.Appendf(nil, `{"seq":%d}`, i), "why"); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(q.path); err != nil || info.Size() > q.max {
			t.Fatalf("after %d messages: %v, want at most %d bytes", i+1, info.Size(), q.max)
		}
	}
	text, err := os.ReadFile(q.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, line := range lines {
		var l quarantined
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"seq":%d}`, n-len(lines)+i); string(l.Message) != want {
			t.Errorf("line %d holds %s, want %s", i, l.Message, want)
		}
	}
	dropped := 0
	for _, m := range regexp.MustCompile(`dropped=(\d+)`).FindAllStringSubmatch(log.String(), -1) {
		count, _ := strconv.Atoi(m[1])
		dropped += count
	}
	if dropped != n-len(lines) || len(lines) < 10 {
		t.Errorf("%d kept, %d dropped by the log, want %d together", len(lines), dropped, n)
	}
}

// A user who may write in the spool's directory cannot lead the daemon to another file, neither to write it nor to show it.
func TestQuarantineFollowsNoLinks(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	const text = "another's"
	for name, at := range map[string]string{"the file": "", "its successor": ".new"} {
		if err := os.WriteFile(outside, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		q := newQuarantine(t.TempDir(), slog.New(slog.DiscardHandler))
		q.max = 300 // so that the second message replaces the file
		if err := os.Symlink(outside, q.path+at); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Lchown(q.path+at, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		keep := q.of("fleet", "ws://one.example/")
		for range 3 {
			_ = keep([]byte(`{"class":"TPV"}`), strings.Repeat("why ", 20)) // it may fail
		}
		if got, err := os.ReadFile(outside); err != nil || string(got) != text {
			t.Errorf("a link in place of %s: the file outside is now %q (%v)", name, got, err)
		}
		info, err := os.Lstat(q.path)
		got, _ := os.ReadFile(q.path)
		if os.Geteuid() == 0 && err == nil && info.Mode().IsRegular() && strings.Contains(string(got), text) {
			t.Errorf("a link in place of %s: the quarantine shows the file outside: %s", name, got)
		}
	}
}

// FuzzQuarantine: whatever a message and a reason hold, and whatever the file holds before, each is one line of JSON that holds the
// message, and the file is bounded.
func FuzzQuarantine(f *testing.F) {
	for _, seed := range [][2]string{{`{"class":"TPV"}`, ""}, {"\xff\n", "{\n"}, {`"<&>\u2028"`, "\n\n\n"}, {"1 2", strings.Repeat("x\n", 400)}} {
		f.Add([]byte(seed[0]), "why", []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, msg []byte, reason string, before []byte) {
		q := newQuarantine(t.TempDir(), slog.New(slog.DiscardHandler))
		q.max = max(600, int64(6*len(msg)+6*len(reason)+300))
		if err := os.WriteFile(q.path, before, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := q.of("fleet", "ws://one.example/")(msg, reason); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(q.path)
		if err != nil || int64(len(text)) > q.max {
			t.Fatalf("%d bytes of %d, %v", len(text), q.max, err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		var l quarantined
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &l); err != nil {
			t.Fatalf("%v in %s", err, lines[len(lines)-1])
		}
		var want bytes.Buffer
		if json.Compact(&want, msg) != nil {
			var back string
			if err := json.Unmarshal(l.Message, &back); err != nil || back != strings.ToValidUTF8(string(msg), "\ufffd") && utf8.Valid(msg) {
				t.Errorf("%q became %s", msg, l.Message)
			}
		} else if !bytes.Equal(l.Message, want.Bytes()) {
			t.Errorf("%q became %s", msg, l.Message)
		}
	})
}
