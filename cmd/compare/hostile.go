package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/realtest/program"
	"gpsbridge/cmd/internal/command"
)

// hostileOptions are what the command line chooses.
type hostileOptions struct {
	kinds  []string
	rounds int
	lasts  time.Duration // of a phase
}

const (
	goodTrackers = 20
	// fixEvery is how often each sends a fix.
	fixEvery = 100 * time.Millisecond
	// hostileHistory is how many fixes of the hostile tracker the relay keeps: its track is the largest answer that there is.
	hostileHistory = 20_000
	// attackWarmUp is not measured: the start of a process costs others something too.
	attackWarmUp = 500 * time.Millisecond
)

// hostileReport is what --json prints.
type hostileReport struct {
	machine
	Throttled bool        `json:"throttled"` // the attackers come from an address that the relay throttles
	Quiet     float64     `json:"quiet_mb"`  // the most memory before the first attack
	Kinds     []disturbed `json:"kinds"`
}

// disturbed is what attacks of one kind do to others.
type disturbed struct {
	Kind   string  `json:"kind"`
	Quiet  echoed  `json:"quiet"`
	Beside echoed  `json:"beside"`
	Ratio  float64 `json:"p99_ratio"`
	Memory float64 `json:"peak_mb"` // the most that the relay has used so far
}

// echoed is what trackers saw: from a fix to its echo. Figures are medians of the rounds: what else the machine does is in some.
type echoed struct {
	Median float64 `json:"median_ms"`
	P99    float64 `json:"p99_ms"`
	CPU    float64 `json:"relay_cpu_share"` // of one CPU
}

func compareHostile(ctx context.Context, w command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	o := hostileOptions{kinds: attackKinds()}
	path := fs.String("gpsbridge", "", "built program at `PATH`; without it, this checkout is built")
	fs.Func("only", "these attacks alone: `KIND,...` of "+strings.Join(o.kinds, ", ")+" (default each)",
		func(v string) error { o.kinds = strings.Split(v, ","); return nil })
	fs.IntVar(&o.rounds, "rounds", 5, "measure each `N` times, quiet and attacked in turn")
	fs.DurationVar(&o.lasts, "for", 2*time.Second, "measure for `TIME` each time")
	asJSON := fs.Bool("json", false, "print JSON instead of a table")
	if _, err := c.Parse(w, fs, args, 0); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	r := &hostileReport{machine: thisMachine()}
	return measured(ctx, w, r, *asJSON, *path, func(path, dir string) error { return r.run(ctx, w.Stderr, o, path, dir) })
}

func (o hostileOptions) check() error {
	for _, kind := range o.kinds {
		if !slices.Contains(attackKinds(), kind) {
			return command.Misusef("--only %q is not an attack: use some of %s", kind, strings.Join(attackKinds(), ", "))
		}
	}
	switch {
	case o.rounds < 1:
		return command.Misusef("--rounds %d: use 1 or more", o.rounds)
	case o.lasts < time.Second || o.lasts > time.Hour:
		return command.Misusef("--for %v: use 1s to 1h", o.lasts)
	}
	return nil
}

// attacked is a relay with trackers of each of which it knows the token.
type attacked struct {
	*serving
	outside  string // its address for attackers
	tokens   map[string]string
	trackers []*websocket.Conn
}

// run measures one kind after the other; quiet and attacked phases alternate.
func (r *hostileReport) run(ctx context.Context, progress io.Writer, o hostileOptions, gpsbridge, dir string) error {
	relay, err := startAttacked(ctx, gpsbridge, dir)
	if err != nil {
		return err
	}
	defer relay.close()
	host, _, _ := net.SplitHostPort(relay.outside)
	r.Throttled = !net.ParseIP(host).IsLoopback()
	if _, err := relay.measure(ctx, attackWarmUp); err != nil { // until all is warm
		return err
	}
	if r.Quiet, err = memory(peak, relay.programs...); err != nil {
		return err
	}
	for _, kind := range o.kinds {
		fmt.Fprintln(progress, kind)
		d, err := relay.disturb(ctx, kind, o)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		r.Kinds = append(r.Kinds, d)
	}
	return nil
}

// startAttacked starts a relay, gives it the hostile tracker's history, and lets trackers join.
func startAttacked(ctx context.Context, path, dir string) (r *attacked, err error) {
	r = &attacked{tokens: map[string]string{}}
	var lines strings.Builder
	for i := range goodTrackers + 1 {
		device := fmt.Sprintf("van_%d", i)
		if i == goodTrackers {
			device = hostileDevice
		}
		r.tokens[device] = fmt.Sprintf("%016x", rand.Uint64())
		fmt.Fprintln(&lines, device, r.tokens[device])
	}
	tokens, port := filepath.Join(dir, "tokens"), ""
	if err := os.WriteFile(tokens, []byte(lines.String()), 0o600); err != nil {
		return nil, err
	}
	r.serving, err = startServer(ctx, "gpsbridge relay", func(free int) (*exec.Cmd, error) {
		_, port, _ = net.SplitHostPort(program.Loopback(free))
		cmd := exec.Command(path, "relay", "--listen", ":"+port, "--token-file", filepath.Join(dir, "viewers"),
			"--device-tokens-file", tokens, "--history", fmt.Sprint(hostileHistory))
		cmd.Env = cleanEnvironment()
		return cmd, nil
	})
	if err != nil {
		return nil, err
	}
	r.outside = net.JoinHostPort(machineAddress(), port)
	if err = r.fillHistory(); err == nil {
		err = r.join()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// machineAddress is an address of this machine that is not loopback, so that its clients are throttled; 127.0.0.1 where there is
// none. What is sent to it stays on the machine.
func machineAddress() string {
	all, _ := net.InterfaceAddrs() // without them it is loopback
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String()
		}
	}
	return "127.0.0.1"
}

