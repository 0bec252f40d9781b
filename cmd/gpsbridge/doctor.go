package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/doctor"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/cmd/internal/command"
)

func runDoctor(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	flags := addConfigFlags(fs, "device", "device-id", "server", "listen")
	askedAt(fs)
	asJSON := fs.Bool("json", false, "print the links as JSON")
	noSend := fs.Bool("no-send", false, "send nothing to the tracking group; by default, while no daemon runs, one message without a position checks that the group sends it back")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	flags.useService(p, c)
	config, err := flags.load(p)
	if err != nil {
		return err
	}
	if err := bridge.Check(config); err != nil {
		return command.AsMisuse(err)
	}
	if err := readable(config.Secrets()...); err != nil {
		return err // it would find fault with what works
	}
	o := doctor.Options{Config: config, Source: flags.path, Daemon: daemonOf(config.Relay), NoSend: *noSend}
	o.FixTime = func(ctx context.Context, deviceID string) time.Time { return fixTime(ctx, config.Relay, deviceID) }
	return printLinks(ctx, p, *asJSON, func(each func(doctor.Link)) []doctor.Link {
		o.Each = each
		return doctor.Examine(ctx, o)
	})
}

// printLinks prints what examine finds: each link at once and a verdict, or all as JSON. It fails when one is broken.
func printLinks(ctx context.Context, p command.Process, asJSON bool, examine func(each func(doctor.Link)) []doctor.Link) (err error) {
	out := newChart(p.Stdout, os.Getenv("NO_COLOR") == "")
	each := out.link
	if asJSON {
		each = nil
	}
	links := examine(each)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if asJSON {
		e := json.NewEncoder(p.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		err = e.Encode(links)
	} else {
		out.verdict(links)
	}
	if _, broken := doctor.FirstBroken(links); broken && err == nil {
		return command.ErrReported
	}
	return err
}

// daemonOf returns how to ask the daemon at the relay's address; nil is the answer where none listens.
func daemonOf(c config.Relay) func(context.Context) (*observe.Status, error) {
	return func(ctx context.Context) (*observe.Status, error) {
		if c.Off() {
			return nil, nil
		}
		st, err := askDaemon(ctx, c)
		switch {
		case problem.CodeOf(err) == noDaemon:
			return nil, nil
		case err != nil:
			return nil, err
		}
		return &st, nil
	}
}

// chart prints links in columns.
type chart struct {
	w        io.Writer
	terminal *command.Terminal // with colors; nil without
	columns  int
	of       string // of several receivers or servers, the one that the last link was of
}

// chartColumns is the width without a terminal, and the most on one: longer lines are hard to read.
const chartColumns = 80

func newChart(w io.Writer, color bool) *chart {
	c := &chart{w: w, columns: chartColumns}
	t, ok := drawable(w)
	if ok && color {
		c.terminal = t
	}
	if ok {
		columns, _ := size(t)
		c.columns = min(columns, chartColumns)
	}
	return c
}

var colors = map[doctor.State]string{doctor.OK: "32", doctor.Broken: "1;31", doctor.Skipped: "2", doctor.Warning: "33"}

// Widths of the first columns: the longest state and the longest name, and a space each.
const (
	stateColumns = 8
	nameColumns  = 14
)

// link prints one link. The name of one of several ("port /dev/ttyUSB0") is a heading above its links.
func (c *chart) link(l doctor.Link) {
	name, of, _ := strings.Cut(shown(l.Name), " ")
	if of != c.of {
		c.of = of
		fmt.Fprintln(c.w, strings.TrimRight("\n"+of, "\n"))
	}
	state := string(l.State)
	if l.State == doctor.Broken {
		state = "BROKEN"
	}
	text := fmt.Sprintf("%-*s%-*s %s", stateColumns, state, nameColumns-1, name, shown(l.Seen))
	for i, line := range wrap(text, stateColumns+nameColumns, c.columns) {
		if i == 0 && c.terminal != nil && len(line) > stateColumns {
			_ = c.terminal.Control("\x1b[" + colors[l.State] + "m" + line[:stateColumns] + "\x1b[0m")
			line = line[stateColumns:]
		}
		fmt.Fprintln(c.w, line)
	}
}

// verdict ends the list with the first link to fix.
func (c *chart) verdict(links []doctor.Link) {
	var text string
	if l, broken := doctor.FirstBroken(links); broken {
		text = fmt.Sprintf("Broken: %s: %s", l.Name, l.Text())
	} else if l, warns := doctor.FirstWarning(links); warns {
		text = fmt.Sprintf("Nothing is broken. Look at %s: %s", l.Name, l.Text())
	} else {
		text = "Nothing is broken."
	}
	fmt.Fprintln(c.w)
	fmt.Fprintln(c.w, strings.Join(wrap(shown(text), 0, c.columns), "\n"))
}
