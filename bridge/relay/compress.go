package relay

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"gpsbridge/bridge/deflate"
)

// connKey is of the context of a request, for its connection.
type connKey struct{}

// compression chooses how what a member gets and sends is compressed, and the header that answers with it; nil for not. A tracker
// gets it if it offers it, a viewer if it does and is far away, as long as fewer than limits.packed have it.
func (r *Relay) compression(v *viewer, q *http.Request) (*deflate.Params, http.Header) {
	params := deflate.Accept(q.Header.Values(deflate.Header), deflate.WindowBits)
	if params == nil || r.hub.limits.packed == 0 {
		return nil, nil
	}
	conn, _ := q.Context().Value(connKey{}).(net.Conn)
	if !v.publisher && roundTrip(conn) < r.hub.limits.far {
		return nil, nil
	}
	if r.hub.packed.Add(1) > int64(r.hub.limits.packed) {
		r.hub.packed.Add(-1)
		return nil, nil
	}
	v.packed = true // leave gives the place back
	if !v.publisher {
		params.ClientNoTakeover = true // it has nothing to send for which a window would have to be kept
	}
	return params, http.Header{deflate.Header: {params.String()}}
}

// packedBytes counts what goes over the connections of members with compression, frames included, and what it is without.
type packedBytes struct {
	in, inflatedIn   atomic.Int64
	out, inflatedOut atomic.Int64
}

// roundTrip is how long the kernel has measured a round trip to take, at least for the handshake of TCP; 0 where it does not show that.
func roundTrip(c net.Conn) time.Duration {
	tcp := tcpOf(c)
	if tcp == nil {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var rtt time.Duration
	_ = raw.Control(func(fd uintptr) { rtt = kernelRoundTrip(fd) }) // an error is of a closed one
	return rtt
}
