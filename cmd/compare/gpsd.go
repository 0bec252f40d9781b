package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"gpsbridge/cmd/internal/command"
)

// scenario is one way of feeding all programs alike.
type scenario interface {
	name() string         // for --only
	lasts() time.Duration // about
	run(ctx context.Context, starters []starter) (outcome, error)
}

// gpsdOptions are what the command line says.
type gpsdOptions struct {
	gpsbridge    []string // paths of built programs
	log, only    string
	epochs       int
	quick, json  bool
	chunk, apart time.Duration
}

// report is what --json prints.
type report struct {
	GPSD      string    `json:"gpsd"` // version
	CPUs      int       `json:"cpus"`
	Load      string    `json:"load"` // of the machine at the start: above CPUs others are in the way
	Go        string    `json:"go"`
	Scenarios []outcome `json:"scenarios"`
}

func compareGPSD(ctx context.Context, w command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	var o gpsdOptions
	o.register(fs)
	if _, err := c.Parse(w, fs, args, 0); err != nil {
		return err
	}
	scenarios, err := o.scenarios()
	if err != nil {
		return err
	}
	path, version, err := findGPSD(ctx)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if o.gpsbridge == nil {
		built, err := buildGpsbridge(ctx, folder)
		if err != nil {
			return err
		}
		o.gpsbridge = []string{built}
	}
	starters := []starter{gpsd(path)}
	for _, built := range o.gpsbridge {
		starters = append(starters, gpsbridge(built))
	}
	r := report{GPSD: version, CPUs: runtime.NumCPU(), Load: loadAverage(), Go: runtime.Version()}
	return r.run(ctx, w, o.json, scenarios, starters)
}

func (o *gpsdOptions) register(fs *flag.FlagSet) {
	fs.Func("gpsbridge", "built program at `PATH`, several times to compare builds; without it, this checkout is built",
		func(path string) error { o.gpsbridge = append(o.gpsbridge, path); return nil })
	fs.IntVar(&o.epochs, "epochs", 40, "measure `N` epochs at 1 Hz, and ten times as many at 10 Hz")
	fs.BoolVar(&o.quick, "quick", false, "a few epochs of each scenario: whether it works, not how fast")
	fs.StringVar(&o.only, "only", "", "one `SCENARIO` alone: 1hz-9600, 10hz-9600, 1hz-115200, 10hz-115200 or full")
	fs.StringVar(&o.log, "log", "", "play the recorded `FILE` at full speed instead of a simulated drive")
	fs.BoolVar(&o.json, "json", false, "print JSON instead of tables")
	fs.DurationVar(&o.chunk, "chunk", 10*time.Millisecond,
		"bytes of up to `TIME` on the line, and of one sentence at the most, become readable together")
	fs.DurationVar(&o.apart, "apart", 2*time.Millisecond,
		"how long after one program the next gets the same bytes, so that none stands in another's way; 0 for together")
}

// scenarios are those that the options ask for.
func (o gpsdOptions) scenarios() ([]scenario, error) {
	// A p99 of ten epochs is their greatest: no fewer, but to see that it works.
	if !o.quick && o.epochs < 10 {
		return nil, command.Misusef("--epochs %d is too few to tell anything: use 10 or more, or --quick", o.epochs)
	}
	if o.chunk <= 0 || o.apart < 0 {
		return nil, command.Misusef("--chunk %v --apart %v: use a time above zero, such as 10ms, and one that is not negative", o.chunk, o.apart)
	}
	warmUp, rounds, sentences := 5, 9, defaultSentences
	if o.quick {
		o.epochs, warmUp, rounds, sentences = 2, 2, 1, defaultSentences/10
	}
	recorded, err := record(sentences)
	if o.log != "" {
		recorded, err = load(o.log)
	}
	if err != nil {
		return nil, command.AsMisuse(err)
	}
	var all []scenario
	for _, baud := range []int{9600, 115200} {
		for _, rate := range []int{1, 10} {
			all = append(all, paced{rate: rate, baud: baud, epochs: o.epochs * rate, warmUp: warmUp * rate, chunk: o.chunk, apart: o.apart})
		}
	}
	all = append(all, fullSpeed{log: recorded, rounds: rounds})
	if o.only == "" {
		return all, nil
	}
	var names []string
	for _, s := range all {
		if s.name() == o.only {
			return []scenario{s}, nil
		}
		names = append(names, s.name())
	}
	return nil, command.Misusef("--only %q is no scenario: use one of %s", o.only, strings.Join(names, ", "))
}

// run runs the scenarios one after the other and prints each as it is done, or all as JSON at the end.
func (r *report) run(ctx context.Context, w command.Process, asJSON bool, scenarios []scenario, starters []starter) error {
	tables := w.Stdout
	if asJSON {
		tables = io.Discard
	}
	var lasts time.Duration
	for _, s := range scenarios {
		lasts += s.lasts()
	}
	fmt.Fprintf(w.Stderr, "gpsd and gpsbridge read the same simulated receiver, for about %v\n", lasts.Round(time.Second))
	fmt.Fprintf(tables, "gpsd %s and gpsbridge (%s), %d CPUs, load %s\n\n%s", r.GPSD, r.Go, r.CPUs, r.Load, legend)
	for _, s := range scenarios {
		o, err := s.run(ctx, starters)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %w", ctx.Err())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
		o.print(tables)
		r.Scenarios = append(r.Scenarios, o)
	}
	if !asJSON {
		return nil
	}
	e := json.NewEncoder(w.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
