package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// columns of the table: two lines of heading, and what a result has there, if anything.
var columns = []struct {
	above, below string
	value        func(r result) (v float64, ok bool)
	decimals     int
	ratio        bool // a quotient with the first program says something, where both are above zero
}{
	{"fixes an", "epoch", func(r result) (float64, bool) { return r.FixesPerEpoch, true }, 2, false},
	{"epochs", "without", func(r result) (float64, bool) { return float64(r.EpochsWithout), true }, 0, false},
	{"first byte", "median", func(r result) (float64, bool) { return r.FirstByte.median() }, 2, true},
	{"", "p99", func(r result) (float64, bool) { return r.FirstByte.p99() }, 2, true},
	{"last byte", "median", func(r result) (float64, bool) { return r.LastByte.median() }, 2, true},
	{"", "p99", func(r result) (float64, bool) { return r.LastByte.p99() }, 2, true},
	{"reaction", "median", func(r result) (float64, bool) { return r.Reaction.median() }, 2, true},
	{"", "p99", func(r result) (float64, bool) { return r.Reaction.p99() }, 2, true},
	{"sentences", "a second", func(r result) (float64, bool) { return r.Rate, r.Rate > 0 }, 0, true},
	{"CPU ms", "a 1000", func(r result) (float64, bool) { return r.CPU, true }, 2, true},
	{"memory", "MB", func(r result) (float64, bool) { return r.Memory, true }, 1, true},
}

func (s *span) median() (float64, bool) {
	if s == nil {
		return 0, false
	}
	return s.Median, true
}

func (s *span) p99() (float64, bool) {
	if s == nil {
		return 0, false
	}
	return s.P99, true
}

// legend says what the columns are.
const legend = `first byte: ms from the first byte of the epoch on the line to the fix at a client
last byte:  ms from the last byte of the last sentence that may add to it (RMC, VTG, GGA, GSA); below zero: it was not waited for
reaction:   ms from the last byte of the sentence at which the program reports, named at the end of the line
CPU:        ms of processor time for a thousand sentences;  memory: resident at the end, 1e6 bytes
`

// print writes one scenario as a table.
func (o outcome) print(w io.Writer) {
	if o.LeftOut != "" {
		fmt.Fprintf(w, "\n%s: left out: %s\n", o.About, o.LeftOut)
		return
	}
	fmt.Fprintf(w, "\n%s: %d epochs, %.1f sentences each\n\n", o.About, o.Epochs, float64(o.Sentences)/float64(o.Epochs))
	for _, row := range o.rows() {
		var b strings.Builder
		for i, cell := range row {
			switch {
			case i == 0:
				fmt.Fprintf(&b, "  %-16s", cell)
			case i == len(row)-1:
				b.WriteString("  " + cell)
			default:
				b.WriteString(strings.Repeat(" ", max(1, 11-utf8.RuneCountInString(cell))) + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// rows are the cells of the table: headings, a row a program, and quotients with the first. Columns without a value are
// left out. The last cell is where the program reports.
func (o outcome) rows() [][]string {
	rows := [][]string{{""}, {""}}
	for _, r := range o.Programs {
		rows = append(rows, []string{r.Program})
	}
	for _, r := range o.Programs[1:] {
		rows = append(rows, []string{r.Program + "/" + o.Programs[0].Program})
	}
	for _, c := range columns {
		base, ok := c.value(o.Programs[0])
		if !ok {
			continue
		}
		cells := []string{c.above, c.below}
		for _, r := range o.Programs {
			cells = append(cells, number(c.value, r, c.decimals))
		}
		for _, r := range o.Programs[1:] {
			v, ok := c.value(r)
			cell := ""
			if c.ratio && ok && base > 0 && v > 0 {
				cell = strconv.FormatFloat(v/base, 'f', 2, 64)
			}
			cells = append(cells, cell)
		}
		for i := range rows {
			rows[i] = append(rows[i], cells[i])
		}
	}
	for i := range rows {
		last := ""
		if n := i - 2; n >= 0 && n < len(o.Programs) && o.Programs[n].ReportsAt != "" {
			last = "at " + o.Programs[n].ReportsAt
		}
		rows[i] = append(rows[i], last)
	}
	return rows
}

func number(value func(result) (float64, bool), r result, decimals int) string {
	v, ok := value(r)
	if !ok {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
