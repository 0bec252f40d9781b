package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// print writes tables in Markdown, with columns in line for those who read them as they are.
func (r fanoutReport) print(w io.Writer) {
	relay := "any"
	if r.Cores > 0 {
		relay = strconv.Itoa(r.Cores)
	}
	fmt.Fprintf(w, "\n%d processors, %s for the relay; load %s at the start, %s; %g messages a second\n", r.CPUs, relay, r.Load, r.Go, r.Rate)
	if len(r.Crowds) > 0 {
		fmt.Fprintln(w)
		printTable(w, r.crowdRows())
		fmt.Fprint(w, fanoutLegend)
	}
	if r.Most != nil {
		fmt.Fprintln(w)
		printTable(w, r.Most.rows())
	}
	for _, a := range r.Hostile {
		fmt.Fprintln(w)
		printTable(w, a.rows())
		if a.LeftOut == "" {
			fmt.Fprintf(w, "\nattackers: %s viewers that came and left, %s connections of garbage, %.0f MB sent at once, %s that never read; %s were refused\n",
				thousands(float64(a.Attacks.Churned)), thousands(float64(a.Attacks.Garbage)), float64(a.Attacks.Flooded)/1e6,
				thousands(float64(a.Attacks.Stalled)), thousands(float64(a.Attacks.Refused)))
		}
	}
}

// fanoutLegend says what the columns are.
const fanoutLegend = `
median, p99: ms from publishing to the read that completed the message at a viewer, over all that were due
CPU:         µs of the server's processor time a delivery, the kernel's included; memory: resident at the end, 1e6 bytes
The floor writes each message by itself; the relay, where it is late, several of one viewer at once.
`

func (r fanoutReport) crowdRows() [][]string {
	rows := [][]string{{"viewers", "", "deliveries a second", "median, ms", "p99, ms", "CPU a delivery, µs", "of the floor's", "memory, MB"}}
	for _, c := range r.Crowds {
		row := []string{thousands(float64(c.Viewers)), c.Server}
		if c.Figures == nil {
			rows = append(rows, append(row, c.LeftOut, "", "", "", "", ""))
			continue
		}
		deliveries := thousands(c.Figures.PerSecond)
		if !c.Figures.whole() {
			deliveries += " of " + thousands(r.Rate*float64(c.Viewers))
			if c.Figures.Closed > 0 {
				deliveries += fmt.Sprintf(", %d viewers closed", c.Figures.Closed)
			}
		}
		beside := ""
		if c.BesideFloor > 0 {
			beside = strconv.FormatFloat(c.BesideFloor, 'f', 2, 64)
		}
		rows = append(rows, append(row, deliveries, late(c.Median), late(c.P99),
			strconv.FormatFloat(c.Figures.CPU, 'f', 1, 64), beside, strconv.FormatFloat(c.Figures.Memory, 'f', 1, 64)))
	}
	return rows
}

// late is a delay that not all had.
func late(ms *float64) string {
	if ms == nil {
		return "not delivered"
	}
	return milliseconds(*ms)
}

func (m *most) rows() [][]string {
	best, p99, beside := "none", "", ""
	if m.Best != nil {
		best = fmt.Sprintf("%s, of %.0f messages", thousands(m.Best.PerSecond), m.Best.PerSecond/float64(m.Viewers))
		p99 = milliseconds(m.P99) + " ms"
		if m.Bounded {
			best = "more than " + best
		}
	}
	if m.BesideFloor > 0 {
		beside = strconv.FormatFloat(m.BesideFloor, 'f', 2, 64)
	}
	return [][]string{
		{fmt.Sprintf("the relay on one processor, %s viewers", thousands(float64(m.Viewers))), "", "aim"},
		{"most deliveries a second, all delivered", best, "100,000"},
		{"their p99", p99, "under 100 ms"},
		{"processor time of a delivery, of the floor's at that rate", beside, "at most 2"},
		{"memory of idle viewers", strconv.FormatFloat(m.Idle, 'f', 1, 64) + " MB", "under 20 MB for 1,000"},
	}
}

func (a attack) rows() [][]string {
	title := fmt.Sprintf("%s, %d viewers", a.Server, a.Viewers)
	if a.LeftOut != "" {
		return [][]string{{title, ""}, {a.LeftOut, ""}}
	}
	ms := func(v float64) string {
		if v == 0 {
			return "not delivered"
		}
		return milliseconds(v)
	}
	whole := func(t tally) string { return thousands(float64(t.Received)) + " of " + thousands(float64(t.Expected)) }
	percent := func(v float64) string { return strconv.FormatFloat(v*100, 'f', 0, 64) + " %" }
	ratio := "-"
	if r := a.ratio(); r > 0 {
		ratio = strconv.FormatFloat(r, 'f', 2, 64)
	}
	return [][]string{
		{title, "alone", "under attack", "ratio"},
		{"delivered", whole(a.Alone), whole(a.Under), ""},
		{fmt.Sprintf("median, ms (median of %d rounds)", hostileRounds), ms(a.Alone.Median), ms(a.Under.Median), ""},
		{"p99, ms (likewise)", ms(a.Alone.P99), ms(a.Under.P99), ratio},
		{"processor of the server", percent(a.Alone.CPU), percent(a.Under.CPU), ""},
		{"memory before and at its peak, MB", strconv.FormatFloat(a.Before, 'f', 1, 64), strconv.FormatFloat(a.Peak, 'f', 1, 64), ""},
	}
}

// milliseconds has two digits that say something.
func milliseconds(ms float64) string {
	if ms >= 10 {
		return thousands(ms)
	}
	return strconv.FormatFloat(ms, 'f', 2, 64)
}

// thousands is v without decimals, in groups of three digits.
func thousands(v float64) string {
	digits := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// printTable writes rows as a table, the first as its heading.
func printTable(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for _, width := range widths {
				fmt.Fprintf(w, "|%s", strings.Repeat("-", width+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
}
