// Package nmea turns the bytes of a GPS receiver into fixes.
//
// The [Scanner] finds checksummed sentences in any bytes, the [Assembler] merges the sentences of one navigation epoch into
// exactly one [Fix] and the satellite sentences into one [Sky], and both write themselves as JSON in the vocabulary of gpsd's
// TPV and SKY reports.
//
//	bytes ─▶ Scanner ─▶ sentence ─▶ Assembler ─▶ Handler.Fix, Handler.Sky
//	                                   │
//	             go-nmea's SentenceParser with the parsers of this package
//	             ─▶ reading (what one sentence states, SI units)
//	             ─▶ epoch (what the sentences of one instant state together)
//
// Everything is a plain call on the caller's goroutine. The package has no clock, starts no goroutine and logs nothing: time
// comes in with the data, and a caller calls Assembler.Flush when the line has fallen silent. It does not know where bytes come
// from, which device sends them, or who reads the fixes.
//
// A quantity that the receiver did not state is absent, never zero. README.md has how to add a sentence or a member, which values
// are carried from epoch to epoch, and what was decided where receivers leave it open.
package nmea
