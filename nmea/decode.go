package nmea

import (
	"context"
	"io"
	"time"
)

// DecodeOptions set up Decode. The zero value is fine.
type DecodeOptions struct {
	Options
	Sky bool // write a SKY line for every cycle of satellites too
}

// DecodeStats counts what Decode has met.
type DecodeStats struct {
	Scanner   ScannerStats   `json:"scanner"`
	Assembler AssemblerStats `json:"assembler"`
}

// WriteTable writes the counters as a table for people.
func (s DecodeStats) WriteTable(w io.Writer) error { return nil }

// Decode reads NMEA from r and writes one JSON object a line to w.
func Decode(ctx context.Context, w io.Writer, r io.Reader, o DecodeOptions) (DecodeStats, error) {
	return DecodeStats{}, nil
}

// TimeOfDay returns the UTC time of day that a timed sentence carries.
func TimeOfDay(sentence []byte) (time.Duration, bool) { return 0, false }
