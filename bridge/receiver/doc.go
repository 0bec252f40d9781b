// Package receiver is where bytes come from: it opens a source of NMEA 0183, hands what it reads to a Consumer, and keeps
// it open.
//
//	source.open ──▶ stream ── Read ──▶ Run's goroutine ──▶ Consumer.Data / Quiet / Opened
//	     ▲                                    │
//	     └──── reopen loop (loop.go) ◀── lost, silent
//
// One file holds one kind of source: serial.go (a path), auto.go (finds the path), tcp.go, udp.go, gpsd.go, file.go (a
// recorded log at its own pace), stdin.go, simulated.go. A source only opens, and says in plain words why it could not; it
// never retries. The one loop in loop.go does that for all of them: it reads, notices silence and loss, closes, backs off and
// opens again.
//
// A serial port is found, and its speed, by listening alone:
//
//	ports.go     which there are, best first        hardware.go  what sysfs says of them
//	held.go      consoles, who holds a port         memory.go    what worked last
//	hunt.go      listens at one speed after another speed.go     what a wrong speed says of the right one
//	protocol.go  NMEA, or which binary protocol     health.go    a line that is being read: full, damaged, mute
//
// content.go says whether a source that has an end held any sentence.
//
// All calls to the Consumer come from the goroutine that called Run, so what stands behind it needs no lock. Time is told
// by read deadlines on the stream, not by a second goroutine.
//
// The other way round, package record keeps the bytes in files that file.go plays exactly, and package share gives them to
// other programs.
//
// The package knows of NMEA only whether a line speaks it and at what time a sentence was sent (file). It does not
// know who consumes.
package receiver
