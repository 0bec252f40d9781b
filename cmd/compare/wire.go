package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/realtest/netns"
	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/cmd/internal/command"
)

// wireOptions are what the command line chooses.
type wireOptions struct {
	servers, programs []string
	rates             []int
	lasts             time.Duration
	log               string  // path of a recorded one; "" for a simulated receiver
	recorded          []epoch // of the log
}

// wireReport is what --json prints.
type wireReport struct {
	machine
	Seconds float64   `json:"seconds"`       // that each row was measured for
	Log     string    `json:"log,omitempty"` // name of the recorded one that was played
	Rows    []wireRow `json:"rows"`
}

// wireRow is what one program exchanged with one server. Figures are means over its fixes.
type wireRow struct {
	Server  string `json:"server"`
	Program string `json:"program"`
	Rate    int    `json:"fixes_per_second"`
	LeftOut string `json:"left_out,omitempty"` // why it was not measured

	Fixes   int     `json:"fixes"`
	Traffic traffic `json:"traffic"` // of all of them
	Text    float64 `json:"text_bytes,omitempty"`
	Floor   float64 `json:"floor_bytes,omitempty"`
	Aim     float64 `json:"aim_bytes,omitempty"`
	// Connect and Resumed are what a connection without a fix exchanges: the first one, and one that resumes its TLS session.
	Connect int64 `json:"connect_bytes,omitempty"`
	Resumed int64 `json:"reconnect_bytes,omitempty"`

	CPU     float64 `json:"cpu_ms_per_1000_fixes,omitempty"`
	Private float64 `json:"private_mb,omitempty"` // at the end
	// Compared is of how many messages the text was compared with that of the program without compression, and Same of how many it
	// was the same, byte for byte, but for what identifies the message.
	Compared int `json:"compared_texts,omitempty"`
	Same     int `json:"same_texts,omitempty"`

	texts map[string]string // by the time of the fix
}

func (r wireRow) bytes() float64 { return float64(r.Traffic.total()) / float64(r.Fixes) }

// perDay is in bytes.
func (r wireRow) perDay() float64 { return r.bytes() * float64(r.Rate) * (24 * time.Hour).Seconds() }

func compareWire(ctx context.Context, w command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	o := wireOptions{servers: wireServerNames, programs: wireProgramNames, rates: []int{1, 10}}
	path := fs.String("gpsbridge", "", "built program at `PATH`; without it, this checkout is built")
	baseline := fs.String("baseline", "", "measure an older program at `PATH` too")
	fs.Func("servers", "these servers alone: `NAME,...` of "+strings.Join(o.servers, ", ")+" (default all)",
		func(v string) error { o.servers = strings.Split(v, ","); return nil })
	fs.Func("programs", "these configurations alone: `NAME,...` of "+strings.Join(o.programs, ", ")+" (default all)",
		func(v string) error { o.programs = strings.Split(v, ","); return nil })
	fs.Func("rates", "fixes a second: `HZ,...` (default 1,10)", o.setRates)
	fs.DurationVar(&o.lasts, "for", time.Minute, "measure for `TIME` with each server")
	fs.StringVar(&o.log, "log", "", "play the recorded NMEA log at `PATH` in place of the simulated receiver, one of its epochs for each fix")
	asJSON := fs.Bool("json", false, "print JSON instead of a table")
	if _, err := c.Parse(w, fs, args, 0); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := netns.Lacks(); err != nil {
		return fmt.Errorf("networks cannot be made here: %w: run it as root, and %siproute2 util-linux", err, apt)
	}
	r := &wireReport{machine: thisMachine(), Seconds: o.lasts.Seconds()}
	if o.log != "" {
		r.Log = filepath.Base(o.log)
	}
	return measured(ctx, w, r, *asJSON, *path, func(path, dir string) error {
		return r.run(ctx, w.Stderr, o, wirePrograms(path, *baseline), dir)
	})
}

func (o *wireOptions) setRates(v string) error {
	o.rates = nil
	for word := range strings.SplitSeq(v, ",") {
		rate, err := strconv.Atoi(word)
		if err != nil || rate < 1 || rate > 10 {
			return fmt.Errorf("%q is not a number of fixes a second from 1 to 10", word)
		}
		o.rates = append(o.rates, rate)
	}
	return nil
}

func (o *wireOptions) check() error {
	for _, name := range o.servers {
		if !slices.Contains(wireServerNames, name) {
			return command.Misusef("--servers %q cannot be measured: use some of %s", name, strings.Join(wireServerNames, ", "))
		}
	}
	for _, name := range o.programs {
		if !slices.Contains(wireProgramNames, name) {
			return command.Misusef("--programs %q is not a configuration: use some of %s", name, strings.Join(wireProgramNames, ", "))
		}
	}
	if o.lasts < time.Second || o.lasts > time.Hour {
		return command.Misusef("--for %v: use 1s to 1h", o.lasts)
	}
	if o.log == "" {
		return nil
	}
	var err error
	if o.recorded, err = recorded(o.log); err != nil {
		return err
	}
	if need := 2*wireWarmUp + slices.Max(o.rates)*int(o.lasts.Seconds()); len(o.recorded) < need {
		return command.Misusef("--log %s has %d epochs, and %d are needed: use a shorter --for or fewer --rates", o.log, len(o.recorded), need)
	}
	return nil
}

