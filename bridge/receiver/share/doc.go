// Package share gives the bytes of a receiver to other programs over TCP, since only one process can own its port: OpenCPN,
// gpsd (gpsd tcp://127.0.0.1:10110), a terminal (nc 127.0.0.1 10110).
//
//	Data ──▶ queue of each client (bounded, drops its oldest lines) ──▶ goroutine of that client ──▶ socket
//
// A client gets the bytes as they came, from the first line that begins after it joined. What it sends is read and thrown
// away: nothing is ever written to the receiver. Data never waits for a client.
//
// A client that reads more slowly than the receiver sends loses whole lines, the oldest, so that what it gets is new and in
// one piece; one that reads nothing is closed. There is no password and no encryption: the protocol has neither. So it is
// served to the machine itself, unless Config.Open allows others to know where the vehicle is.
package share
