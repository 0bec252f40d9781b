// Package record keeps the bytes of a receiver in files, with the times at which they came, and reads them back: the same
// pieces, after the same pauses, byte for byte.
//
//	Data ──▶ open block ──▶ encoded blocks ──▶ goroutine ──▶ FILE ──full──▶ FILE.000001, FILE.000002 … oldest removed
//	         (a burst)      (memory, bounded)  every Flush
//
// Data never waits for the disk. A disk that is full, or fails, ends the recording with one line in the log; one that is too
// slow loses blocks, which are counted and noted in the file.
//
// The newest file is claimed by its writer (flock); another program that is to record to the same path is refused.
//
// # Format
//
// A recording is the receiver's own bytes, with lines between them that begin with # and give the times at which they came:
//
//	# gpsbridge recording 1, begun 2026-11-23T09:00:00.000000Z, /dev/ttyUSB0
//	#@1.204518 64 +16003 64 +15998 17
//	$GNRMC,090001.00,A,5130.20181,N,00007.65743,W,27.0,84.4,231126,,,A*6F
//	$GNGGA,090001.00,5130.20181,N,00007.65743,W,1,09,0.80,11.2,M,46.7,M,,*5B
//	#@2.204611 64 +15988 ...
//
// A line with #@ begins a block. It has the seconds since the recording began at which the first piece came and how many
// bytes that had; then, for each further piece, the microseconds since the one before and its bytes. As many bytes follow as
// they are together, whatever they are; after a block that does not end a line a line end is added that does not count.
// Other lines with # between blocks are notes. The first line is a note that comes again, the same, in each file of a
// recording, whose seconds count on: files that are put together with cat are one recording.
//
// So grep, tail, gpsbridge decode and what else reads NMEA 0183 read it as a log with comments: blocks are ended where a line
// and a burst end. What others do would not have served: a time before each line (Signal K, gpspipe -u, tag blocks of
// NMEA 4.1) changes the bytes, does not keep the pieces, and has no place for what is not a line, which is what one records
// a receiver for that makes trouble; a second file of times (script(1)) is lost when the first one is sent on.
//
// # Cost
//
// A receiver that sends 600 bytes a second, in pieces of 64, makes 2.5 MB an hour with the times, of which 0.3 are those. It
// is written every 10 s, 360 times an hour, without fsync; the kernel takes it to the card within half a minute more. So a
// power cut costs 10 to 40 s, and a file that it has cut plays to where it ends.
package record
