package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"gpsbridge/cmd/internal/command"
)

// report is what --json prints.
type report struct {
	GPSD string `json:"gpsd"` // version
	machine
	Scenarios []outcome `json:"scenarios"`
}

// outcome is what came of one scenario.
type outcome struct {
	Scenario  string   `json:"scenario"`
	LeftOut   string   `json:"left_out,omitempty"` // why it was not run
	Epochs    int      `json:"epochs"`
	Sentences int      `json:"sentences"`
	Programs  []result `json:"programs,omitempty"`
}

// result is one program's figures. Delays are absent at full speed, where no client waits for a single fix.
type result struct {
	Program       string  `json:"program"`
	FixesPerEpoch float64 `json:"fixes_per_epoch"`    // messages with a position that reached the client
	EpochsWithout int     `json:"epochs_without_fix"` // epochs of which none did
	FirstByte     *span   `json:"from_first_byte_ms,omitempty"`
	LastByte      *span   `json:"from_last_position_byte_ms,omitempty"`
	Rate          float64 `json:"sentences_per_second,omitempty"` // that it accepted as fast as it could
	CPU           float64 `json:"cpu_ms_per_1000_sentences"`
	Resident      float64 `json:"resident_mb"` // at the end, 1e6 bytes
	Private       float64 `json:"private_mb"`
}

// span is median and 99th percentile, ms.
type span struct {
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
}

func compareGPSD(ctx context.Context, w command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	var builds []string
	fs.Func("gpsbridge", "built program at `PATH`, several times to compare builds; without it, this checkout is built",
		func(path string) error { builds = append(builds, path); return nil })
	epochs := fs.Int("epochs", 40, "measure `N` epochs at 1 Hz, and ten times as many at 10 Hz")
	quick := fs.Bool("quick", false, "a few epochs of each scenario: whether it works, not how fast")
	only := fs.String("only", "", "one `SCENARIO` alone: 1hz-9600, 10hz-9600, 1hz-115200, 10hz-115200 or full")
	asJSON := fs.Bool("json", false, "print JSON instead of tables")
	if _, err := c.Parse(w, fs, args, 0); err != nil {
		return err
	}
	scenarios, err := scenarios(*epochs, *quick, *only)
	if err != nil {
		return err
	}
	path, version, err := findGPSD(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if builds == nil {
		built, err := buildGpsbridge(ctx, dir)
		if err != nil {
			return err
		}
		builds = []string{built}
	}
	starters := []starter{gpsd(path)}
	for _, built := range builds {
		starters = append(starters, gpsbridge(built))
	}
	r := report{GPSD: version, machine: thisMachine()}
	for _, s := range scenarios {
		fmt.Fprintf(w.Stderr, "%s: about %v\n", s.name(), s.lasts().Round(time.Second))
		o, err := s.run(ctx, starters)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
		o.Scenario = s.name()
		r.Scenarios = append(r.Scenarios, o)
	}
	if *asJSON {
		return printJSON(w.Stdout, r)
	}
	return r.print(w.Stdout)
}

// scenarios are those that the command line asks for.
func scenarios(epochs int, quick bool, only string) ([]scenario, error) {
	// The p99 of ten epochs is their greatest; fewer show that it works, and nothing else.
	if !quick && epochs < 10 {
		return nil, command.Misusef("--epochs %d is too few to show anything: use 10 or more, or --quick", epochs)
	}
	warmUp, rounds, long := 5, 9, 1500
	if quick {
		epochs, warmUp, rounds, long = 2, 2, 1, 150
	}
	all := []scenario{}
	for _, baud := range []int{9600, 115200} {
		for _, rate := range []int{1, 10} {
			all = append(all, paced{rate: rate, baud: baud, epochs: epochs * rate, warmUp: warmUp * rate})
		}
	}
	all = append(all, fullSpeed{epochs: long, rounds: rounds})
	if only == "" {
		return all, nil
	}
	var names []string
	for _, s := range all {
		if s.name() == only {
			return []scenario{s}, nil
		}
		names = append(names, s.name())
	}
	return nil, command.Misusef("--only %q is not a scenario: use one of %s", only, strings.Join(names, ", "))
}

// legend explains the columns.
const legend = `
delays in ms, median and p99: first byte: from the first byte of the epoch on the line to the fix at a client
                              last byte:  from the last byte of the last sentence that may add to it (RMC, VTG, GGA, GSA);
                                          below zero: it was not waited for
CPU: ms of CPU time for 1000 sentences; memory at the end in MB (1e6 bytes), private: RssAnon
`

// print writes the scenarios as one table: a row a program, and the quotients with the first program after them.
func (r report) print(w io.Writer) error {
	fmt.Fprintf(w, "\ngpsd %s, %s, %d CPUs, load %s\n\n", r.GPSD, r.Go, r.CPUs, r.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tprogram\tfixes/epoch\twithout\tfirst byte\tp99\tlast byte\tp99\tsentences/s\tCPU\tresident\tprivate\t")
	for _, o := range r.Scenarios {
		if o.LeftOut != "" {
			continue
		}
		first := o.Programs[0]
		for _, p := range o.Programs {
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%d\t%s\t%s\t%.2f\t%.1f\t%.1f\t\n", o.Scenario, p.Program, p.FixesPerEpoch, p.EpochsWithout,
				p.delays(), number(p.Rate, 0), p.CPU, p.Resident, p.Private)
		}
		for _, p := range o.Programs[1:] {
			fmt.Fprintf(t, "\t/%s\t\t\t%s\t\t\t\t%s\t%.2f\t%.2f\t%.2f\t\n", first.Program, p.FirstByte.over(first.FirstByte),
				number(p.Rate/first.Rate, 2), p.CPU/first.CPU, p.Resident/first.Resident, p.Private/first.Private)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, o := range r.Scenarios {
		if o.LeftOut != "" {
			fmt.Fprintf(w, "%s left out: %s\n", o.Scenario, o.LeftOut)
		}
	}
	_, err := io.WriteString(w, legend)
	return err
}

// delays are the four columns of both spans.
func (r result) delays() string {
	if r.FirstByte == nil {
		return "\t\t\t"
	}
	return fmt.Sprintf("%.1f\t%.1f\t%.1f\t%.1f", r.FirstByte.Median, r.FirstByte.P99, r.LastByte.Median, r.LastByte.P99)
}

// over is the quotient of two medians, "" where one is absent.
func (s *span) over(base *span) string {
	if s == nil || base == nil {
		return ""
	}
	return number(s.Median/base.Median, 2)
}

// number is v with so many decimals, "" where there is no figure.
func number(v float64, decimals int) string {
	if !(v > 0) {
		return ""
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

func printJSON(w io.Writer, report any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(report)
}
