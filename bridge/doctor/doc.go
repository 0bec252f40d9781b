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
// Into the group goes one message, so that its echo proves the way there and back: what the daemon itself sends while there
// is no fix, in a run of its own. Pages and servers have to take that from any tracker; a server that does not would break the
// daemon's connection as it breaks the doctor's, and that is what is to be found out. It is not sent where a daemon may be at
// work, whose fixes it would contradict: beside one, where one cannot be asked, and where Options.NoSend says so. Then what is
// looked at is that the server takes the device ID, keeps the connection open behind the handshake (servers that refuse a
// device ID often close it only there) and answers a ping.
package doctor
