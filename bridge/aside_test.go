package bridge

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMessageSetAsideIsKept has two servers that would not take a message each, behind half a line that a power cut left.
func TestMessageSetAsideIsKept(t *testing.T) {
	tr := &track{folder: t.TempDir(), deviceID: "van_7", log: slog.New(slog.DiscardHandler)}
	path := filepath.Join(tr.folder, asideName)
	if err := os.WriteFile(path, []byte(`{"time":"20`), 0o600); err != nil {
		t.Fatal(err)
	}
	const fix = `{"class":"TPV","lat":51.50336350,"note":"<b> & é"}`
	uplinks := []UplinkConfig{
		{Name: "fleet", Server: "wss://one.example/ws/{device_id}/?token=SECRET"},
		{Name: "backup", Server: "ws://two.example"},
	}
	var both sync.WaitGroup
	for i := range uplinks {
		u := &uplinks[i]
		if err := u.complete(false); err != nil {
			t.Fatal(err)
		}
		both.Go(func() {
			if err := newAside(tr, *u).take([]byte(fix), "server closed with code 1011"); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if err := newAside(tr, uplinks[0]).take([]byte("no JSON\n"), "why"); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(got), "\n")
	if len(lines) != 5 || lines[4] != "" || bytes.Contains(got, []byte("SECRET")) {
		t.Fatalf("set aside:\n%s", got)
	}
	servers := map[string]string{}
	for _, line := range lines[1:4] {
		var l asideLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		servers[l.Uplink] = l.Server
		if age := time.Since(l.Time); age < 0 || age > time.Hour || l.Reason == "" {
			t.Errorf("no time or reason in %s", line)
		}
		if want := `"message":` + fix + "}\n"; line != lines[3] && !strings.HasSuffix(line, want) {
			t.Errorf("the message was changed: %s", line)
		}
	}
	if !strings.HasSuffix(lines[3], `"message":"no JSON\n"}`+"\n") {
		t.Errorf("no JSON is kept as %s", lines[3])
	}
	if servers["fleet"] != "wss://one.example/ws/van_7/" || servers["backup"] != "ws://two.example/ws/gps-tracking/van_7/" {
		t.Errorf("servers %v", servers)
	}
}

// TestMessageThatCannotBeSetAside is tried again, and said.
func TestMessageThatCannotBeSetAside(t *testing.T) {
	tr := &track{folder: filepath.Join(t.TempDir(), "missing"), log: slog.New(slog.DiscardHandler)}
	err := newAside(tr, UplinkConfig{Server: "ws://one.example/"}).take([]byte("{}"), "why")
	if err == nil || !strings.Contains(err.Error(), filepath.Join(tr.folder, asideName)) {
		t.Errorf("%v", err)
	}
}
