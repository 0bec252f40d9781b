// Package bridge is the daemon: it puts the parts together and owns what runs between them.
//
//		receiver ── bytes ──▶ intake: nmea.Scanner ▶ nmea.Assembler ▶ message ──┬──▶ spool ──▶ uplink ──▶ tracking server
//		                                                                        └──▶ relay ──▶ viewers
//
//	  - config.go, load.go: what can be configured, and where it is read from (file, environment, flags).
//	  - daemon.go: construction and staged shutdown.
//	  - intake.go: what a receiver's bytes go through, as plain calls on that receiver's goroutine.
//	  - message.go: the JSON message around a fix: device_id, run, seq.
//	  - server.go: the relay alone, as a tracking server.
//	  - status.go: what the daemon is doing, as JSON and as a line.
//	  - watch.go: a member of a group that prints it.
//
// The package does not know how its parts work inside: no sentence, no socket, no disk format.
package bridge
