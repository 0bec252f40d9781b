package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gpsbridge/bridge/realtest/program"
	"gpsbridge/cmd/internal/command"
)

// fleetOptions are what the command line chooses.
type fleetOptions struct {
	nodes    []int
	durable  []string
	trackers int
	window   int
	lasts    time.Duration
	killed   int // trackers over TLS of which a third or less loses its relay; 0 for not
	every    time.Duration
}

// durables are the values of --layer-durable.
var durables = []string{"none", "memory", "replicated", "fsync"}

// fleetRow is what so many relays did.
type fleetRow struct {
	Nodes     int     `json:"relays"`
	Durable   string  `json:"durable"`
	PerSecond float64 `json:"acknowledged_per_second"`
	Median    float64 `json:"median_ms"`
	P99       float64 `json:"p99_ms"`
	Relay     float64 `json:"relay_cpu_us"` // a fix, all relays together
	Redis     float64 `json:"redis_cpu_us"` // a fix, the master and its replicas
	Bytes     float64 `json:"redis_bytes"`  // of the master's memory, a fix
}

// fleetKill is what the end of one of several relays did to many trackers.
type fleetKill struct {
	Trackers  int     `json:"trackers"`
	Relays    int     `json:"relays"`
	Every     float64 `json:"seconds_between_fixes"`
	Connected float64 `json:"seconds_to_connect_all"`
	Orphans   int     `json:"trackers_of_the_killed_relay"`
	Cut       int     `json:"others_that_lost_their_connection"`
	Half      float64 `json:"seconds_until_half_are_back"`
	All       float64 `json:"seconds_until_all_are_back"`
	Quiet     float64 `json:"p99_ms_before"`
	Others    float64 `json:"p99_ms_of_the_others"` // until all are back
	Made      int     `json:"fixes"`
	Stored    int     `json:"stored"`
	Memory    float64 `json:"relays_mb"` // resident, all together
}

// fleetReport is what --json prints.
type fleetReport struct {
	machine
	Trackers int        `json:"trackers"`
	Window   int        `json:"window"`
	Rows     []fleetRow `json:"rows,omitempty"`
	Kill     *fleetKill `json:"kill,omitempty"`
}

func compareFleet(ctx context.Context, w command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	o := fleetOptions{nodes: []int{1, 2, 3}, durable: durables}
	path := fs.String("gpsbridge", "", "built program at `PATH`; without it, this checkout is built")
	fs.Func("relays", "so many relays, one after the other: `N,N,...` (default 1,2,3; 0 for none)", o.setNodes)
	fs.Func("durable", "these alone: `NAME,...` of "+strings.Join(durables, ", ")+" (default all)", o.setDurable)
	fs.IntVar(&o.trackers, "trackers", 64, "`N` trackers that send as fast as they are acknowledged")
	fs.IntVar(&o.window, "window", 8, "`N` fixes of a tracker are on the way")
	fs.DurationVar(&o.lasts, "for", 6*time.Second, "send for `TIME` in each measurement")
	fs.IntVar(&o.killed, "kill", 0, "then kill one of three relays (more above 36,000) with `N` trackers over TLS; 0 for not")
	fs.DurationVar(&o.every, "every", 10*time.Second, "`TIME` between two fixes of one of those")
	asJSON := fs.Bool("json", false, "print JSON instead of a table")
	if _, err := c.Parse(w, fs, args, 0); err != nil {
		return err
	}
	if o.trackers < 1 || o.window < 1 || o.lasts < time.Second || o.killed < 0 || o.every < time.Second {
		return command.Misusef("use 1 or more --trackers and --window, 1s or more --for and --every, 0 or more to --kill")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return fmt.Errorf("not installed: %sredis-server", apt)
	}
	if err := allowFiles(max(min(o.killed, 3*relayTrackers/2), o.trackers)); err != nil {
		return err
	}
	r := &fleetReport{machine: thisMachine(), Trackers: o.trackers, Window: o.window}
	return measured(ctx, w, r, *asJSON, *path, func(path, _ string) error { return r.run(ctx, w.Stderr, o, path) })
}

