package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/doctor"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/secret"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

// serverDoctor looks at the way to a server only; its [[uplink]] has further keys.
func serverDoctor(t *testing.T, server string, keys ...string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("[[uplink]]\nserver = %q\n%s\n", server, strings.Join(keys, "\n")))
	return []string{"-c", file, "--device", "-"}
}

func TestDoctorNameNotFound(t *testing.T) {
	t.Parallel()
	// A slip of the finger that no name server need be asked about.
	oneBroken(t, doctorOf(t, serverDoctor(t, "ws://tracking..example")...), "dns", uplink.NameNotFound, `name "tracking..example" not found`, "check the host")
}

func TestDoctorConnectionRefused(t *testing.T) {
	t.Parallel()
	url := "ws://" + realtest.Refusing(t)
	oneBroken(t, doctorOf(t, serverDoctor(t, url)...), "tcp", uplink.Refused, "nothing listens on port", "check that the server runs")
}

// behindTLS puts TLS in front of a server, with a certificate that is valid between two times from now, and returns the
// wss:// address and the file of the authority.
func behindTLS(t *testing.T, server string, from, until time.Duration) (url, authority string) {
	t.Helper()
	proxy, authority := realtest.StartTLS(t, strings.TrimPrefix(server, "ws://"), time.Now().Add(from), time.Now().Add(until))
	return "wss://" + proxy.Addr(), authority
}

func TestDoctorCertificates(t *testing.T) {
	t.Parallel()
	const past, now, future = -1000 * time.Hour, -time.Hour, 1000 * time.Hour
	for _, test := range []struct {
		name        string
		from, until time.Duration
		trusted     bool
		host        string // in the URL; the certificate is for 127.0.0.1
		code        problem.Code
		wants       []string
	}{
		{"unknown authority", now, future, false, "127.0.0.1", uplink.Untrusted, []string{"signed by an unknown authority", "ca_file"}},
		{"expired", past, now, true, "127.0.0.1", uplink.CertTime, []string{"expired on", "renew the server's certificate"}},
		{"not yet valid", future, 2 * future, true, "127.0.0.1", uplink.CertTime, []string{"is valid only from", "check the clock"}},
		{"wrong name", now, future, true, "localhost", uplink.Untrusted, []string{"is for 127.0.0.1", "not for localhost"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			url, authority := behindTLS(t, "ws://"+plainServer(t, http.NotFound), test.from, test.until)
			var keys []string
			if test.trusted {
				keys = append(keys, fmt.Sprintf("ca_file = %q", authority))
			}
			oneBroken(t, doctorOf(t, serverDoctor(t, strings.Replace(url, "127.0.0.1", test.host, 1), keys...)...), "tls", test.code, test.wants...)
		})
	}
}

func TestDoctorTLSOrNot(t *testing.T) {
	t.Parallel()
	oneBroken(t, doctorOf(t, serverDoctor(t, "wss://"+plainServer(t, http.NotFound))...), "tls", uplink.WrongTLS, "does not speak TLS", "use ws://")
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that is none
	s.StartTLS()
	t.Cleanup(s.Close)
	oneBroken(t, doctorOf(t, serverDoctor(t, strings.Replace(s.URL, "https", "ws", 1))...), "tls", uplink.WrongTLS, "TLS", "use wss://")
}

// plainServer returns host:port of a server that answers so.
func plainServer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestDoctorNotTheServer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		code   problem.Code
		wants  []string
	}{
		"web page":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "welcome") }, uplink.NotFound, []string{"a web page and not a WebSocket"}},
		"not found": {http.NotFound, uplink.NotFound, []string{"404 Not Found", "check the path"}},
		"moved": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://new.example"+r.URL.Path, http.StatusMovedPermanently)
		}, uplink.Redirect, []string{"redirects to https://new.example/ws/gps-tracking/van_7/", "put that address into server"}},
	} {
		t.Run(name, func(t *testing.T) {
			oneBroken(t, doctorOf(t, serverDoctor(t, "ws://"+plainServer(t, test.answer))...), "upgrade", test.code, test.wants...)
		})
	}
}

