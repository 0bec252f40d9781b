package relay

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// metricsOf are the samples by name and labels.
func metricsOf(r *Relay) map[string]float64 {
	all := map[string]float64{}
	for _, m := range r.Metrics() {
		for _, s := range m.Samples {
			all[m.Name+strings.Join(s.Labels, " ")] = s.Value
		}
	}
	return all
}

func TestMetrics(t *testing.T) {
	var log bytes.Buffer
	r := start(t, Config{PublishToken: "pub", Log: slog.New(slog.NewTextHandler(&log, nil))})
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
	got := metricsOf(r)
	for name, want := range map[string]float64{
		"viewers": 1, "publishers": 1, "groups": 1, "messages_total": 2, "repeats_total": 1, "deliveries_total": 5,
		"dropped_total": 0, "closed_slow_total": 0, "ignored_total": 1,
		"compressed_members": 0, "compressed_bytes_totaldirection in": 0, "inflated_bytes_totaldirection out": 0,
		"refused_totalwhy token": 2, "refused_totalwhy origin": 1, "refused_totalwhy rate": 0,
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if got["history_bytes"] == 0 {
		t.Error("the history takes no memory")
	}
	if text := log.String(); strings.Count(text, "why=token") != 1 || strings.Contains(text, "pub") {
		t.Errorf("a line of each kind is wanted, without tokens; log:\n%s", text)
	}
}
