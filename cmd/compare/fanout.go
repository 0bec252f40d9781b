package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"gpsbridge/cmd/internal/command"
)

// fanoutOptions are what the command line says.
type fanoutOptions struct {
	gpsbridge string // path of the built program
	viewers   []int
	servers   []string
	rate      float64
	lasts     time.Duration
	cores     int // that the relay may use; every other one uses one
	most      int // viewers with which the most deliveries are sought; 0 for not
	hostile   bool
	json      bool
}

// crowd is what one server did with so many viewers.
type crowd struct {
	Viewers int        `json:"viewers"`
	Server  string     `json:"server"`
	LeftOut string     `json:"left_out,omitempty"` // why it was not run
	Figures *delivered `json:"figures,omitempty"`
	Median  *float64   `json:"median_ms,omitempty"` // absent where half of the messages did not come
	P99     *float64   `json:"p99_ms,omitempty"`
	// BesideFloor is the processor time of a delivery, in the floor's.
	BesideFloor float64 `json:"cpu_beside_floor,omitempty"`
}

// fanoutReport is what --json prints.
type fanoutReport struct {
	CPUs    int      `json:"cpus"`
	Cores   int      `json:"relay_cpus"` // that the relay may use, 0 for all
	Load    string   `json:"load"`       // of the machine at the start
	Go      string   `json:"go"`
	Rate    float64  `json:"messages_per_second"`
	Crowds  []crowd  `json:"crowds,omitempty"`
	Most    *most    `json:"most,omitempty"`
	Hostile []attack `json:"hostile,omitempty"`
}

func compareFanout(ctx context.Context, w command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	var o fanoutOptions
	o.register(fs)
	if _, err := c.Parse(w, fs, args, 0); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := allowFiles(slices.Max(append(o.viewers, o.most))); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if o.gpsbridge == "" && slices.Contains(o.servers, "relay") {
		if o.gpsbridge, err = buildGpsbridge(ctx, folder); err != nil {
			return err
		}
	}
	chosen := slices.DeleteFunc(servers(o.gpsbridge), func(s server) bool { return !slices.Contains(o.servers, s.name) })
	r := fanoutReport{CPUs: runtime.NumCPU(), Cores: o.cores, Load: loadAverage(), Go: runtime.Version(), Rate: o.rate}
	fmt.Fprintf(w.Stderr, "%d processors, load %s; about %v\n", r.CPUs, r.Load, o.takes().Round(time.Second))
	if err := r.run(ctx, w, o, chosen); err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(w.Stdout).Encode(r)
	}
	r.print(w.Stdout)
	return nil
}

func (o *fanoutOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.gpsbridge, "gpsbridge", "", "built program at `PATH`; without it, this checkout is built")
	fs.Func("viewers", "so many viewers, one after the other: `N,N,...` (default 100,1000,10000; 100 with --hostile)", o.setViewers)
	fs.Func("servers", "these servers alone: `NAME,...` of floor, relay, daphne and daphne-redis (default all; relay with --hostile)",
		func(v string) error { o.servers = strings.Split(v, ","); return nil })
	fs.Float64Var(&o.rate, "rate", 10, "messages a second, 1 to 1000, in `HZ`")
	fs.DurationVar(&o.lasts, "for", 8*time.Second, "publish for `TIME` in each measurement")
	fs.IntVar(&o.cores, "cores", 1, "`N` processors for the relay, 0 for all; the others use one")
	fs.IntVar(&o.most, "most", 1000, "seek the most deliveries a second of the relay on one processor with `N` viewers; 0 for not")
	fs.BoolVar(&o.hostile, "hostile", false, "measure what hostile viewers do to 100 others instead")
	fs.BoolVar(&o.json, "json", false, "print JSON instead of a table")
}

func (o *fanoutOptions) setViewers(v string) error {
	o.viewers = nil
	for word := range strings.SplitSeq(v, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > relayConns {
			return fmt.Errorf("%q is no number of viewers from 1 to %d", word, relayConns)
		}
		o.viewers = append(o.viewers, n)
	}
	return nil
}

// check completes what the command line says and finds what cannot be.
func (o *fanoutOptions) check() error {
	viewers, names := []int{100, 1000, 10_000}, []string{"floor", "relay", "daphne", "daphne-redis"}
	if o.servers == nil {
		o.servers = names
		if o.hostile {
			o.servers = []string{"relay"}
		}
	}
	for _, name := range o.servers {
		if !slices.Contains(names, name) || o.hostile && name == "floor" {
			return command.Misusef("--servers %q is none to measure: use some of %s", name, strings.Join(names[1:], ", "))
		}
	}
	if o.hostile {
		viewers = viewers[:1]
	}
	if o.viewers == nil {
		o.viewers = viewers
	}
	if o.hostile || !slices.Contains(o.servers, "relay") {
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
	case o.hostile && len(o.viewers) > 1:
		return command.Misusef("--hostile goes with one number of --viewers")
	}
	return nil
}

// takes is about how long the measurements last.
func (o *fanoutOptions) takes() time.Duration {
	const each = warmUp + 2*settleFor + time.Second // and the start
	if o.hostile {
		return time.Duration(len(o.servers)) * (2*o.lasts + each + 3*hostileRounds*settleFor)
	}
	all := time.Duration(len(o.viewers)*len(o.servers)) * (o.lasts + each)
	if o.most > 0 {
		all += mostTakes
	}
	return all
}

// run measures one server after the other with so many viewers, then all with more: what disturbs the machine meanwhile
// disturbs neighbours in the table.
func (r *fanoutReport) run(ctx context.Context, w command.Process, o fanoutOptions, chosen []server) (err error) {
	if o.hostile {
		r.Hostile, err = underAttack(ctx, w, o, chosen)
		return err
	}
	behind := make(map[string]int) // servers that did not keep up, and with how many viewers
	for _, viewers := range o.viewers {
		var floor float64
		for _, s := range chosen {
			c := crowd{Viewers: viewers, Server: s.title}
			if missing := s.missing(); missing != nil {
				c.LeftOut = missing.Error()
			} else if n := behind[s.name]; n > 0 {
				c.LeftOut = fmt.Sprintf("left out: it did not keep up with %d", n)
			} else if err := c.measure(ctx, w, s, o); err != nil {
				return err
			}
			if c.Figures != nil {
				if s.name == "floor" {
					floor = c.Figures.CPU
				}
				if floor > 0 {
					c.BesideFloor = c.Figures.CPU / floor
				}
				if !c.Figures.whole() {
					behind[s.name] = viewers
				}
			}
			r.Crowds = append(r.Crowds, c)
		}
	}
	if o.most > 0 {
		r.Most, err = seekMost(ctx, w, o.most, chosen)
	}
	return err
}

// measure measures one server with the viewers of c.
func (c *crowd) measure(ctx context.Context, w command.Process, s server, o fanoutOptions) error {
	fmt.Fprintf(w.Stderr, "%s, %d viewers\n", s.title, c.Viewers)
	open, err := openSession(ctx, s, c.Viewers, o.cores)
	if err != nil {
		return err
	}
	defer open.close()
	if _, err := open.publisher.publish(ctx, o.rate, warmUp); err != nil {
		return err
	}
	d, err := open.measure(ctx, o.rate, o.lasts)
	if err != nil {
		return fmt.Errorf("%s, %d viewers: %w", s.title, c.Viewers, err)
	}
	c.Figures = &d
	if ms, ok := d.p(0.5); ok {
		c.Median = &ms
	}
	if ms, ok := d.p(0.99); ok {
		c.P99 = &ms
	}
	return nil
}
