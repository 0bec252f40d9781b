package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"gpsbridge/cmd/internal/command"
)

// TestFleet: relays acknowledge fixes that Redis has, and the trackers of one that is killed come back without a loss.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds of real time")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skipf("not installed: %sredis-server", apt)
	}
	code, stdout, stderr := invoke(t.Context(), "fleet", "--relays", "2", "--durable", "replicated", "--trackers", "4", "--for", "1s",
		"--kill", "20", "--every", "1s", "--json")
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r fleetReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 1 || r.Kill == nil {
		t.Fatalf("report %+v, want one row and one kill", r)
	}
	if row := r.Rows[0]; row.Nodes != 2 || row.PerSecond <= 0 || row.P99 < row.Median || row.Relay <= 0 || row.Redis <= 0 || row.Bytes < 100 {
		t.Errorf("%+v, want figures", row)
	}
	if k := r.Kill; k.Made == 0 || k.Stored != k.Made || k.All < k.Half {
		t.Errorf("%+v, want every fix stored", k)
	}
}

func TestFleetTable(t *testing.T) {
	r := fleetReport{machine: machine{CPUs: 2}, Trackers: 64, Rows: []fleetRow{{3, "fsync", 41_600.4, 1.234, 5.678, 12.34, 9.87, 404.4}},
		Kill: &fleetKill{Trackers: 10_000, Orphans: 3333, Cut: 12, Half: 0.51, All: 12.34, Made: 7, Stored: 7}}
	var b strings.Builder
	if err := r.print(&b); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"fsync 3 41600 1.23 5.68 12.3 9.9 404", "of its 3333 trackers, and 12 others that lost their connection, half are acknowledged again after 0.5 s, all after 12.3 s", "7 fixes made, 7 stored"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}
