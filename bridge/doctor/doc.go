// Package doctor walks the chain from the receiver to the tracking server and says which link is broken, and the mend.
//
//	configuration ─ daemon ─ port ─ permission ─ console ─ holder ─ modemmanager ─ bytes ─ baud ─ sentences ─ satellites ─ fix
//	─ clock ─ dns ─ tcp ─ tls ─ upgrade ─ echo ─ spool ─ disk
//
// It words nothing that another part words already: why a port cannot be used is said by package receiver, why a server
// cannot be reached by package uplink, and those sentences are the ones in the daemon's log and status. What is here is
// which link such a sentence belongs to, and the links that nobody else looks at. Once a link is broken, the ones behind it
// that cannot be seen any more are skipped, so that one trouble is one broken link.
//
// # Beside a running daemon
//
// The daemon has the port and the spool, so it is asked how they are (GET /api/v1/status of its relay). The way to the
// server is walked all the same, with a second connection that joins the group of the same device ID and only listens: a
// group takes any number of members, and that one more listens disturbs neither the daemon nor a page. On it the daemon's
// own fixes come by, which is the proof that the group sends back.
//
// # Without a daemon
//
// The port is opened as the daemon would, listened to for as long as it takes to judge it, 25 s at the most, and closed. Not
// a byte is written to the receiver.
//
// Into the group nothing is sent. Every message there reaches every page, which parses it and draws a marker from it, and
// every program that stores tracks: there is no message that is certain to be ignored by all of them, neither one of another
// class nor one without a position, and a position would be a false one. So the echo is not proved then; what is looked at is
// that the server takes the device ID, keeps the connection open behind the handshake (servers that refuse a device ID often
// close it only there) and answers a ping.
package doctor
