// Package doctor walks the chain from the receiver to the tracking server and reports which link is broken, with the fix.
//
//	configuration ─ daemon ─ port ─ permission ─ console ─ holder ─ modemmanager ─ bytes ─ baud ─ sentences ─ satellites ─ fix
//	─ clock ─ dns ─ tcp ─ tls ─ upgrade ─ echo ─ spool ─ disk
//
// What another package finds wrong is a *problem.Problem: the doctor shows its cause and its fix as they are, which are those
// of the daemon's log and status, and decides by its code to which link it belongs. What is examined here is what no other
// package looks at. Once a link is broken, those after it that cannot be checked are skipped, so that one problem is one
// broken link.
//
// # Beside a running daemon
//
// The daemon has the port and the spool, so the doctor asks it (GET /api/v1/status of its relay). The way to the server is
// walked all the same, with a second connection that joins the group of the same device ID and only listens: a group takes
// any number of members, and another listener disturbs neither the daemon nor a page. The daemon's own fixes come by on it,
// which proves that the group sends back.
//
// # Without a daemon
//
// The port is opened as the daemon would, listened to for as long as it takes to judge it, 25 s at the most, and closed.
// Nothing is written to the receiver.
//
// The group gets one message, so that its echo proves the way there and back: the one that the daemon itself sends while
// there is no fix, in a run of its own. Pages and servers have to accept that from any tracker; a server that does not would
// break the daemon's connection as it breaks the doctor's, which is what is to be found out. It is not sent where a daemon
// may be at work, whose fixes it would contradict: beside one, where one cannot be asked, and where Options.NoSend is set. Then
// the doctor checks that the server accepts the device ID, keeps the connection open after the handshake (servers that refuse
// a device ID often close it only then) and answers a ping.
package doctor
