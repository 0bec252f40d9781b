package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/cmd/internal/command"
)

// watchStatus shows the daemon each second until ctx ends: on a terminal as a picture in place, elsewhere as a line.
func watchStatus(ctx context.Context, w io.Writer, c config.Relay) error {
	if t, ok := drawable(w); ok {
		return onScreen(t, func() error {
			return eachSecond(ctx, c, func(st observe.Status, fixes []deviceFix, err error) error { return draw(t, st, fixes, err) })
		})
	}
	return eachSecond(ctx, c, func(st observe.Status, _ []deviceFix, err error) error {
		if _, err := fmt.Fprintln(w, watchLine(st, err)); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	})
}

// eachSecond asks the daemon and shows its answer until ctx ends.
func eachSecond(ctx context.Context, c config.Relay, show func(observe.Status, []deviceFix, error) error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		st, fixes, err := askAll(ctx, c)
		if ctx.Err() != nil {
			return nil
		}
		if err := show(st, fixes, err); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// watchLine is the daemon's state, or why it does not answer, in one line.
func watchLine(st observe.Status, err error) string {
	if err != nil {
		return command.Printable(command.OneLine(err))
	}
	return st.Now.UTC().Format("15:04:05") + " " + command.Printable(st.Line())
}

// draw shows the daemon, or why it does not answer.
func draw(t *command.Terminal, st observe.Status, fixes []deviceFix, err error) error {
	var text strings.Builder
	if err != nil {
		fmt.Fprintln(&text, command.OneLine(err))
	} else {
		printStatus(&text, st, fixes)
	}
	fmt.Fprintf(&text, "\n%s UTC, each second; Ctrl-C ends\n", time.Now().UTC().Format(time.TimeOnly))
	return paint(t, text.String())
}
