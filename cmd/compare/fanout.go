package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gpsbridge/cmd/internal/command"
)

// fanoutOptions are what the command line chooses.
type fanoutOptions struct {
	viewers []int
	servers []string
	rate    float64
	lasts   time.Duration
	cores   int // that the relay may use; every other server uses one
	most    int // viewers with which the most deliveries are sought; 0 for not
}

// crowd is what one server did with so many viewers.
type crowd struct {
	Server  string     `json:"server"`
	Viewers int        `json:"viewers"`
	LeftOut string     `json:"left_out,omitempty"` // why it was not run
	Figures *delivered `json:"figures,omitempty"`
	// BesideFloor is the CPU time of a delivery, in the floor's.
	BesideFloor float64 `json:"cpu_beside_floor,omitempty"`
}

// most is what the relay does at the most on one CPU, and at rest.
type most struct {
	crowd
	Idle float64 `json:"idle_mb"` // memory of the viewers before the first message
}

// fanoutReport is what --json prints.
type fanoutReport struct {
	machine
	Cores  int     `json:"relay_cpus"` // that the relay may use, 0 for all
	Rate   float64 `json:"messages_per_second"`
	Crowds []crowd `json:"crowds,omitempty"`
	Most   *most   `json:"most,omitempty"`
}

func compareFanout(ctx context.Context, w command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	var o fanoutOptions
	path := fs.String("gpsbridge", "", "built program at `PATH`; without it, this checkout is built")
	fs.Func("viewers", "so many viewers, one after the other: `N,N,...` (default 100,1000,10000)", o.setViewers)
	fs.Func("servers", "these servers alone: `NAME,...` of floor, relay, daphne, daphne-redis, and of three that share a Redis, relays and daphnes (default the first four)",
		func(v string) error { o.servers = strings.Split(v, ","); return nil })
	fs.Float64Var(&o.rate, "rate", 10, "messages a second, 1 to 1000, in `HZ`")
	fs.DurationVar(&o.lasts, "for", 8*time.Second, "publish for `TIME` in each measurement")
	fs.IntVar(&o.cores, "cores", 1, "`N` CPUs for the relay, 0 for all; the others use one")
	fs.IntVar(&o.most, "most", 1000, "seek the most deliveries a second of the relay on one CPU with `N` viewers; 0 for not")
	asJSON := fs.Bool("json", false, "print JSON instead of a table")
	if _, err := c.Parse(w, fs, args, 0); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := allowFiles(slices.Max(append(o.viewers, o.most))); err != nil {
		return err
	}
	if *path == "" && !slices.Contains(o.servers, "relay") && !slices.Contains(o.servers, "relays") {
		*path = "none" // is needed
	}
	r := &fanoutReport{machine: thisMachine(), Cores: o.cores, Rate: o.rate}
	return measured(ctx, w, r, *asJSON, *path, func(path, _ string) error {
		chosen := slices.DeleteFunc(servers(path), func(s server) bool { return !slices.Contains(o.servers, s.name) })
		return r.run(ctx, w.Stderr, o, chosen)
	})
}

func (o *fanoutOptions) setViewers(v string) error {
	o.viewers = nil
	for word := range strings.SplitSeq(v, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > relayConns {
			return fmt.Errorf("%q is not a number of viewers from 1 to %d", word, relayConns)
		}
		o.viewers = append(o.viewers, n)
	}
	return nil
}

// check completes what the command line chooses and finds what cannot be.
func (o *fanoutOptions) check() error {
	names := []string{"floor", "relay", "daphne", "daphne-redis", "relays", "daphnes"}
	if o.servers == nil {
		o.servers = names[:4]
	}
	if o.viewers == nil {
		o.viewers = []int{100, 1000, 10_000}
	}
	for _, name := range o.servers {
		if !slices.Contains(names, name) {
			return command.Misusef("--servers %q cannot be measured: use some of %s", name, strings.Join(names, ", "))
		}
	}
	if !slices.Contains(o.servers, "relay") {
		o.most = 0
	}
	switch {
	case !(o.rate >= 1 && o.rate <= 1000):
		return command.Misusef("--rate %g: use 1 to 1000 messages a second", o.rate)
	case o.lasts < time.Second || o.lasts > time.Hour:
		return command.Misusef("--for %v: use 1s to 1h", o.lasts)
	case o.cores < 0:
		return command.Misusef("--cores %d: use 1 or more, or 0 for all", o.cores)
	case o.most < 0 || o.most > relayConns:
		return command.Misusef("--most %d: use up to %d viewers, or 0", o.most, relayConns)
	}
	return nil
}

