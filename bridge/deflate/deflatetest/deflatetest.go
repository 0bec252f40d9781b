// Package deflatetest is for servers in tests that accept compression.
package deflatetest

import (
	"bufio"
	"net"
	"net/http"

	"gpsbridge/bridge/deflate"
)

// Inflating is a ResponseWriter that hands gorilla a connection on which what was compressed is inflated, as agreed on; nil: it is not.
type Inflating struct {
	http.ResponseWriter
	Agreed *deflate.Params
}

// Hijack is that of http.Hijacker.
func (i Inflating) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := i.ResponseWriter.(http.Hijacker).Hijack()
	if err == nil && i.Agreed != nil {
		c = inflated{c, deflate.NewReader(c, deflate.Server, *i.Agreed)}
	}
	return c, rw, err
}

type inflated struct {
	net.Conn
	reader *deflate.Reader
}

func (i inflated) Read(p []byte) (int, error) { return i.reader.Read(p) }