// input is what the receiver sends at a rate: more than is measured, until all messages of those are there.
func (o *wireOptions) input(rate int) ([]epoch, error) {
	if o.recorded != nil {
		return o.recorded, nil
	}
	return simulate(sim.Config{Rate: rate, Baud: wireBaud}, rate*int((o.lasts+2*time.Minute).Seconds()))
}

// wireProgram is a gpsbridge with a configuration.
type wireProgram struct {
	name, title string // name for --programs
	path        string // "" leaves it out
	report      string // lines of [report]
	uplink      string // lines of [[uplink]]
	servers     string // names of those that it is measured with; "" for all
	plain       bool   // it does not offer compression
	echo        bool   // it does not ask for short acknowledgements
	together    time.Duration
	aim         float64 // bytes a fix at 1 Hz on aimOn
	aimOn       string
}

var wireProgramNames = []string{"baseline", "plain", "deflate", "members", "ack", "members-ack", "batch"}

func wirePrograms(path, baseline string) []wireProgram {
	// With a window below 8 the daemon does not ask for short acknowledgements.
	const echo, off = "window = 7\n", "compress = \"off\"\n"
	const five = `members = ["time", "lat", "lon", "speed", "track"]`
	return []wireProgram{
		{name: "baseline", title: "older program", path: baseline, plain: true, echo: true, servers: "uvicorn hypercorn daphne relay"},
		{name: "plain", title: "without compression", path: path, plain: true, echo: true, uplink: echo + off},
		{name: "deflate", title: "with compression", path: path, echo: true, uplink: echo, aim: 280, aimOn: "uvicorn"},
		{name: "members", title: "and five members", path: path, echo: true, uplink: echo, report: five},
		{name: "ack", title: "and short acks", path: path, servers: "uvicorn-ack relay", aim: 200, aimOn: "uvicorn-ack"},
		{name: "members-ack", title: "short acks, five members", path: path, report: five, servers: "uvicorn-ack relay"},
		{name: "batch", title: "and batch = 10s", path: path, report: `batch = "10s"`, together: 10 * time.Second, aim: 110, aimOn: "uvicorn"},
	}
}

// measuredWith reports whether the program is measured with a server.
func (p wireProgram) measuredWith(s wireServer, o wireOptions) bool {
	return p.path != "" && slices.Contains(o.programs, p.name) && (p.servers == "" || slices.Contains(strings.Fields(p.servers), s.name))
}

// run measures one server after the other: all programs at all rates at the same time, each at a host of its own, so that what
// disturbs the machine disturbs all.
func (r *wireReport) run(ctx context.Context, progress io.Writer, o wireOptions, programs []wireProgram, dir string) error {
	for i, s := range wireServers(programs[len(programs)-1].path) {
		if !slices.Contains(o.servers, s.name) {
			continue
		}
		fmt.Fprintf(progress, "%s: about %v\n", s.title, (o.lasts + 15*time.Second).Round(time.Second))
		if missing := s.missing(); missing != nil {
			r.Rows = append(r.Rows, wireRow{Server: s.title, LeftOut: missing.Error()})
			continue
		}
		own := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		rows, err := measureWire(ctx, s, o, programs, own)
		if err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
		r.Rows = append(r.Rows, rows...)
	}
	if !slices.Contains(o.servers, "other") {
		return nil
	}
	fmt.Fprintln(progress, "other protocols: a few seconds")
	rows, err := measurePeers(ctx, dir)
	r.Rows = append(r.Rows, rows...)
	return err
}