// run measures one server after the other with so many viewers, then all with more: what disturbs the machine meanwhile
// disturbs neighbours in the table.
func (r *fanoutReport) run(ctx context.Context, progress io.Writer, o fanoutOptions, chosen []server) error {
	overrun := make(map[string]int) // servers that did not keep up, and with how many viewers
	for _, viewers := range o.viewers {
		var floor float64
		for _, s := range chosen {
			fmt.Fprintf(progress, "%s, %d viewers\n", s.title, viewers)
			c := crowd{Viewers: viewers, Server: s.title}
			if missing := s.missing(); missing != nil {
				c.LeftOut = missing.Error()
			} else if n := overrun[s.name]; n > 0 {
				c.LeftOut = fmt.Sprintf("left out: it did not keep up with %d", n)
			} else {
				d, err := measure(ctx, s, viewers, o.cores, o.rate, o.lasts)
				if err != nil {
					return err
				}
				c.Figures = &d
				if s.name == "floor" {
					floor = d.CPU
				}
				if floor > 0 {
					c.BesideFloor = d.CPU / floor
				}
				if !d.whole() {
					overrun[s.name] = viewers
				}
			}
			r.Crowds = append(r.Crowds, c)
		}
	}
	if o.most == 0 {
		return nil
	}
	fmt.Fprintln(progress, "the most deliveries of the relay")
	var err error
	r.Most, err = seekMost(ctx, o.most, chosen)
	return err
}

// measure measures one server with so many viewers.
func measure(ctx context.Context, s server, viewers, cores int, rate float64, lasts time.Duration) (delivered, error) {
	open, err := openSession(ctx, s, viewers, cores)
	if err != nil {
		return delivered{}, err
	}
	defer open.close()
	if _, err := open.publish(ctx, rate, warmUp); err != nil {
		return delivered{}, err
	}
	return open.measure(ctx, rate, lasts)
}

// The search for the most deliveries a second, from below what every machine does, in steps until two in a row are not all
// delivered with a p99 below mostP99: one may be the machine's fault.
const (
	mostFrom = 20_000.0
	mostTo   = 2_000_000.0
	mostStep = 1.5
	mostFor  = 2 * time.Second
	mostP99  = 100 // ms
)

// seekMost seeks the most deliveries of the relay on one CPU, and has the floor deliver as many.
func seekMost(ctx context.Context, viewers int, chosen []server) (*most, error) {
	at := func(name string) int { return slices.IndexFunc(chosen, func(s server) bool { return s.name == name }) }
	relay := chosen[at("relay")]
	m := &most{crowd: crowd{Viewers: viewers, Server: relay.title}}
	open, err := openSession(ctx, relay, viewers, 1)
	if err != nil {
		return nil, err
	}
	defer open.close()
	m.Idle = open.idle - open.empty
	for rate, misses := mostFrom, 0; misses < 2 && rate < mostTo; rate *= mostStep {
		if _, err := open.publish(ctx, rate/float64(viewers), warmUp/2); err != nil {
			return nil, err
		}
		d, err := open.measure(ctx, rate/float64(viewers), mostFor)
		if err != nil {
			return nil, err
		}
		if d.whole() && *d.P99 < mostP99 {
			m.Figures, misses = &d, 0
		} else {
			misses++
		}
	}
	if floor := at("floor"); floor >= 0 && m.Figures != nil {
		d, err := measure(ctx, chosen[floor], viewers, 1, m.Figures.PerSecond/float64(viewers), mostFor)
		if err != nil {
			return nil, err
		}
		m.BesideFloor = m.Figures.CPU / d.CPU
	}
	return m, nil
}

// fanoutLegend explains the columns.
const fanoutLegend = `
median, p99: ms from publishing to the read that completed the message at a viewer, over all that were due
CPU: µs of the server's CPU time a delivery, the kernel's included, and in those of the floor
memory: resident at the end, 1e6 bytes
The floor writes each message by itself; the relay, where it is late, several of one viewer at once.
`

// print writes tables.
func (r fanoutReport) print(w io.Writer) error {
	fmt.Fprintf(w, "\n%d CPUs, %d for the relay (0: all); load %s at the start, %s; %g messages a second\n\n", r.CPUs, r.Cores, r.Load, r.Go, r.Rate)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "viewers\tserver\tdeliveries a second\tof\tmedian\tp99\tCPU\tof the floor's\tmemory")
	for _, c := range r.Crowds {
		c.print(t, r.Rate*float64(c.Viewers))
	}
	if r.Most != nil && r.Most.Figures != nil {
		r.Most.print(t, r.Most.Figures.PerSecond)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Most != nil {
		fmt.Fprintf(w, "\nThe last line is the most that the relay delivers on one CPU with a p99 below %d ms. Its viewers at rest: %.1f MB.\n", mostP99, r.Most.Idle)
	}
	_, err := io.WriteString(w, fanoutLegend)
	return err
}

// print writes a row.
func (c crowd) print(w io.Writer, due float64) {
	fmt.Fprintf(w, "%d\t%s\t", c.Viewers, c.Server)
	if d := c.Figures; d != nil {
		fmt.Fprintf(w, "%.0f\t%.0f\t%s\t%s\t%.1f\t%s\t%.1f", d.PerSecond, due, late(d.Median), late(d.P99), d.CPU, number(c.BesideFloor, 2), d.Memory)
	}
	fmt.Fprintln(w, c.LeftOut)
}

// late is a delay that not all messages had.
func late(ms *float64) string {
	if ms == nil {
		return "not delivered"
	}
	return strconv.FormatFloat(*ms, 'f', 2, 64)
}
