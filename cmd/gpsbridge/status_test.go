package main

import (
	"strings"
	"testing"

	"gpsbridge/bridge"
	"gpsbridge/bridge/uplink"
)

// Each server has its own state, and whose time certificates are verified at is said where there are any.
func TestStatusOfTwoServers(t *testing.T) {
	secure := bridge.UplinkStatus{Status: uplink.Status{
		Name: "fleet", State: uplink.Connected, Clock: "receiver", Ack: uplink.AckEcho, Acked: 40, Behind: 3, Outstanding: 2,
	}}
	plain := bridge.UplinkStatus{Status: uplink.Status{Name: "depot", State: uplink.Waiting, Detail: "connection refused", RetryIn: 4, Behind: 43}}
	var out strings.Builder
	printStatus(&out, bridge.Status{Uplinks: []bridge.UplinkStatus{secure, plain}})
	for _, want := range []string{
		"fleet connected\n", "time of the receiver\n", "40 acknowledged (echo), 3 waiting, 2 of them sent,",
		"depot waiting connection refused; next attempt in 4 s\n", "43 waiting, 0 of them sent,",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if n := strings.Count(out.String(), "certificates"); n != 1 || t.Failed() {
		t.Errorf("certificates are named %d times, want once:\n%s", n, out.String())
	}
}