// measureWire measures programs with one server.
func measureWire(ctx context.Context, s wireServer, o wireOptions, programs []wireProgram, dir string) (rows []wireRow, err error) {
	n, err := openNetwork(dir)
	if err != nil {
		return nil, err
	}
	defer n.close()
	running, err := s.start(ctx, n, dir)
	if err != nil {
		return nil, err
	}
	defer running.end()
	var trackers []*tracker
	defer func() {
		for _, t := range trackers {
			t.close()
		}
	}()
	for _, rate := range o.rates {
		for _, p := range programs {
			if !p.measuredWith(s, o) {
				continue
			}
			t, err := openTracker(n, s, running, p, rate, dir)
			if err != nil {
				return nil, err
			}
			trackers = append(trackers, t)
		}
	}
	rows = make([]wireRow, len(trackers))
	if err := forEach(ctx, trackers, func(ctx context.Context, i int, t *tracker) (err error) {
		rows[i], err = t.connect(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	input := make(map[int][]epoch)
	for _, rate := range o.rates {
		if input[rate], err = o.input(rate); err != nil {
			return nil, err
		}
	}
	if err := forEach(ctx, trackers, func(ctx context.Context, i int, t *tracker) error {
		return t.measure(ctx, &rows[i], input[t.rate], o.lasts)
	}); err != nil {
		return nil, err
	}
	for i, t := range trackers {
		rows[i].Server = s.title
		if t.rate == 1 && t.program.aimOn == s.name {
			rows[i].Aim = t.program.aim
		}
		if plain := plainRow(trackers, rows, t); plain != nil {
			rows[i].Compared, rows[i].Same = sameTexts(rows[i].texts, plain.texts)
		}
	}
	return rows, nil
}

func forEach(ctx context.Context, trackers []*tracker, do func(ctx context.Context, i int, t *tracker) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, t := range trackers {
		g.Go(func() error {
			if err := do(ctx, i, t); err != nil {
				return fmt.Errorf("%s at %d Hz: %w", t.program.title, t.rate, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// plainRow is what a tracker is compared with: the same program without compression at the same rate.
func plainRow(trackers []*tracker, rows []wireRow, with *tracker) *wireRow {
	for i, t := range trackers {
		if t.program.name == "plain" && t != with && t.rate == with.rate && with.program.report == "" && with.program.path == t.program.path {
			return &rows[i]
		}
	}
	return nil
}

// sameTexts counts the messages that both have, and those of them with the same text.
func sameTexts(a, b map[string]string) (compared, same int) {
	for at, text := range a {
		if other, both := b[at]; both {
			compared++
			if other == text {
				same++
			}
		}
	}
	return compared, same
}

// wireLegend explains the columns.
const wireLegend = `
bytes a fix, headers of IP and TCP included, of which text is the message itself; day and month at that rate, all day, 30 days
floor: what the same text costs at the least, by arithmetic: compressed with all messages before it where the program compresses,
       in one frame (2 to 8 bytes), one TLS record (22) and one packet (52), the echo likewise, and one packet that acknowledges it
first, again: bytes of a connection without a fix; again: of the next one, after the server has reset the first
CPU: ms for 1000 fixes; memory: private (RssAnon), 1e6 bytes; same: of so many texts at another member of the group, those that are
     byte for byte those of the program without compression, but for what identifies the message
`

func (r wireReport) print(w io.Writer) error {
	fmt.Fprintf(w, "\n%d CPUs, load %s at the start, %s; %g s each, of %s\n\n", r.CPUs, r.Load, r.Go, r.Seconds, cmp.Or(r.Log, "the simulated receiver"))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "server\tprogram\tHz\ttext\tup\tdown\ttotal\tpackets\tfloor\taim\tMB a day\tGB a month\tfirst\tagain\tCPU\tmemory\tsame\t")
	for _, row := range r.Rows {
		row.print(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if row.LeftOut != "" {
			fmt.Fprintf(w, "%s left out: %s\n", row.Server, row.LeftOut)
		}
	}
	_, err := io.WriteString(w, wireLegend)
	return err
}

func (r wireRow) print(w io.Writer) {
	if r.LeftOut != "" {
		return
	}
	fixes := float64(r.Fixes)
	same := ""
	if r.Compared > 0 {
		same = fmt.Sprintf("%d/%d", r.Same, r.Compared)
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%.0f\t%.0f\t%.0f\t%.2f\t%s\t%s\t%.1f\t%.2f\t%s\t%s\t%s\t%s\t%s\t\n", r.Server, r.Program, r.Rate,
		number(r.Text, 0), float64(r.Traffic.Up)/fixes, float64(r.Traffic.Down)/fixes, r.bytes(), float64(r.Traffic.packets())/fixes,
		number(r.Floor, 0), number(r.Aim, 0), r.perDay()/1e6, r.perDay()*30/1e9, number(float64(r.Connect), 0), number(float64(r.Resumed), 0),
		number(r.CPU, 0), number(r.Private, 1), same)
}

var errNoFix = errors.New("no fix came to the group")

// withoutNames returns the time of a fix, and its text without what identifies the message, which no other program's has: the device
// ID, the run, and the number in it, which is another after an epoch that a busy machine has cut in two.
func withoutNames(text []byte) (at, rest string, ok bool) {
	var m struct {
		Class, Run, Time string
		Device           string `json:"device_id"`
		Seq              json.Number
	}
	if json.Unmarshal(text, &m) != nil || m.Class != "TPV" || m.Time == "" {
		return "", "", false
	}
	rest = string(text)
	for _, name := range []string{m.Device, m.Run} {
		rest = strings.Replace(rest, name, "", 1)
	}
	before, after, _ := strings.Cut(rest, `"seq"`)
	rest = before + strings.Replace(after, m.Seq.String(), "", 1)
	return m.Time, rest, true
}
