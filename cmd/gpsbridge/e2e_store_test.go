package main

import (
	"os"
	"path/filepath"
	"testing"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
)

// TestEveryFixIsStoredOnce drives the project in bridge/django, with its database and its tokens, through two kills of the
// server and one of the daemon, and counts the rows: each fix that the receiver gave is one of them.
func TestEveryFixIsStoredOnce(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]realtest.Options{
		"Daphne, groups in memory": {Short: true},
		"Uvicorn, groups in Redis": {Server: realtest.Uvicorn, Layer: realtest.Redis},
	} {
		t.Run(name, func(t *testing.T) { testStoredOnce(t, o) })
	}
}

func testStoredOnce(t *testing.T, o realtest.Options) {
	o.Store = true
	server := realtest.StartDjango(t, o)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(server.Manage("tracker", deviceID)), 0o600); err != nil {
		t.Fatal(err)
	}
	line, v := realtest.OpenPty(t), newVehicle()
	run := func() *daemon {
		t.Helper()
		cmd := gpsbridge(t, "run", "--device-id", deviceID, "--listen", "127.0.0.1:0", "--device", line.Path()+"?baud=38400", "--server", server.URL())
		cmd.Env = append(cmd.Env, "GPSBRIDGE_TOKEN_FILE="+token, "GPSBRIDGE_SPOOL_DIR="+filepath.Join(dir, "spool"))
		d := startDaemonCmd(t, cmd)
		d.waitOpen()
		return d
	}
	acked := func(d *daemon, n int) {
		t.Helper()
		d.waitStatus("fixes to be acknowledged", func(st observe.Status) bool { return st.Uplinks[0].Acked >= uint64(n) })
	}

	first := run()
	v.feed(first, line, 0, 300)
	acked(first, 200)
	server.Kill() // while some of the 300 are on their way
	v.feed(first, line, 300, 500)
	server.Restart()
	acked(first, 350)
	v.feed(first, line, 500, 700)
	first.waitStatus("all fixes to be taken in", func(st observe.Status) bool { return st.Receivers[0].Reported >= 700 })
	first.Kill() // while some are on their way, and some wait
	if err := line.Release(); err != nil {
		t.Fatal(err)
	}

	second := run()
	v.feed(second, line, 700, 900)
	server.Kill()
	v.feed(second, line, 900, 1000)
	server.Restart()
	second.waitStatus("everything to be acknowledged", func(st observe.Status) bool {
		return st.Receivers[0].Reported >= 300 && st.Spool.Records == 0
	})
	rows := server.Rows(deviceID)
	if err := realtest.Complete(rows); err != nil || len(rows) != 1000 {
		t.Errorf("%d rows (%v), want each of 1000 fixes once", len(rows), err)
	}
}
