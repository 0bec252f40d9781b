package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
)

// The script of the fleet's manual starts a fleet in which a fix sent to one relay is seen at the other and at Daphne, and is stored.
func TestFleetScript(t *testing.T) {
	t.Parallel()
	realtest.Need(t, realtest.RedisServer, realtest.Django, realtest.ChannelsRedis)
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, port := t.TempDir(), freePorts(t, 9)
			program := filepath.Join(t.TempDir(), "gpsbridge")
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, program, fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", asProgram, self))
			if err := os.Chmod(program, 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("../../bridge/layer/fleet.sh", dir)
			cmd.Env = append(os.Environ(), "TRACKING_HOSTS=*", "GPSBRIDGE="+program, "KIND="+kind, // a member has no Origin
				fmt.Sprintf("PORT=%d", port))
			script := realtest.Start(t, "fleet.sh", cmd)
			t.Cleanup(func() {
				if err := script.Stop(soon); err != nil {
					t.Error(err)
				}
				for i := 1; i < 10; i++ {
					if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port+i)); err == nil {
						c.Close()
						t.Errorf("a program still listens on port %d when the script has ended", port+i)
					}
				}
			})
			text, err := script.WaitOutput(soon, func(out string) bool { return strings.Contains(out, "Ctrl-C") })
			if err != nil {
				t.Fatal(err)
			}
			group := func(i int) string { return fmt.Sprintf("ws://127.0.0.1:%d/ws/gps-tracking/%s/", port+i, deviceID) }
			for _, shown := range []string{group(9), group(7), filepath.Join(dir, "relay1.toml")} {
				if !strings.Contains(text, strings.ReplaceAll(shown, "/"+deviceID+"/", "/van_7/")) {
					t.Errorf("the script does not print %s:\n%s", shown, text)
				}
			}
			relay, django := realtest.Join(t, group(9)), realtest.Join(t, group(7))
			d := startDaemon(t, "--device", "sim:?rate=5", "--server", fmt.Sprintf("ws://127.0.0.1:%d", port+8), "--token-file", filepath.Join(dir, "token"))
			const n = 5
			for _, m := range []*realtest.Member{relay, django} {
				m.WaitDistinct(n, soon) // in their order, unless a busy machine keeps Redis from answering for a second
			}
			django.Send(`{"run":"of Daphne","seq":1}`)
			eventually(t, "what came through Daphne at a relay", func() bool {
				return slices.ContainsFunc(relay.Messages(), func(m realtest.Message) bool { return m.Run == "of Daphne" })
			})
			eventually(t, "the fixes in the database", func() bool {
				count := realtest.Python(t, "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM tracking_fix').fetchone()[0])",
					filepath.Join(dir, "django", "tracking.sqlite3"))
				out, err := count.Output()
				stored, _ := strconv.Atoi(strings.TrimSpace(string(out)))
				return err == nil && stored >= n
			})
			doctor := gpsbridge(t, "relay", "doctor", "-c", filepath.Join(dir, "relay1.toml"))
			if out, err := doctor.CombinedOutput(); err != nil || !strings.Contains(string(out), "Nothing is broken.\n") {
				t.Errorf("doctor: %v\n%s", err, out)
			}
			d.Signal(syscall.SIGTERM)
		})
	}
}

// eventually waits until reached returns true.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !reached(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, soon)
		}
		<-time.After(5 * pollEvery)
	}
}

// freePorts returns a port of 127.0.0.1 after which so many are free.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first := realtest.FreePort(t)
		free := true
		for i := 1; i <= n && free; i++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("there are no free ports")
	return 0
}
