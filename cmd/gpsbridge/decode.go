package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"gpsbridge/nmea"
)

func runDecode(ctx context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	sky := fs.Bool("sky", false, "print satellites (SKY) too")
	stats := fs.Bool("stats", false, "print a table of the sentences on stderr")
	words, err := parse(p, c, fs, args, 1)
	if err != nil {
		return err
	}
	in := p.stdin
	if len(words) == 1 && words[0] != "-" {
		f, err := os.Open(words[0])
		if err != nil {
			return fmt.Errorf("%w: name a file of NMEA sentences, or - for standard input", err)
		}
		defer f.Close()
		in = f
	}
	return decode(ctx, p, in, nmea.DecodeOptions{Sky: *sky}, *stats)
}

func decode(ctx context.Context, p process, in io.Reader, o nmea.DecodeOptions, stats bool) error {
	out := bufio.NewWriter(p.stdout)
	st, err := nmea.Decode(ctx, out, in, o)
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	if stats && err == nil {
		err = st.WriteTable(p.stderr)
	}
	return err
}
