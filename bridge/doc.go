// Package bridge is the daemon: it puts the parts together and owns what runs between them.
//
//	receiver ── bytes ──▶ intake: nmea.Scanner ▶ nmea.Assembler ─┐
//	receiver ── bytes ──▶ intake  ...                            ├─▶ feed: failover ▶ report ▶ message ──┬──▶ spool ──▶ link: uplink ──▶ server
//	                        └─▶ taps: viewers, record, share      ┘                                       └──▶ relay ──▶ viewers
//
// A device ID's way through the daemon is a track: its receivers, the feed that they come together in, its spool, and a
// link to each tracking server. From the receiver's read to the spool and the relay everything is plain calls on that
// receiver's goroutine.
//
//   - config.go, units.go, load.go, build.go: what can be configured, where it is read from (file, environment, flags), and
//     the parts that are made of it. validate.go, origin.go: what is wrong with it, and where that was given. reload.go: what is
//     taken over while it runs.
//   - daemon.go, track.go, link.go: construction and staged shutdown, of the whole, of a device ID, of a way to a server.
//   - intake.go, taps.go, raw.go, types.go, rhythm.go: a receiver's bytes, and who wants them as they come.
//   - feed.go, failover.go, report.go, message.go: which receiver's epochs go on, which are reported, and the JSON around them.
//   - clock.go, network.go, progress.go: the time for certificates, a network that changes, loops that must turn.
//   - aside.go: aside.jsonl in the spool's folder, with what a server would not take. Each line is one object: time (of the
//     system's clock), uplink (its name), server (its address without user and query), reason, and message, which is the
//     message itself.
//   - status.go, metrics.go, exposition.go: what the daemon is doing, as JSON, as a line, for Prometheus.
//   - server.go: the relay alone, as a tracking server. watch.go: a member of a group. examine.go: for who looks as the
//     daemon does without being one.
//
// The package does not know how its parts work inside: no sentence, no socket, no disk format.
package bridge
