package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gpsbridge/cmd/internal/command"
	"gpsbridge/nmea"
)

func runDecode(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	sky := fs.Bool("sky", false, "print satellites (SKY) too")
	format := fs.String("format", "jsonl", "`FORMAT` of the output: jsonl, geojson, gpx, kml, csv or html")
	fs.BoolFunc("html", "print the drive as one page that a browser opens: map, sky, charts and a slider; same as --format html",
		func(string) error { *format = "html"; return nil })
	stats := fs.Bool("stats", false, "print a table of the sentences on stderr")
	words, err := c.Parse(p, fs, args, 1)
	if err != nil {
		return err
	}
	statsTo := io.Discard
	if *stats {
		statsTo = p.Stderr
	}
	in, name := p.Stdin, ""
	if len(words) == 1 && words[0] != "-" {
		f, err := openLog(ctx, words[0])
		if errors.Is(err, context.Canceled) {
			return nil // interrupted
		}
		if err != nil {
			return fmt.Errorf("%w: name a file of NMEA sentences, or - for standard input", err)
		}
		defer f.Close()
		in, name = f, filepath.Base(words[0])
	}
	if *sky && *format != "jsonl" && *format != "html" {
		return command.Misusef("--sky and --format %s do not go together: satellites are in jsonl and html alone", *format)
	}
	out, end, err := formatted(p.Stdout, *format, name)
	if err != nil {
		return err
	}
	return decode(ctx, out, end, &interruptible{ctx: ctx, r: in}, nmea.DecodeOptions{Sky: *sky || *format == "html"}, statsTo)
}

// openLog opens a file, a port or a pipe, until ctx ends: a named pipe opens when a program has it open for writing. A directory is
// an error here rather than at the first read.
func openLog(ctx context.Context, name string) (*os.File, error) {
	if isDirectory(name) {
		return nil, fmt.Errorf("%s is a directory", name)
	}
	var f *os.File
	opened := make(chan error, 1)
	go func() {
		var err error
		f, err = os.Open(name)
		opened <- err
	}()
	select {
	case err := <-opened:
		return f, err
	case <-ctx.Done():
		return nil, ctx.Err() // the program ends, and the open with it
	}
}

// decode writes fixes to out, what ends the file, and a table of the sentences to stats.
func decode(ctx context.Context, out io.Writer, end func() error, in io.Reader, o nmea.DecodeOptions, stats io.Writer) error {
	st, err := nmea.Decode(ctx, out, in, o)
	if errors.Is(err, context.Canceled) {
		err = nil // interrupted
	}
	sc := st.Scanner
	switch {
	case err != nil:
		return err
	case sc.Sentences > 0 || sc.Bytes == 0 && ctx.Err() != nil: // or interrupted before any input
		return errors.Join(end(), st.WriteTable(stats))
	case sc.Bytes == 0:
		return errors.New("no input: name a file of NMEA sentences that is not empty")
	}
	return fmt.Errorf("no NMEA sentence in %d bytes: name a file of what a receiver sent, recorded at the receiver's speed", sc.Bytes)
}

// interruptible ends a reader with ctx: a terminal or a serial port may send nothing for hours.
type interruptible struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte // the reading goroutine's between a request and its answer
	done chan int
	err  error
}

func (i *interruptible) Read(p []byte) (int, error) {
	if i.done == nil {
		i.done = make(chan int, 1)
	}
	if len(i.buf) < len(p) {
		i.buf = make([]byte, len(p))
	}
	into := i.buf[:len(p)]
	go func() {
		n, err := i.r.Read(into)
		i.err = err
		i.done <- n
	}()
	select {
	case n := <-i.done:
		return copy(p, into[:n]), i.err
	case <-i.ctx.Done():
		return 0, io.EOF
	}
}
