package deflate

import (
	"bufio"
	"crypto/rand"
	"io"
)

// Writer makes frames of texts. It is for one connection, of which it holds the window, and for one goroutine at a time.
type Writer struct {
	// Set once.
	role       Role
	compress   bool
	noTakeover bool
	keys       *bufio.Reader // of masks: one system call for many
	tries      int

	window window
	out    []byte // of the last message
}

// NewWriter returns a Writer for what an end of a connection sends; without p it does not compress. It uses a window of
// [WindowBits] or less.
func NewWriter(role Role, p *Params) *Writer {
	w := &Writer{role: role, compress: p != nil, tries: serverTries}
	if role == Client {
		w.tries = clientTries
		w.keys = bufio.NewReaderSize(rand.Reader, 64)
	}
	if p == nil {
		return w
	}
	bits := p.ClientBits
	w.noTakeover = p.ClientNoTakeover
	if role == Server {
		bits, w.noTakeover = p.ServerBits, p.ServerNoTakeover
	}
	if bits == 0 {
		bits = WindowBits
	}
	w.window = newWindow(min(bits, WindowBits))
	return w
}

// AppendText appends the frame of a text, and returns the longer slice. Frames must be sent in the order in which they were
// made, and all of them: the next one may refer to them. Without takeover they are independent of each other.
func (w *Writer) AppendText(dst, message []byte) []byte {
	first, payload := byte(finBit|text), message
	if w.compress && len(message) > 0 {
		first, payload = first|compressedBit, w.pack(message)
	}
	return w.appendFrame(dst, first, payload)
}

// AppendPong appends a pong, the answer to a ping with the same payload of at most 125 bytes (RFC 6455, 5.5.3).
func (w *Writer) AppendPong(dst []byte, payload string) []byte {
	return w.appendFrame(dst, finBit|pong, []byte(payload))
}

func (w *Writer) appendFrame(dst []byte, first byte, payload []byte) []byte {
	if w.role == Server {
		return append(appendHeader(dst, first, len(payload), nil), payload...)
	}
	var key [4]byte
	io.ReadFull(w.keys, key[:]) // crypto/rand does not fail
	dst = append(appendHeader(dst, first, len(payload), key[:]), payload...)
	mask(dst[len(dst)-len(payload):], key)
	return dst
}

// maxKept is what a Writer keeps of its buffer for the next message, in bytes: a fix needs some tens.
const maxKept = 4 << 10

// Headers of a block (RFC 1951, 3.2.3): one with the fixed codes, and the empty one at the end of a message, of which only this is on
// the wire (RFC 7692, 7.2.1).
var (
	fixedBlock = code{0b010, 3}
	emptyBlock = code{0b000, 3}
)

// pack compresses a message. No reference reaches further back than the window, because the compressor is given no more at a
// time, what is before included.
func (w *Writer) pack(message []byte) []byte {
	if w.noTakeover {
		w.window.data = w.window.data[:0]
	}
	if cap(w.out) > maxKept {
		w.out = nil
	}
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	out := bitWriter{out: w.out[:0]}
	out.code(fixedBlock)
	for len(message) > 0 {
		part := message[:min(len(message), w.window.size/2)]
		message = message[len(part):]
		c.compress(&out, w.window.last(w.window.size-len(part)), part, w.tries)
		w.window.add(part)
	}
	out.code(symbols[endOfBlock])
	out.code(emptyBlock)
	out.code(code{size: uint8(-out.size & 7)})
	w.out = out.out
	return w.out
}

// mask applies a mask to a payload.
func mask(p []byte, key [4]byte) {
	for i := range p {
		p[i] ^= key[i&3]
	}
}