func (o *fleetOptions) setNodes(v string) error {
	o.nodes = nil
	for word := range strings.SplitSeq(v, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 || n > 9 {
			return fmt.Errorf("%q is not a number of relays from 0 to 9", word)
		}
		if n > 0 {
			o.nodes = append(o.nodes, n)
		}
	}
	return nil
}

func (o *fleetOptions) setDurable(v string) error {
	o.durable = strings.Split(v, ",")
	for _, d := range o.durable {
		if !slices.Contains(durables, d) {
			return fmt.Errorf("%q is not one of %s", d, strings.Join(durables, ", "))
		}
	}
	return nil
}

// run measures one after the other.
func (r *fleetReport) run(ctx context.Context, progress io.Writer, o fleetOptions, path string) error {
	for _, durable := range o.durable {
		for _, nodes := range o.nodes {
			fmt.Fprintf(progress, "%s, %d relays\n", durable, nodes)
			row, err := measureFleet(ctx, path, nodes, durable, o)
			if err != nil {
				return err
			}
			r.Rows = append(r.Rows, row)
		}
	}
	if o.killed == 0 {
		return nil
	}
	fmt.Fprintf(progress, "%d trackers, one of %d relays killed\n", o.killed, killRelays(o.killed))
	kill, err := measureKill(ctx, path, o)
	r.Kill = &kill
	return err
}

// onRedis is a master with two replicas, and relays on it.
type onRedis struct {
	redis  []*serving // the first is the master
	relays []*serving
	token  string
}

// startServed starts them, with further arguments of the relays.
func startServed(ctx context.Context, path, dir string, nodes int, durable string, args ...string) (s *onRedis, err error) {
	s = &onRedis{}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	for i := range 3 {
		one, err := startServer(ctx, "redis-server", func(port int) (*exec.Cmd, error) { return s.redisServer(dir, i, port, durable) })
		if err != nil {
			return s, err
		}
		s.redis = append(s.redis, one)
	}
	if err := await(ctx, "two replicas", func() bool {
		info, err := s.info(0, "replication")
		return err == nil && strings.Count(info, "state=online") == 2
	}); err != nil {
		return s, err
	}
	tokens := filepath.Join(dir, "token")
	for range nodes {
		one, err := startServer(ctx, "gpsbridge relay", func(port int) (*exec.Cmd, error) {
			cmd := exec.Command(path, append([]string{"relay", "--listen", program.Loopback(port), "--publish-token-file", tokens, "--max-conns", strconv.Itoa(relayConns),
				"--layer", "redis://" + s.redis[0].addr, "--layer-kind", "pubsub", "--layer-durable", durable}, args...)...)
			cmd.Env = cleanEnvironment()
			return cmd, nil
		})
		if err != nil {
			return s, err
		}
		s.relays = append(s.relays, one)
	}
	token, err := os.ReadFile(tokens)
	s.token = strings.TrimSpace(string(token))
	return s, err
}

// redisServer is the master, or one of the replicas.
func (s *onRedis) redisServer(dir string, i, port int, durable string) (*exec.Cmd, error) {
	own := filepath.Join(dir, fmt.Sprintf("redis-%d", port))
	args := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", own, "--save", "", "--repl-diskless-sync-delay", "0", "--appendonly", "no"}
	if durable == "fsync" {
		args = append(args[:len(args)-1], "yes", "--appendfsync", "always")
	}
	if i > 0 {
		args = append(args, "--replicaof", strings.Replace(s.redis[0].addr, ":", " ", 1))
	}
	return exec.Command("redis-server", args...), os.Mkdir(own, 0o700)
}

func (s *onRedis) end() {
	for _, one := range slices.Concat(s.relays, s.redis) {
		one.end()
	}
}

// info asks a Redis.
func (s *onRedis) info(i int, section string) (string, error) {
	_, port, _ := strings.Cut(s.redis[i].addr, ":")
	out, err := exec.Command("redis-cli", "-p", port, "info", section).Output()
	return string(out), err
}

