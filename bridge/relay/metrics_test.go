package relay

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func TestCollector(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var log bytes.Buffer
	r := start(t, Config{PublishToken: "pub", Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})})
	registry.MustRegister(r.Collector())
	v, p := dial(t, r, "", nil), dial(t, r, "", bearer("pub"))
	for _, seq := range []int{1, 2, 2} {
		p.send(tpv(seq))
		p.want(tpv(seq))
	}
	v.want(tpv(1), tpv(2))
	v.send("x")
	until(t, "ignored", func() bool { return r.Status().Ignored == 1 })
	handshake(t, r, "/ws/gps-tracking/van_7/", bearer("no"))
	handshake(t, r, "/ws/gps-tracking/van_7/", bearer("no"))
	handshake(t, r, "/ws/gps-tracking/van_7/", http.Header{"Origin": {"https://evil.example"}})
	until(t, "all deliveries are counted", func() bool { return r.Status().Delivered == 5 })
	code, body, _ := get(t, r, "/metrics", "", nil)
	for _, want := range []string{
		"gpsbridge_relay_viewers 1", "gpsbridge_relay_publishers 1", "gpsbridge_relay_groups 1",
		"gpsbridge_relay_messages_total 2", "gpsbridge_relay_repeats_total 1", "gpsbridge_relay_deliveries_total 5",
		"gpsbridge_relay_dropped_total 0", "gpsbridge_relay_closed_slow_total 0", "gpsbridge_relay_ignored_total 1",
		`gpsbridge_relay_refused_total{why="token"} 2`, `gpsbridge_relay_refused_total{why="origin"} 1`,
		`gpsbridge_relay_refused_total{why="rate"} 0`, "# TYPE gpsbridge_relay_history_bytes gauge",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	if text := log.String(); strings.Count(text, "why=token") != 1 || strings.Contains(text, "pub") {
		t.Errorf("a line of each kind is wanted, without tokens; log:\n%s", text)
	}
	if code != 200 || strings.Contains(body, "van_7") {
		t.Errorf("%d; a device ID in:\n%s", code, body)
	}
}
