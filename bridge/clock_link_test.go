package bridge

import (
	"context"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

// TestBoardOf1970OverTLS connects a tracker whose clock stands at 1970 to a real tracking server behind real TLS. The
// clock is the daemon's own rule with such a system's time in it; the sockets, certificates and the server are real.
func TestBoardOf1970OverTLS(t *testing.T) {
	const day = 24 * time.Hour
	server := realtest.StartDjango(t, realtest.Options{})
	built := builtAfter()
	year := built.AddDate(1, 0, 0) // what the receiver says, unless it lies
	for name, test := range map[string]struct {
		from, until time.Time // of the certificate
		receiver    time.Time
		refused     string // part of the status' detail; "" when it connects
		clock       string
	}{
		"valid at the receiver's time":                    {year.Add(-30 * day), year.Add(30 * day), year, "", "receiver"},
		"expired at the receiver's time":                  {year.Add(-60 * day), year.Add(-30 * day), year, "expired on " + year.Add(-30*day).Format(time.DateOnly), "receiver"},
		"not yet valid, the receiver has no time":         {year.Add(-30 * day), year.Add(30 * day), time.Time{}, "valid only from", "build"},
		"expired long ago, the receiver lies":             {built.Add(-900 * day), built.Add(-800 * day), built.Add(-850 * day), "expired on", "build"},
		"valid at the build's time, the receiver is dead": {built.Add(-day), built.Add(day), time.Unix(0, 0), "", "build"},
	} {
		t.Run(name, func(t *testing.T) {
			front, authority := realtest.StartTLS(t, strings.TrimPrefix(server.URL(), "ws://"), test.from, test.until)
			s, err := spool.Open(spool.Options{Readers: []string{"tls"}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			messages := newMessages("van_7")
			if _, err := s.Append(messages.fix(&nmea.Fix{Mode: nmea.Mode3D})); err != nil {
				t.Fatal(err)
			}
			u, err := uplink.New(uplink.Config{
				Name: "tls", URL: "wss://" + front.Addr() + "/ws/gps-tracking/van_7/", CAFile: authority, Key: messageKey,
				Clock: func() (time.Time, string) {
					return certificateTime(time.Unix(0, 0), false, test.receiver, built)
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
			if connected := st.Acked == 1; connected != (test.refused == "") || !strings.Contains(st.Detail, test.refused) || st.Clock != test.clock {
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
