package nmea

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// DecodeStats counts what Decode has met.
type DecodeStats struct {
	Scanner   ScannerStats   `json:"scanner"`
	Assembler AssemblerStats `json:"assembler"`
}

// WriteTable writes the counters as a table for people: a line for each type and
// talker, then what belongs to none.
func (s DecodeStats) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sentence\tgood\tbad checksum\trefused\tunsupported\t  reasons")
	addresses := map[string]bool{}
	for a := range s.Assembler.Types {
		addresses[a] = true
	}
	for a := range s.Scanner.Bad {
		addresses[a] = true
	}
	for _, a := range slices.Sorted(maps.Keys(addresses)) {
		n := s.Assembler.Types[a]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t  %s\n",
			a, n.Good, s.Scanner.Bad[a], n.Refused, n.Unsupported, reasons(n.Reasons))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	_, err := fmt.Fprintf(w, "%d bytes, %d of noise; %d sentences, %d without checksum, %d too long; %d fixes, %d skies, %d late sentences\n",
		s.Scanner.Bytes, s.Scanner.NoiseBytes, s.Scanner.Sentences, s.Scanner.NoChecksum, s.Scanner.TooLong,
		s.Assembler.Fixes, s.Assembler.Skies, s.Assembler.Late)
	return err
}

// reasons lists why sentences were refused.
func reasons(m map[string]uint64) string {
	var b strings.Builder
	for i, r := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", m[r], r)
	}
	return b.String()
}
