package uplink

import "net"

// What a segment of TCP takes beside its data, in bytes: the headers of IP and TCP (RFC 791, RFC 8200, RFC 9293), and the
// option with timestamps and its padding (RFC 7323), which every one has where both sides use it.
const (
	headersIPv4 = 20 + 20
	headersIPv6 = 40 + 20
	timestamps  = 12
)

// segmentCount is what the system has counted of a TCP connection.
type segmentCount struct {
	count   uint64 // sent and received, those without data included
	again   uint64 // bytes of data that were sent again
	stamped bool   // with timestamps
}

// overhead is what a connection has cost beside the data that it carries, both ways, in bytes. Where the system does not count
// segments it is by arithmetic: one for each read and write, and one that acknowledges each read.
func (w *wire) overhead() uint64 {
	s, counted := segmentsOf(w.Conn)
	if !counted {
		s = segmentCount{count: w.writes.Load() + 2*w.reads.Load(), stamped: true}
	}
	each := uint64(headersIPv6)
	if addr, is := w.RemoteAddr().(*net.TCPAddr); is && addr.IP.To4() != nil {
		each = headersIPv4
	}
	if s.stamped {
		each += timestamps
	}
	return s.count*each + s.again
}
