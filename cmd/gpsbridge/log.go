package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"

	"gpsbridge/bridge/config"
	"gpsbridge/cmd/internal/command"
)

// newLogger logs to stderr. Under systemd the journal stamps each line itself, and takes its level from a prefix.
func newLogger(p command.Process, format string, level slog.Leveler) *slog.Logger {
	return slog.New(newHandler(p.Stderr, format, level, os.Getenv("JOURNAL_STREAM") != ""))
}

func newHandler(w io.Writer, format string, level slog.Leveler, journal bool) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if journal {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}
	}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if format == "json" {
		h = slog.NewJSONHandler(w, o)
	}
	if journal {
		return journalHandler{h, w, new(sync.Mutex)}
	}
	return h
}

// journalHandler begins each line with its level, as the journal reads it (sd-daemon(3)).
type journalHandler struct {
	slog.Handler // writes to w
	w            io.Writer
	mu           *sync.Mutex // held while a line is written
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	prefix := "<7>"
	switch {
	case r.Level >= slog.LevelError:
		prefix = "<3>"
	case r.Level >= slog.LevelWarn:
		prefix = "<4>"
	case r.Level >= slog.LevelInfo:
		prefix = "<6>"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, prefix)
	return errors.Join(err, h.Handler.Handle(ctx, r))
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.w, h.mu}
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.w, h.mu}
}

// logLevel is the level of the daemon's log, which a reload may change.
func logLevel(c config.Log) *slog.LevelVar {
	level := &slog.LevelVar{}
	level.Set(c.Level)
	return level
}
