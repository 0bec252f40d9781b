// Package uplink carries queued records to a tracking server over one persistent WebSocket, and gives each of them back to the
// queue as acknowledged only when there is proof that the server's application has it. README.md states the guarantee, how it is
// kept, and has the picture.
//
// It owns dialing (TLS, token, Origin), the explanation of every failure, sending, acknowledgement, liveness and backing off. It
// must not know where records are kept, nor what they hold: a record is opaque text, of which only the members run and seq are
// read.
package uplink
