// Package nmea turns the bytes of a GPS receiver into fixes.
//
// It owns what NMEA 0183 means: the Scanner finds checksummed sentences in any
// bytes, the Assembler merges the sentences of one navigation epoch into
// exactly one [Fix] and the satellite sentences into one [Sky], and both write
// themselves as JSON in the vocabulary of gpsd's TPV and SKY reports.
//
//	bytes ─▶ Scanner ─▶ sentence ─▶ Assembler ─▶ Handler.Fix, Handler.Sky
//	                                   │
//	             go-nmea's SentenceParser with the parsers of this package
//	             ─▶ reading (what one sentence says, SI units)
//	             ─▶ epoch (what the sentences of one instant say together)
//
// Everything is a plain call on the caller's goroutine. The package has no
// clock, starts no goroutine and logs nothing: time comes in with the data, and
// a caller that notices that the line is silent says so with Assembler.Flush.
// It must not know where bytes come from, which device sends them, or who reads
// the fixes.
//
// A quantity that the receiver did not state is absent, never zero.
package nmea
