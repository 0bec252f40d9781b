package main

import (
	"strings"
	"testing"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/uplink"
)

// What a receiver that is away sent a second is of no use, and it cannot take over.
func TestStatusOfTwoReceivers(t *testing.T) {
	types := map[string]pipeline.SentenceType{"GPGGA": {Count: 7, Rate: 1}}
	away := pipeline.ReceiverStatus{Status: receiver.Status{Source: "/dev/a", Port: "/dev/a", State: receiver.Waiting, Problem: &problem.Problem{Cause: "unplugged"}},
		DeviceID: "van_7", Types: types}
	here := pipeline.ReceiverStatus{Status: receiver.Status{Source: "/dev/b", Port: "/dev/b", State: receiver.Reading},
		DeviceID: "van_7", Active: true, Types: types}
	var out strings.Builder
	printStatus(&out, observe.Status{Receivers: []pipeline.ReceiverStatus{away, here}, Uplinks: []observe.UplinkStatus{{}}}, nil)
	for _, want := range []string{"receiver  /dev/a waiting unplugged\n", "receiver  /dev/b reading, feeds van_7\n", "0.0 MB sent, 0.0 MB received, 0.0 MB of TCP and IP\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if n := strings.Count(out.String(), "GPGGA"); n != 1 || t.Failed() {
		t.Errorf("rates are shown %d times, want once:\n%s", n, out.String())
	}
}

// Each server has its own state, and whose time certificates are verified at is said where there are any.
func TestStatusOfTwoServers(t *testing.T) {
	secure := observe.UplinkStatus{Status: uplink.Status{
		Name: "fleet", State: uplink.Connected, Clock: "receiver", Ack: uplink.AckEcho, Acked: 40, Behind: 3, Outstanding: 2,
	}}
	plain := observe.UplinkStatus{Status: uplink.Status{Name: "depot", State: uplink.Waiting, Problem: &problem.Problem{Cause: "connection refused"}, RetryIn: 4, Behind: 43}}
	var out strings.Builder
	printStatus(&out, observe.Status{Uplinks: []observe.UplinkStatus{secure, plain}}, nil)
	for _, want := range []string{
		"fleet connected\n", "time of the receiver\n", "40 messages acknowledged (echo), 3 waiting, 2 of them sent,",
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