// memory is what the master's data take, in bytes.
func (s *onRedis) memory() (bytes float64, err error) {
	info, err := s.info(0, "memory")
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(info, "used_memory_dataset:")
	_, err = fmt.Sscan(after, &bytes)
	return bytes, err
}

// stored is how many fixes are in the streams.
func (s *onRedis) stored() (n int, err error) {
	_, port, _ := strings.Cut(s.redis[0].addr, ":")
	for partition := range 16 {
		out, err := exec.Command("redis-cli", "-p", port, "xlen", fmt.Sprintf("gpsbridge:fixes:%d", partition)).Output()
		if err != nil {
			return 0, err
		}
		part, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			return 0, err
		}
		n += part
	}
	return n, nil
}

func programsOf(all []*serving) (programs []*program.Program) {
	for _, s := range all {
		programs = append(programs, s.programs...)
	}
	return programs
}

// addresses are those of the relays.
func (s *onRedis) addresses(scheme string) (all []string) {
	for _, one := range s.relays {
		all = append(all, scheme+one.addr)
	}
	return all
}

// measureFleet measures how much so many relays acknowledge.
func measureFleet(ctx context.Context, path string, nodes int, durable string, o fleetOptions) (row fleetRow, err error) {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(dir)
	s, err := startServed(ctx, path, dir, nodes, durable, "--admit", "0")
	if err != nil {
		return row, err
	}
	defer s.end()
	f, err := startFleet(ctx, o.trackers, s.addresses("ws://"), s.token, o.window, 0)
	if err != nil {
		return row, err
	}
	defer f.end()
	if err := f.await(ctx, "a first acknowledgement of every tracker", func(p Progress) bool { return p.Begun == o.trackers }); err != nil {
		return row, err
	}
	var before, after figures
	if err := before.read(ctx, s, f); err != nil {
		return row, err
	}
	if _, err := f.delays(ctx); err != nil {
		return row, err
	}
	if !sleepUntil(ctx, before.at.Add(o.lasts)) {
		return row, ctx.Err()
	}
	if err := after.read(ctx, s, f); err != nil {
		return row, err
	}
	delays, err := f.delays(ctx)
	if err != nil {
		return row, err
	}
	n := float64(after.acked - before.acked)
	if n == 0 {
		return row, errors.New("nothing was acknowledged")
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / n }
	return fleetRow{
		Nodes: nodes, Durable: durable, PerSecond: n / after.at.Sub(before.at).Seconds(), Median: ms(percentile(delays, 0.5)), P99: ms(percentile(delays, 0.99)),
		Relay: us(after.relays - before.relays), Redis: us(after.redis - before.redis), Bytes: (after.memory - before.memory) / n,
	}, nil
}

// figures are what was used up to a time.
type figures struct {
	at            time.Time
	acked         int
	relays, redis time.Duration
	memory        float64
}

func (g *figures) read(ctx context.Context, s *onRedis, f *fleet) (err error) {
	if g.memory, err = s.memory(); err != nil {
		return err
	}
	p, err := f.look(ctx)
	if err != nil {
		return err
	}
	g.at, g.acked = time.Now(), p.Acked
	if g.relays, err = cpuTime(programsOf(s.relays)...); err != nil {
		return err
	}
	g.redis, err = cpuTime(programsOf(s.redis)...)
	return err
}

// relayTrackers bounds the trackers of a relay where one is killed: those of the killed one come on top.
const relayTrackers = 12_000

// killRelays returns how many relays so many trackers need, three at the least.
func killRelays(trackers int) int { return max(3, (trackers+relayTrackers-1)/relayTrackers) }

