package bridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// TestBoardOf1970OverTLS connects a tracker whose clock stands at 1970 to a real tracking server behind real TLS. The
// clock is the daemon's own rule with such a system's time in it; the sockets, certificates and the server are real.
func TestBoardOf1970OverTLS(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	server := realtest.StartDjango(t, realtest.Options{})
	built := BuiltAfter()
	year := built.AddDate(1, 0, 0) // the receiver's time, unless it is spoofed
	for name, test := range map[string]struct {
		from, until time.Time // of the certificate
		receiver    time.Time
		refused     string // part of the status' detail; "" when it connects
		clock       string
	}{
		"valid at the receiver's time":                    {year.Add(-30 * day), year.Add(30 * day), year, "", "receiver"},
		"expired at the receiver's time":                  {year.Add(-60 * day), year.Add(-30 * day), year, "expired on " + year.Add(-30*day).Format(time.DateOnly), "receiver"},
		"not yet valid, the receiver has no time":         {year.Add(-30 * day), year.Add(30 * day), time.Time{}, "valid only from", "build"},
		"expired long ago, a spoofed receiver":            {built.Add(-900 * day), built.Add(-800 * day), built.Add(-850 * day), "expired on", "build"},
		"valid at the build's time, the receiver is dead": {built.Add(-day), built.Add(day), time.Unix(0, 0), "", "build"},
	} {
		t.Run(name, func(t *testing.T) {
			front, authority := realtest.StartTLS(t, strings.TrimPrefix(server.URL(), "ws://"), test.from, test.until)
			s, err := spool.Open(spool.Options{Readers: []string{"tls"}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			messages := pipeline.NewMessages("van_7")
			if _, err := s.Append(messages.Fix(&nmea.Fix{Mode: nmea.Mode3D})); err != nil {
				t.Fatal(err)
			}
			u, err := uplink.New(uplink.Config{
				Name: "tls", URL: "wss://" + front.Addr() + "/ws/gps-tracking/van_7/", CAFile: authority,
				Clock: func() (time.Time, string) {
					return CertificateTime(time.Unix(0, 0), false, test.receiver)
				},
			}, s.Reader("tls"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- u.Run(ctx) }()
			defer func() { cancel(); <-ended }()

			st := awaitVerdict(t, u)
			if connected := st.Acked == 1; connected != (test.refused == "") || !strings.Contains(fmt.Sprint(st.Problem), test.refused) || st.Clock != test.clock {
				t.Errorf("status %+v, want %q in its detail and the clock of the %s", st, test.refused, test.clock)
			}
		})
	}
}

// awaitVerdict waits until the only record is acknowledged, or an attempt has failed.
func awaitVerdict(t *testing.T, u *uplink.Uplink) uplink.Status {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(fleetLook)
	defer tick.Stop()
	for {
		st := u.Status()
		if st.Acked == 1 || st.State == uplink.Waiting {
			return st
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("neither connected nor refused within %v: %+v", patience, st)
		}
	}
}

// TestCertificatesOfADaemonWithoutAClock has a daemon whose clock is not synchronised, a receiver and a server that are a year ahead
// of it, and files of certificates that are replaced while it runs: it needs no reload and no restart.
func TestCertificatesOfADaemonWithoutAClock(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * time.Hour
	ahead := time.Now().AddDate(1, 0, 0).UTC()
	server, _ := trackingServer(t)
	front, client := realtest.StartMutualTLS(t, strings.TrimPrefix(server.Server, "ws://"), ahead.Add(-month), ahead.Add(month))
	_, foreign := realtest.StartMutualTLS(t, "127.0.0.1:1", ahead.Add(-month), ahead.Add(month))
	files := filepath.Join(t.TempDir(), "files")
	put := func(name, from string) string {
		t.Helper()
		text, err := os.ReadFile(from)
		if err == nil {
			err = errors.Join(os.MkdirAll(files, 0o700), os.WriteFile(filepath.Join(files, name), text, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(files, name)
	}
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pty := realtest.OpenPty(t)
	d := startWith(t, func() bool { return false }, func(c *config.File) {
		c.Receivers = []config.ReceiverSection{{Source: pty.Path() + "?baud=9600"}}
		c.Uplinks = []config.UplinkSection{{
			Server: "wss://" + front.Addr(), CA: put("authority", foreign.Authority),
			Cert: put("cert", foreign.Cert), Key: put("key", foreign.Key), Token: put("token", wrong),
		}}
	})
	d.await(t, "open port", func(st observe.Status) bool { return st.Receivers[0].Opens == 1 })
	refused := func(clock, why string) {
		t.Helper()
		d.devices[0].links[0].changed <- struct{}{} // an attempt now
		d.await(t, why, func(st observe.Status) bool {
			u := st.Uplinks[0]
			return u.State == uplink.Waiting && u.Clock == clock && u.Problem != nil && strings.Contains(u.Problem.Cause, why)
		})
	}
	put("authority", client.Authority)
	refused("system, not synchronised", "valid only from")
	fix := receivertest.Sentence("GPRMC,%s,A,5130.0000,N,00007.5000,W,27.0,84.4,%s,,,A", ahead.Format("150405.00"), ahead.Format("020106"))
	if _, err := pty.Write([]byte(fix)); err != nil {
		t.Fatal(err)
	}
	d.await(t, "a fix", func(st observe.Status) bool { return st.Receivers[0].Fixes == 1 })
	refused("receiver", "client certificate")
	put("cert", client.Cert)
	put("key", client.Key)
	refused("receiver", "401")
	put("token", server.Token)
	d.devices[0].links[0].changed <- struct{}{}
	d.await(t, "acknowledged fix", func(st observe.Status) bool { return st.Uplinks[0].Acked == 1 })
	if u := d.Status().Uplinks[0]; u.Clock != "receiver" || u.State != uplink.Connected {
		t.Errorf("%s by the clock of the %s, want connected by the receiver's", u.State, u.Clock)
	}
}
