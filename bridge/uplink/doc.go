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
// The promise is at least once, in order on first delivery. What keeps it:
//
//   - The server's order holds, so the echo of a later record without that of
//     an earlier one means that the earlier one is lost: it is sent again.
//   - Records that stay without any echo for a time that follows the round
//     trip mean a deaf connection: it is replaced, and what was outstanding is
//     sent again. Nothing is ever sent again by a timer on the same connection,
//     because an overloaded server echoes late, not never.
//   - After any loss of the connection, sending starts again behind
//     Queue.Acked; repeats are for receivers to drop by key.
//
// Files: uplink.go is the life of an uplink; session.go that of one connection
// with its writer, receive.go its reader, keep.go its clockwork; window.go the
// bookkeeping of what is on its way (no clock and no lock: time comes in as an
// argument); ack.go the modes of acknowledgement; dial.go and refusal.go the
// connecting, lost.go the ending, retry.go the waiting; status.go what others
// see.
package uplink
