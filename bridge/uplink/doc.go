// Package uplink carries queued records to a tracking server over one
// persistent WebSocket, and gives each of them back to the queue as
// acknowledged only when the server has proved that it took it.
//
// It owns dialing (TLS, token, Origin), the explanation of every refusal,
// sending, acknowledgement, liveness and backing off. It must not know where
// records are kept, nor what they say: a record is opaque text, and the only
// thing ever asked about one is its key, through a function that the daemon
// gives.
//
// How data flows in one connection (session.go):
//
//	Queue.Next ──▶ writer ──▶ window of unacknowledged records ──▶ server
//	Queue.Ack  ◀── reader ◀── echo of the key, or pong ◀─────────┘
//	               keeper: pings, pong answers, the deadlines of silence
//
// The promise is at least once; live records in order, the backlog in order.
// What keeps it:
//
//   - The server's order holds, so the echo of a later sending without that of
//     an earlier one means that the earlier one is lost: it is sent again. That
//     is by the order of sending, whatever positions lie between.
//   - Where a full window stays without any echo, or the last record of all,
//     one record more is sent: its echo shows what was lost. How long a silence
//     makes that due follows the round trip, because an overloaded server
//     echoes late, not never.
//   - Silence for longer than that means a deaf connection: it is replaced, and
//     what was outstanding is sent again.
//   - After any loss of the connection, sending starts again behind
//     Queue.Acked; repeats are for receivers to drop by key.
//   - When more waits than fits into a window, the newest record goes first and
//     the others become the backlog, which leaves a quarter of the window to
//     live records. What goes out after a newer record did is marked as late,
//     so what is not marked never moves back, whatever was lost between. A
//     record that was lost comes late in either order.
//   - A record on which the server breaks the connection, by whatever close code
//     or none, or which it swallows for ever, is set aside, but only on proof that
//     it takes others.
//
// Files: uplink.go is the life of an uplink; session.go that of one connection
// with its writer, order.go what the writer takes next, receive.go its reader,
// keep.go its clockwork; window.go the bookkeeping of what is on its way (no
// clock and no lock: time comes in as an argument); ack.go the modes of
// acknowledgement; stall.go the loss of all that is on its way; poison.go and
// swallowed.go the search for bad records; dial.go, tls.go and
// refusal.go the connecting, lost.go the ending, retry.go the waiting, drain.go
// the last seconds; status.go and traffic.go what others see.
package uplink
