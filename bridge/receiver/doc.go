// Package receiver reads a source of NMEA 0183, hands what it reads to a Consumer, and keeps the source open.
//
//	source.Open ──▶ Stream ── Read ──▶ Run's goroutine ──▶ Consumer.Data / Quiet / Opened
//	     ▲                                   │
//	     └──── reopen loop (loop.go) ◀── lost, silent
//
// A source only opens, and returns a problem when it cannot; it never retries. The one loop in loop.go does that for all of
// them: it reads, notices silence and loss, closes, waits and opens again. It knows no kinds: package source has the interface
// between the two, and package kinds the table of the sources that exist.
//
// All calls to the Consumer come from the goroutine that called Run, so it needs no lock. Time is measured by read deadlines
// on the stream, not by a second goroutine.
package receiver
