// Package uplink carries queued records to a tracking server over one persistent WebSocket, and gives each of them back to the
// queue as acknowledged only when there is proof that the server's application has it. README.md states the guarantee and has
// the picture.
//
// It owns dialing (TLS, token, Origin), the explanation of every failure, sending, acknowledgement, liveness and backing off. It
// must not know where records are kept, nor what they hold: a record is opaque text, of which only the members run and seq are
// read.
//
// What keeps the promise:
//
//   - A server processes a connection in order. So the echo of a later sending without that of an earlier one means that the
//     echo of the earlier one is missing: the record is sent again, or counts as accepted where the server echoes some only.
//     That goes by the order of sending, whatever positions lie between.
//   - Where a full window stays without any echo, or the last record of all, one record more is sent: its echo shows what was
//     lost. How long a silence makes that due follows the round trip, because an overloaded server echoes late, not never.
//   - Silence for longer than that means a stuck server or a dead link: the connection is replaced, and what was outstanding is
//     sent again.
//   - After any end of a connection, sending starts again after Queue.Acked; repeats are for receivers to drop by key.
//   - When more waits than fits into a window, the newest record goes first and the others become the backlog, which leaves a
//     quarter of the window to live records. What goes out after a newer record did is marked as late, so what is not marked
//     never moves back, whatever was lost between.
//   - A record on which the server breaks the connection, by whatever close code or none, is quarantined, but only on evidence
//     that it accepts others.
package uplink