// measureKill kills one of several relays.
func measureKill(ctx context.Context, path string, o fleetOptions) (k fleetKill, err error) {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return k, err
	}
	defer os.RemoveAll(dir)
	s, err := startServed(ctx, path, dir, killRelays(o.killed), "replicated", "--tls-self-signed")
	if err != nil {
		return k, err
	}
	defer s.end()
	began := time.Now()
	f, err := startFleet(ctx, o.killed, s.addresses("wss://"), s.token, o.window, o.every)
	if err != nil {
		return k, err
	}
	defer f.end()
	if err := f.await(ctx, "every tracker's first acknowledgement", func(p Progress) bool { return p.Begun == o.killed }); err != nil {
		return k, err
	}
	k = fleetKill{Trackers: o.killed, Relays: len(s.relays), Every: o.every.Seconds(), Connected: time.Since(began).Seconds()}
	if _, err := f.delays(ctx); err != nil {
		return k, err
	}
	if !sleepUntil(ctx, time.Now().Add(2*o.every)) {
		return k, ctx.Err()
	}
	quiet, err := f.delays(ctx)
	if err != nil {
		return k, err
	}
	k.Quiet = ms(percentile(quiet, 0.99))
	if k.Memory, err = memory(resident, programsOf(s.relays)...); err != nil {
		return k, err
	}

	if err := f.each(ctx, "Lose", 0); err != nil {
		return k, err
	}
	killed := time.Now()
	s.relays[0].programs[0].Kill()
	if err := f.await(ctx, "half of the trackers", func(p Progress) bool {
		k.Orphans = p.Orphans
		return 2*p.Back >= p.Orphans+p.Others
	}); err != nil {
		return k, err
	}
	k.Half = time.Since(killed).Seconds()
	if err := f.await(ctx, "all trackers", func(p Progress) bool {
		k.Cut = p.Others
		return p.Back == p.Orphans+p.Others
	}); err != nil {
		return k, err
	}
	k.All = time.Since(killed).Seconds()
	others, err := f.delays(ctx)
	if err != nil {
		return k, err
	}
	k.Others = ms(percentile(others, 0.99))

	if err := f.each(ctx, "Stop", struct{}{}); err != nil {
		return k, err
	}
	if err := f.await(ctx, "the last acknowledgements", func(p Progress) bool {
		k.Made = p.Made
		return p.Acked == p.Made
	}); err != nil {
		return k, err
	}
	k.Stored, err = s.stored()
	return k, err
}

// await asks reached until it returns true.
func await(ctx context.Context, what string, reached func() bool) error {
	const longest = 20 * time.Minute // for the first connections of 100,000 trackers
	for deadline := time.Now().Add(longest); !reached(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v", what, longest)
		}
		if !sleepUntil(ctx, time.Now().Add(50*time.Millisecond)) {
			return ctx.Err()
		}
	}
	return nil
}

const fleetLegend = `
A Redis with two replicas on the same machine, relays of kind pubsub; each tracker sends as fast as its window allows
median, p99: ms from sending a fix to its acknowledgement
CPU: µs of CPU time a fix, of all relays, and of the three Redis
memory: bytes of the master's data a fix
`

// print writes tables.
func (r fleetReport) print(w io.Writer) error {
	fmt.Fprintf(w, "\n%d CPUs; load %s at the start, %s; %d trackers with a window of %d\n\n", r.CPUs, r.Load, r.Go, r.Trackers, r.Window)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "durable\trelays\tacknowledged a second\tmedian\tp99\trelays' CPU\tRedis' CPU\tmemory")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.1f\t%.1f\t%.0f\n", row.Durable, row.Nodes, row.PerSecond, row.Median, row.P99, row.Relay, row.Redis, row.Bytes)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if k := r.Kill; k != nil {
		fmt.Fprintf(w, "\n%d trackers over TLS, a fix each %.0f s, connected after %.1f s; the %d relays have %.0f MB.\nOne relay killed: of its %d trackers, and %d others that lost their connection, half are acknowledged again after %.1f s, all after %.1f s.\np99 of the others: %.1f ms until then, %.1f ms before. %d fixes made, %d stored.\n",
			k.Trackers, k.Every, k.Connected, k.Relays, k.Memory, k.Orphans, k.Cut, k.Half, k.All, k.Others, k.Quiet, k.Made, k.Stored)
	}
	_, err := io.WriteString(w, fleetLegend)
	return err
}
