package nmea

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"gpsbridge/bridge/problem"
)

// AssemblerStats counts what an Assembler has met.
type AssemblerStats struct {
	Fixes   uint64 `json:"fixes"`   // handed out
	Skies   uint64 `json:"skies"`   // handed out
	Late    uint64 `json:"late"`    // sentences of an epoch that was closed
	Refused uint64 `json:"refused"` // sentences with anything that was refused
	// Rollovers is how many times 1024 weeks were added to the receiver's latest date.
	Rollovers int `json:"rollovers"`
	// Date is what is wrong with that date, nil when nothing is or it could be corrected.
	Date *problem.Problem `json:"date,omitempty"`
	// Antenna is what the receiver last reported about it in TXT: OK, OPEN, SHORT.
	Antenna string `json:"antenna,omitempty"`
	// Firmware is its version, if the receiver reported it in TXT.
	Firmware string `json:"firmware,omitempty"`
	// Types counts by the address field of the sentence, such as GPRMC.
	Types map[string]TypeStats `json:"-"`
}

// TypeStats counts the sentences of one type and talker.
type TypeStats struct {
	Good        uint64                 // read whole
	Unsupported uint64                 // whole, but of no use here
	Refused     uint64                 // with something that was refused
	reasons     [len(flawNames)]uint64 // why
}

// count records one sentence.
func (n *TypeStats) count(f flaws, supported bool) {
	if !supported {
		n.Unsupported++
		return
	}
	if f == 0 {
		n.Good++
		return
	}
	n.Refused++
	for i := range flawNames {
		n.reasons[i] += uint64(f >> i & 1)
	}
}

// maxText bounds what is kept of a receiver's text.
const maxText = 80

// note keeps what a receiver's text reports about its antenna and its firmware: u-blox sends ANTSTATUS=OK and FWVER=SPG 4.04,
// MediaTek and CASIC ANTENNA OK.
func (st *AssemblerStats) note(text string) {
	text = clean(text)
	upper := strings.ToUpper(text)
	switch {
	case strings.HasPrefix(upper, "ANTSTATUS="):
		st.Antenna = upper[len("ANTSTATUS="):]
	case strings.HasPrefix(upper, "ANTENNA "):
		st.Antenna = upper[len("ANTENNA "):]
	case strings.HasPrefix(upper, "FWVER="):
		st.Firmware = text[len("FWVER="):]
	}
}

// clean returns the printable part of a text, and not too much of it.
func clean(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, text)
	return strings.TrimSpace(text[:min(len(text), maxText)])
}

// maxAddresses bounds the addresses that are counted apart: a receiver has some ten, one of four constellations forty, and noise
// with a lucky checksum must not use up memory.
const maxAddresses = 64

// others is where the addresses above maxAddresses are counted.
const others = "other"

// byAddress holds one counter for each address field. The zero byAddress is ready.
type byAddress[T any] map[string]*T

// of returns the counter of an address.
func (b *byAddress[T]) of(address []byte) *T {
	if n, ok := (*b)[string(address)]; ok {
		return n
	}
	if *b == nil {
		*b = make(byAddress[T])
	}
	a := string(address)
	if a == "" || len(*b) >= maxAddresses {
		a = others
	}
	n := (*b)[a]
	if n == nil {
		n = new(T)
		(*b)[a] = n
	}
	return n
}

// DecodeStats counts what Decode has met.
type DecodeStats struct {
	Scanner   ScannerStats   `json:"scanner"`
	Assembler AssemblerStats `json:"assembler"`
}

// WriteTable writes the counters as a table for people: a line for each type and talker, then what belongs to none.
func (s DecodeStats) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sentence\tgood\tbad checksum\trefused\tunsupported\t  reasons")
	addresses := slices.AppendSeq(slices.Collect(maps.Keys(s.Scanner.Bad)), maps.Keys(s.Assembler.Types))
	slices.Sort(addresses)
	for _, a := range slices.Compact(addresses) {
		n := s.Assembler.Types[a]
		var reasons []string
		for i, k := range n.reasons {
			if k > 0 {
				reasons = append(reasons, fmt.Sprintf("%d %s", k, flawNames[i]))
			}
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t  %s\n",
			a, n.Good, s.Scanner.Bad[a], n.Refused, n.Unsupported, strings.Join(reasons, ", "))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	_, err := fmt.Fprintf(w, "%d bytes, %d of noise; %d sentences, %d without checksum, %d too long; %d fixes, %d skies, %d late sentences\n",
		s.Scanner.Bytes, s.Scanner.NoiseBytes, s.Scanner.Sentences, s.Scanner.NoChecksum, s.Scanner.TooLong,
		s.Assembler.Fixes, s.Assembler.Skies, s.Assembler.Late)
	return err
}
