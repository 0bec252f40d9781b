package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/realtest/django"
	"gpsbridge/cmd/internal/command"
)

// fanout runs a short measurement and returns its report.
func fanout(t *testing.T, args ...string) fanoutReport {
	t.Helper()
	code, stdout, stderr := invoke(t.Context(), append([]string{"fanout", "--for", "1s", "--json"}, args...)...)
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r fanoutReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// served checks the figures of servers that five viewers cannot be too many for.
func served(t *testing.T, r fanoutReport, titles ...string) {
	t.Helper()
	if len(r.Crowds) != len(titles) {
		t.Fatalf("%d rows, want %d: %+v", len(r.Crowds), len(titles), r.Crowds)
	}
	for i, c := range r.Crowds {
		if c.Server != titles[i] || c.Viewers != 5 || c.LeftOut != "" || c.Figures == nil {
			t.Fatalf("row %d: %+v, want %s measured with 5 viewers", i, c, titles[i])
		}
		// Ten messages a second for one second.
		if c.Figures.Expected != 50 || !c.Figures.whole() || c.Figures.PerSecond != 50 {
			t.Errorf("%s: %d of %d delivered, %d viewers closed, want 50 of 50 and none", c.Server, c.Figures.Received, c.Figures.Expected, c.Figures.Closed)
		}
		if c.Median == nil || c.P99 == nil || *c.Median <= 0 || *c.P99 < *c.Median || c.Figures.CPU <= 0 || c.Figures.Memory <= 0 {
			t.Errorf("%s lacks a delay, processor time or memory: %+v", c.Server, c)
		}
	}
}

func TestFanoutOfTheRelay(t *testing.T) {
	t.Parallel()
	r := fanout(t, "--servers", "floor,relay", "--viewers", "5", "--most", "0")
	served(t, r, "floor: write(2)", "gpsbridge relay")
	if floor, relay := r.Crowds[0], r.Crowds[1]; floor.BesideFloor != 1 || relay.BesideFloor <= 0 {
		t.Errorf("beside the floor: %g and %g, want 1 and something", floor.BesideFloor, relay.BesideFloor)
	}
}

func TestFanoutOfDaphne(t *testing.T) {
	realtest.Need(t, realtest.Django, realtest.ChannelsRedis, realtest.RedisServer)
	t.Parallel()
	served(t, fanout(t, "--servers", "daphne,daphne-redis", "--viewers", "5"), "Daphne, in memory", "Daphne, Redis")
}

func TestHostileViewers(t *testing.T) {
	t.Parallel()
	r := fanout(t, "--hostile", "--viewers", "5")
	if len(r.Hostile) != 1 {
		t.Fatalf("attacked %+v, want the relay", r.Hostile)
	}
	a := r.Hostile[0]
	if a.Alone.Received != a.Alone.Expected || a.Under.Received != a.Under.Expected || a.Under.Expected == 0 {
		t.Errorf("%d of %d delivered alone, %d of %d under attack, want all", a.Alone.Received, a.Alone.Expected, a.Under.Received, a.Under.Expected)
	}
	if a.ratio() <= 0 || a.Peak < a.Before || a.Before <= 0 {
		t.Errorf("ratio %g, memory %g and at its peak %g: %+v", a.ratio(), a.Before, a.Peak, a)
	}
	if h := a.Attacks; h.Churned == 0 || h.Garbage == 0 || h.Flooded == 0 || h.Stalled == 0 {
		t.Errorf("attackers did %+v, want some of each", h)
	}
}

func TestMissingPeerIsARow(t *testing.T) {
	t.Setenv(django.EnvPython, "/nonexistent/python3")
	code, stdout, stderr := invoke(t.Context(), "fanout", "--servers", "floor,daphne", "--viewers", "5", "--for", "1s")
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if !strings.Contains(stdout, "| Daphne, in memory | not installed: apt-get install") || !strings.Contains(stdout, "| floor: write(2)   | 50 ") {
		t.Errorf("table:\n%s\nwant the floor measured, and how to install Django", stdout)
	}
}

func TestInterruptEndsTheServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	floor := servers("")[0]
	begin := floor.start
	var started *serving
	floor.start = func(ctx context.Context, folder string, cores int) (*serving, error) {
		s, err := begin(ctx, folder, cores)
		started = s
		cancel()
		return s, err
	}
	if _, err := openSession(ctx, floor, 3, 1); err == nil || ctx.Err() == nil {
		t.Errorf("error %v, want that of the context", err)
	}
	if started.programs[0].Alive() == nil {
		t.Errorf("the server (process %d) still runs", started.programs[0].PID())
	}
}

func TestFanoutTable(t *testing.T) {
	ms := func(v float64) *float64 { return &v }
	r := fanoutReport{CPUs: 2, Rate: 10, Crowds: []crowd{
		{Viewers: 100, Server: "floor", Figures: &delivered{Expected: 10, Received: 10, PerSecond: 1000, CPU: 7.25, Memory: 8}, Median: ms(0.5), P99: ms(31.4), BesideFloor: 1},
		{Viewers: 1000, Server: "slow", Figures: &delivered{Expected: 10, Received: 6, PerSecond: 2900.4, CPU: 200, Memory: 80, Closed: 2}, Median: ms(1500)},
		{Viewers: 10_000, Server: "slow", LeftOut: "left out"},
	}}
	want := [][]string{
		{"100", "floor", "1,000", "0.50", "31", "7.2", "1.00", "8.0"},
		{"1,000", "slow", "2,900 of 10,000, 2 viewers closed", "1,500", "not delivered", "200.0", "", "80.0"},
		{"10,000", "slow", "left out", "", "", "", "", ""},
	}
	if diff := cmp.Diff(want, r.crowdRows()[1:]); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	var b strings.Builder
	r.print(&b)
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 9 {
			t.Errorf("line %q has not the eight columns of its table", line)
		}
	}
}
