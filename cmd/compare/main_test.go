package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gpsbridge/bridge/realtest"
	"gpsbridge/cmd/internal/command"
)

// A program that is left running leaves the goroutine that waits for it. The roles are played by this binary.
func TestMain(m *testing.M) {
	for _, c := range roles() {
		if len(os.Args) > 1 && os.Args[1] == c.Name {
			main()
		}
	}
	goleak.VerifyTestMain(m)
}

// invoke runs a command line and returns its exit code and what it printed.
func invoke(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = commandLine().Dispatch(ctx, command.Process{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}, args)
	return code, out.String(), errs.String()
}

func TestWrongUsageIsOneLineAndExitCode2(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"fly", `unknown command "fly": compare help`},
		{"gpsd --fly", `compare gpsd: .*-fly.*: compare gpsd -h`},
		{"gpsd now", `"now" is one word too many`},
		{"gpsd --epochs 3", `--epochs 3 is too few.*use 10`},
		{"gpsd --only 5hz-9600", `--only "5hz-9600" is not a scenario: use one of 1hz-9600, .*full`},
		{"fanout --viewers 10,x", `"x" is not a number of viewers`},
		{"fanout --servers relay,nginx", `--servers "nginx".*relay, daphne`},
		{"fanout --rate 0.5", `--rate 0.5: use 1`},
		{"fanout --for 1ms", `--for 1ms: use 1s`},
		{"hostile --only pings,kindness", `--only "kindness".*fragments, .*all`},
		{"wire --servers relay,nginx", `--servers "nginx" cannot be measured.*daphne, relay`},
		{"wire --programs fast", `--programs "fast" is not a configuration.*plain`},
		{"wire --rates 1,20", `"20" is not a number of fixes a second from 1 to 10`},
		{"wire --for 1ms", `--for 1ms: use 1s`},
		{"fleet --relays 1,x", `"x" is not a number of relays`},
		{"fleet --durable none,twice", `"twice" is not one of none, memory`},
		{"fleet --for 1ms", `1s or more --for`},
		{"hostile --rounds 0", `--rounds 0: use 1`},
	} {
		code, stdout, stderr := invoke(t.Context(), strings.Fields(test.line)...)
		if code != command.Misuse || strings.Count(stderr, "\n") != 1 || stdout != "" || !regexp.MustCompile(test.want).MatchString(stderr) {
			t.Errorf("compare %s: exit code %d, stdout %q, stderr %q, want 2, nothing, one line that matches %q",
				test.line, code, stdout, stderr, test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	if code, _, stderr := invoke(t.Context()); code != command.Misuse || !strings.Contains(stderr, "compare gpsd") {
		t.Errorf("no command: exit code %d, stderr %q, want 2 and the commands", code, stderr)
	}
	for _, c := range commandLine().Commands {
		code, stdout, stderr := invoke(t.Context(), c.Name, "-h")
		if code != command.Done || stderr != "" || !strings.HasPrefix(stdout, "compare "+c.Name+" "+c.Args) {
			t.Errorf("compare %s -h: exit code %d, stdout %q, stderr %q", c.Name, code, stdout, stderr)
		}
	}
}

func TestMissingGPSDIsOneLineWithTheFix(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, _, err := findGPSD(t.Context()); err == nil {
		t.Skip("gpsd is where it is found without PATH")
	}
	code, _, stderr := invoke(t.Context(), "gpsd")
	if code != command.Failed || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, apt+"gpsd") {
		t.Errorf("exit code %d, stderr %q, want 1 and how to install gpsd", code, stderr)
	}
}

func TestGPSDSideBySide(t *testing.T) {
	realtest.Need(t, realtest.GPSD)
	t.Parallel()
	code, stdout, stderr := invoke(t.Context(), "gpsd", "--quick", "--json")
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.GPSD == "" || len(r.Scenarios) != 5 {
		t.Errorf("version %q and %d scenarios, want one and 5", r.GPSD, len(r.Scenarios))
	}
	for _, o := range r.Scenarios {
		if o.Scenario == "10hz-9600" {
			if o.LeftOut == "" {
				t.Errorf("%s is not left out, and its bytes do not fit the line", o.Scenario)
			}
			continue
		}
		if len(o.Programs) != 2 || o.Programs[0].Program != "gpsd" || o.Programs[1].Program != "gpsbridge" {
			t.Fatalf("%s: programs %+v, want gpsd and gpsbridge", o.Scenario, o.Programs)
		}
		for _, p := range o.Programs {
			if p.FixesPerEpoch <= 0 || p.CPU <= 0 || p.Resident < p.Private || p.Private <= 0 {
				t.Errorf("%s: %s has no fixes, CPU time or memory: %+v", o.Scenario, p.Program, p)
			}
			delays := p.FirstByte != nil && p.LastByte != nil
			if full := o.Scenario == "full"; full == delays || full != (p.Rate > 0) {
				t.Errorf("%s: %s has the wrong figures: %+v", o.Scenario, p.Program, p)
			}
		}
	}
}

func TestInterruptEndsThePrograms(t *testing.T) {
	realtest.Need(t, realtest.GPSD)
	t.Parallel()
	path, _, err := findGPSD(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupted, dial := gpsd(path), watchGPSD
	interrupted.dial = func(ctx context.Context, addr string) (*client, error) {
		c, err := dial(ctx, addr)
		if err == nil {
			cancel()
		}
		return c, err
	}
	s := paced{rate: 1, baud: 9600, epochs: 1000}
	all, err := startAll(ctx, []starter{interrupted}, s.baud)
	if err == nil {
		_, err = s.one(ctx, all[0], nil, time.Now())
	}
	stopAll(all)
	if ctx.Err() == nil || err == nil {
		t.Errorf("error %v, want that of the context", err)
	}
	if started := all[0].program; started.Alive() == nil {
		t.Errorf("gpsd (process %d) still runs", started.PID())
	}
}