// fillHistory sends the hostile tracker's fixes, and waits for the last echo.
func (r *attacked) fillHistory() error {
	conn, err := joinAs(r.addr, hostileDevice, r.tokens[hostileDevice])
	if err != nil {
		return err
	}
	defer conn.Close()
	var g errgroup.Group
	g.Go(func() error {
		for range hostileHistory {
			if _, _, err := conn.ReadMessage(); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range hostileHistory {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(hostileFix(i+1))); err != nil {
			return err
		}
	}
	return g.Wait()
}

func (r *attacked) join() error {
	for device, token := range r.tokens {
		if device == hostileDevice {
			continue
		}
		conn, err := joinAs(r.addr, device, token)
		if err != nil {
			return err
		}
		r.trackers = append(r.trackers, conn)
	}
	return nil
}

func (r *attacked) close() {
	for _, t := range r.trackers {
		_ = t.Close()
	}
	r.end()
}

// disturb measures attacks of one kind.
func (r *attacked) disturb(ctx context.Context, kind string, o hostileOptions) (d disturbed, err error) {
	var quiet, beside []echoed
	for range o.rounds {
		one, err := r.measure(ctx, o.lasts)
		if err != nil {
			return d, err
		}
		quiet = append(quiet, one)
		if one, err = r.beside(ctx, kind, o.lasts); err != nil {
			return d, err
		}
		beside = append(beside, one)
	}
	d = disturbed{Kind: kind, Quiet: medians(quiet), Beside: medians(beside)}
	d.Ratio = d.Beside.P99 / d.Quiet.P99
	d.Memory, err = memory(peak, r.programs...)
	return d, err
}

// beside measures during an attack. The attackers have a process of their own that yields to the others, also where this one has a
// real-time priority: what they cost themselves is not the relay's fault.
func (r *attacked) beside(ctx context.Context, kind string, lasts time.Duration) (e echoed, err error) {
	role, err := startRole("attackers", "chrt", "--other", "0", "nice", "-n", "19")
	if err != nil {
		return e, err
	}
	defer role.end()
	if err := role.call(ctx, "Begin", Attack{kind, r.outside, r.tokens[hostileDevice]}, &struct{}{}); err != nil {
		return e, err
	}
	if !sleepUntil(ctx, time.Now().Add(attackWarmUp)) {
		return e, ctx.Err()
	}
	return r.measure(ctx, lasts)
}

// measure lets every tracker send fixes for a time.
func (r *attacked) measure(ctx context.Context, lasts time.Duration) (e echoed, err error) {
	before, err := cpuTime(r.programs...)
	if err != nil {
		return e, err
	}
	g, sending := errgroup.WithContext(ctx)
	from := time.Now()
	took := make([][]time.Duration, len(r.trackers))
	for i, t := range r.trackers {
		g.Go(func() (err error) {
			took[i], err = sendFixes(sending, t, from.Add(rand.N(fixEvery)), from.Add(lasts))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return e, err
	}
	after, err := cpuTime(r.programs...)
	if err != nil {
		return e, err
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	ms := func(p float64) float64 { return float64(percentile(all, p).Microseconds()) / 1000 }
	return echoed{ms(0.5), ms(0.99), (after - before).Seconds() / time.Since(from).Seconds()}, nil
}

// sendFixes sends a fix and waits for its echo, and so on until end.
func sendFixes(ctx context.Context, t *websocket.Conn, due, end time.Time) (took []time.Duration, err error) {
	for seq := 1; due.Before(end); seq++ {
		if !sleepUntil(ctx, due) {
			return nil, ctx.Err()
		}
		began := time.Now()
		err := errors.Join(t.SetReadDeadline(began.Add(stalled)), t.WriteMessage(websocket.TextMessage, []byte(hostileFix(seq))))
		if err == nil {
			_, _, err = t.ReadMessage()
		}
		if err != nil {
			return nil, fmt.Errorf("a tracker lost its connection: %w", err)
		}
		took = append(took, time.Since(began))
		due = due.Add(fixEvery)
	}
	return took, nil
}

// medians are those of each figure.
func medians(all []echoed) echoed {
	of := func(figure func(echoed) float64) float64 {
		values := make([]float64, len(all))
		for i, e := range all {
			values[i] = figure(e)
		}
		slices.Sort(values)
		return percentile(values, 0.5)
	}
	return echoed{of(func(e echoed) float64 { return e.Median }), of(func(e echoed) float64 { return e.P99 }), of(func(e echoed) float64 { return e.CPU })}
}

// hostileLegend explains the columns.
const hostileLegend = `
median, p99: ms from a fix to its echo, of 20 trackers at 10 Hz; quiet, and beside the attack
CPU: the relay's share of one CPU, %, the kernel's part included
memory: the most that was resident so far, 1e6 bytes
`

func (r hostileReport) print(w io.Writer) error {
	fmt.Fprintf(w, "\n%d CPUs; load %s at the start, %s; %.1f MB before the first attack; attackers throttled by address: %t\n\n", r.CPUs, r.Load, r.Go, r.Quiet, r.Throttled)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "attack\tmedian\tp99\tCPU\tbeside: median\tp99\tCPU\tratio of p99\tmemory")
	for _, d := range r.Kinds {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.0f\t%.2f\t%.2f\t%.0f\t%.2f\t%.1f\n", d.Kind, d.Quiet.Median, d.Quiet.P99, 100*d.Quiet.CPU,
			d.Beside.Median, d.Beside.P99, 100*d.Beside.CPU, d.Ratio, d.Memory)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, hostileLegend)
	return err
}
