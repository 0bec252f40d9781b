package main

import (
	"encoding/json"
	"strings"
	"testing"

	"gpsbridge/cmd/internal/command"
)

// TestHostile: trackers get every echo beside all attacks at once, and the relay's memory stays bounded. The ratio is for a machine
// that does nothing else.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds of real time")
	}
	code, stdout, stderr := invoke(t.Context(), "hostile", "--only", "all", "--rounds", "1", "--for", "1s", "--json")
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r hostileReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Kinds) != 1 || r.Quiet <= 0 {
		t.Fatalf("report %+v, want one kind", r)
	}
	if d := r.Kinds[0]; d.Kind != everyKind || d.Quiet.P99 < d.Quiet.Median || d.Beside.Median <= 0 || d.Ratio <= 0 || d.Memory > 100 || d.Memory < r.Quiet {
		t.Errorf("%+v, want delays and at most 100 MB", d)
	}
}

func TestHostileTable(t *testing.T) {
	r := hostileReport{machine: machine{CPUs: 2}, Quiet: 23.25, Kinds: []disturbed{{"pings", echoed{0.18, 0.33, 0.031}, echoed{0.19, 0.5, 0.25}, 1.515, 28.5}}}
	var b strings.Builder
	if err := r.print(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(strings.Fields(b.String()), " "), "pings 0.18 0.33 3 0.19 0.50 25 1.51 28.5"; !strings.Contains(got, want) {
		t.Errorf("the table lacks %q:\n%s", want, b.String())
	}
}

func TestClientFrames(t *testing.T) {
	for size, head := range map[int]string{0: "\x81\x80", 125: "\x81\xfd", 126: "\x81\xfe\x00\x7e", 65536: "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00"} {
		if got := clientFrame(textFrame, strings.Repeat("x", size)); !strings.HasPrefix(got, head+"\x00\x00\x00\x00") || len(got) != len(head)+4+size {
			t.Errorf("a frame of %d bytes begins with %q, want %q and a mask", size, got[:min(len(got), 14)], head)
		}
	}
}
