package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"

	"gpsbridge/bridge/relay/page"
	"gpsbridge/bridge/track"
	"gpsbridge/cmd/internal/command"
)

// formatted returns a writer for lines of JSON that writes them to out in another format as they come, and what writes the end
// of the file. The name is that of the track.
func formatted(out io.Writer, format, name string) (lines io.Writer, end func() error, err error) {
	tracks := map[string]track.Format{"geojson": track.GeoJSON, "gpx": track.GPX, "kml": track.KML}
	switch {
	case format == "jsonl":
		return out, func() error { return nil }, nil
	case format == "csv":
		w := csv.NewWriter(out)
		err := w.Write(csvColumns)
		l := &lineWriter{line: func(line []byte) error { return writeCSV(w, line) }, flush: func() error { w.Flush(); return w.Error() }}
		return l, l.flush, err
	case format == "html":
		d := page.NewDrive(out, name)
		return &lineWriter{line: d.Add, flush: func() error { return nil }}, d.Close, nil
	case tracks[format] == nil:
		return nil, nil, command.Misusef("--format %q is unknown: use jsonl, geojson, gpx, kml, csv or html", format)
	}
	var b bytes.Buffer
	w := track.NewWriter(&b, tracks[format], name)
	flush := func() error { _, err := b.WriteTo(out); return err }
	add := func(line []byte) error {
		p, err := track.Parse(line)
		if err != nil {
			return nil // a leap second: the time formats have none
		}
		return w.Add(p)
	}
	return &lineWriter{line: add, flush: flush}, func() error {
		if err := w.Close(); err != nil {
			return err
		}
		b.WriteByte('\n')
		return flush()
	}, nil
}

// lineWriter hands each line that is written to a function, and then flushes.
type lineWriter struct {
	line  func([]byte) error
	flush func() error
	rest  []byte // of a line whose end has not been written yet
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), l.flush()
		}
		if err := l.line(line); err != nil {
			return 0, err
		}
		l.rest = rest
	}
}

// csvColumns are the members of a fix, with the names and units that they have in JSON.
var csvColumns = strings.Fields("time mode status lat lon altMSL altHAE geoidSep speed track heading climb magvar hdop vdop pdop eph epv uSat nSat")

// writeCSV writes a fix as a row. What the receiver did not state is empty.
func writeCSV(w *csv.Writer, line []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return err
	}
	row := make([]string, len(csvColumns))
	for i, name := range csvColumns {
		row[i] = strings.Trim(string(members[name]), `"`)
	}
	return w.Write(row)
}
