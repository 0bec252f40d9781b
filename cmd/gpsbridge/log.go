package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"gpsbridge/bridge/config"
	"gpsbridge/cmd/internal/command"
)

// newLogger logs to stderr. Under systemd the journal stamps each line itself, and takes its level from a prefix.
func newLogger(p command.Process, format string, level slog.Leveler) *slog.Logger {
	return slog.New(newHandler(p.Stderr, format, level, os.Getenv("JOURNAL_STREAM") != ""))
}

func newHandler(w io.Writer, format string, level slog.Leveler, journal bool) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	make := func(w io.Writer) slog.Handler {
		if format == "json" {
			return slog.NewJSONHandler(w, o)
		}
		return slog.NewTextHandler(w, o)
	}
	if !journal {
		return make(w)
	}
	o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}
	h := journalHandler{}
	for i := range syslogLevels {
		h[i] = make(prefixed{w, syslogLevels[i].prefix})
	}
	return h
}

// syslogLevels are slog's levels as the journal reads them at the beginning of a line (sd-daemon(3)).
var syslogLevels = [...]struct {
	least  slog.Level
	prefix string
}{
	{slog.LevelError, "<3>"},
	{slog.LevelWarn, "<4>"},
	{slog.LevelInfo, "<6>"},
	{slog.LevelDebug, "<7>"},
}

// journalHandler is a handler for each of syslogLevels.
type journalHandler [len(syslogLevels)]slog.Handler

func (h journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h[0].Enabled(ctx, level)
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	for i := range syslogLevels {
		if r.Level >= syslogLevels[i].least {
			return h[i].Handle(ctx, r)
		}
	}
	return h[len(h)-1].Handle(ctx, r)
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range h {
		h[i] = h[i].WithAttrs(attrs)
	}
	return h
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	for i := range h {
		h[i] = h[i].WithGroup(name)
	}
	return h
}

// prefixed writes a prefix before each line; a handler writes one line a call.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p prefixed) Write(line []byte) (int, error) {
	n, err := p.w.Write(append([]byte(p.prefix), line...))
	return max(0, n-len(p.prefix)), err
}

// logLevel is the level of the daemon's log, which a reload may change.
func logLevel(c config.Log) *slog.LevelVar {
	level := &slog.LevelVar{}
	level.Set(c.Level)
	return level
}