func TestDoctorMissingSlash(t *testing.T) {
	t.Parallel()
	server := realtest.StartDjango(t, realtest.Options{})
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL()+"/ws/gps-tracking/{device_id}")...), "upgrade",
		uplink.ServerError, "the trailing slash is missing")
}

func TestDoctorForbidden(t *testing.T) {
	t.Parallel()
	server := realtest.StartDjango(t, realtest.Options{Host: "tracking.example", Token: "secret"})
	token := filepath.Join(t.TempDir(), "token")
	writeFile(t, token, "secret\n")
	good, origin := fmt.Sprintf("token_file = %q", token), `origin = "https://tracking.example"`
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL(), good)...), "upgrade",
		uplink.Forbidden, "403 Forbidden", fmt.Sprintf("Origin %q", strings.Replace(server.URL(), "ws", "http", 1)), "check token_file and origin", "ALLOWED_HOSTS")
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL(), origin)...), "upgrade", uplink.Forbidden, "403 Forbidden", "sent no token", "check token_file and origin")
	allWell(t, aloneDoctor(t, append(serverDoctor(t, server.URL(), origin, good), "--no-send")...), "upgrade", "echo")
	if sent, err := server.Processed(); len(sent) > 0 || err != nil {
		t.Errorf("with --no-send the group was sent %s, %v", sent, err)
	}

	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL(), origin, good)...), "upgrade", secret.CodeMissing, token)
}

func TestDoctorDeviceIDRefused(t *testing.T) {
	t.Parallel()
	server := realtest.StartDjango(t, realtest.Options{Device: "van_8"})
	oneBroken(t, doctorOf(t, serverDoctor(t, server.URL())...), "echo", uplink.Forbidden, "server closed with code 4403", "device ID not accepted", "check token_file, device_id")
}

// TestDoctorRedisGone: a server whose channel layer is away takes no member.
func TestDoctorRedisGone(t *testing.T) {
	t.Parallel()
	store := realtest.StartRedis(t)
	server := realtest.StartDjango(t, realtest.Options{Layer: realtest.Redis, RedisURL: store.URL()})
	store.Kill()
	oneBroken(t, aloneDoctor(t, "--device", "-", "--server", server.URL()), "upgrade", uplink.ServerError, "500", "channel layer (Redis)")
}

func TestDoctorSpool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	writeFile(t, file, fmt.Sprintf("[spool]\ndir = %q\nmin_free = \"1000000GiB\"\n", dir))
	oneBroken(t, doctorOf(t, "-c", file, "--device", "-"), "disk", doctor.DiskLow, "are to be left to others", "spool.min_free")

	writeFile(t, file, fmt.Sprintf("[spool]\ndir = %q\nmin_free = \"1MiB\"\n[[uplink]]\nserver = \"ws://127.0.0.1:1\"\n", dir))
	line := realtest.OpenPty(t)
	holder := start(t, gpsbridge(t, "run", "-c", file, "--device", line.Path(), "--device-id", deviceID, "--listen", "off"))
	if _, err := holder.WaitOutput(soon, func(out string) bool { return strings.Contains(out, "cannot connect") }); err != nil {
		t.Fatal(err)
	}
	cmd := doctorOf(t, "--device", "-")
	cmd.Env = append(cmd.Env, "GPSBRIDGE_SPOOL_DIR="+dir)
	oneBroken(t, cmd, "spool", spool.CodeInUse, "another gpsbridge is using this spool", "stop it")
}

func TestDoctorSpoolWithoutPermission(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gpsbridge.toml")
	cmd := asNobody(t, doctorOf(t, "--device", "-"))
	cmd.Env = append(cmd.Env, "GPSBRIDGE_SPOOL_DIR="+filepath.Join(filepath.Dir(file), "spool"))
	oneBroken(t, cmd, "spool", doctor.SpoolNotWritable, "cannot be written: permission denied", "spool.dir")
}
