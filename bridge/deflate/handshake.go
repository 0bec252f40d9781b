package deflate

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
)

// maxHead bounds the head of an answer, in bytes. Servers send a few KiB.
const maxHead = 64 << 10

var errHead = errors.New("the head of the answer is too long")

// Handshake is the connection of a client that sends [Offer]. It keeps from its reader what the server answers to that, and returns frames
// without compression when the server has accepted. An answer that is not 101 goes through as it is.
type Handshake struct {
	net.Conn
	src     *bufio.Reader
	head    []byte    // of the answer, to be returned
	then    io.Reader // what comes after the head; nil: the head was not read yet
	err     error     // after the head, where that is the end
	params  *Params
	decided bool
}

// NewHandshake returns a Handshake on a connection on which nothing was read yet.
func NewHandshake(c net.Conn) *Handshake {
	return &Handshake{Conn: c, src: bufio.NewReaderSize(c, inputSize)}
}

// NetConn returns the connection below.
func (h *Handshake) NetConn() net.Conn { return h.Conn }

// Params returns what was agreed on, nil for no compression. It may be called when the answer was read.
func (h *Handshake) Params() *Params { return h.params }

// Read returns the answer and then frames. A wrong answer to [Offer] is a problem, [BadAnswer], in its place.
func (h *Handshake) Read(p []byte) (n int, err error) {
	if !h.decided {
		h.decided = true
		h.answer()
	}
	switch {
	case len(h.head) > 0:
		n = copy(p, h.head)
		h.head = h.head[n:]
		return n, nil
	case h.err != nil:
		return 0, h.err
	}
	return h.then.Read(p)
}

// answer reads the head of the answer, as far as it is one of a server that accepts the WebSocket.
func (h *Handshake) answer() {
	h.then = h.src
	accepted := false
	if accepted, h.err = h.readHead(); !accepted || h.err != nil {
		return
	}
	var extensions []string
	h.head, extensions = cut(h.head)
	switch h.params, h.err = Answer(extensions); {
	case h.err != nil:
		h.head = nil
	case h.params != nil:
		h.then = newReader(h.src, Client, *h.params)
	}
}

// readHead reads the head. Accepted is false as soon as it is not that of 101: the rest may never come then.
func (h *Handshake) readHead() (accepted bool, err error) {
	const version, status = "HTTP/1.", "HTTP/1.1 101"
	for {
		b, err := h.src.ReadByte()
		if err != nil {
			return false, err
		}
		h.head = append(h.head, b)
		n := len(h.head)
		switch {
		case n <= len(version) && b != version[n-1],
			n == len(status) && !bytes.HasSuffix(h.head, []byte(" 101")):
			return false, nil
		case bytes.HasSuffix(h.head, []byte("\n\r\n")), bytes.HasSuffix(h.head, []byte("\n\n")):
			return true, nil
		case n > maxHead:
			return false, errHead
		}
	}
}

// cut takes the lines of [Header] out of a head, and returns their values.
func cut(head []byte) (rest []byte, values []string) {
	ours := false
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case line[0] != ' ' && line[0] != '\t':
			ours = bytes.EqualFold(name, []byte(Header))
		case ours: // a line that goes on (RFC 9112, 5.2)
			values[len(values)-1] += " " + string(bytes.TrimSpace(line))
			continue
		}
		if ours {
			values = append(values, string(bytes.TrimSpace(value)))
		} else {
			rest = append(rest, line...)
		}
	}
	return rest, values
}
