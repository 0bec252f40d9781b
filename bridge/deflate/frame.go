package deflate

import "encoding/binary"

// Role is the end of a connection: it decides which frames are masked.
type Role bool

// The ends of a connection.
const (
	Client Role = false
	Server Role = true
)

// Of a frame (RFC 6455, 5.2).
const (
	finBit        = 0x80
	compressedBit = 0x40 // RSV1, on the first frame of a message
	reservedBits  = 0x70
	opcodeBits    = 0x0f
	controlBit    = 0x08 // of the opcode

	continuation = 0
	text         = 1
	binaryData   = 2
	pong         = 10

	maskBit    = 0x80
	maxControl = 125 // bytes of payload
	maxHeader  = 14
)

// frame is the header of a frame.
type frame struct {
	first  byte // FIN, RSV and opcode
	masked bool
	length uint64
	key    [4]byte
	size   int // of the header, in bytes
}

func (f frame) fin() bool      { return f.first&finBit != 0 }
func (f frame) opcode() byte   { return f.first & opcodeBits }
func (f frame) reserved() byte { return f.first & reservedBits }

// peeker is a reader that shows what comes next.
type peeker interface{ Peek(n int) ([]byte, error) }

// peekFrame reads the header that comes next, without taking it.
func peekFrame(src peeker) (f frame, raw []byte, err error) {
	raw, err = src.Peek(2)
	if err != nil {
		return f, raw, err
	}
	f = frame{first: raw[0], masked: raw[1]&maskBit != 0, length: uint64(raw[1] &^ maskBit), size: 2}
	extended := 0
	switch f.length {
	case 126:
		extended = 2
	case 127:
		extended = 8
	}
	f.size += extended
	if f.masked {
		f.size += 4
	}
	if raw, err = src.Peek(f.size); err != nil {
		return f, raw, err
	}
	switch extended {
	case 2:
		f.length = uint64(binary.BigEndian.Uint16(raw[2:]))
	case 8:
		f.length = binary.BigEndian.Uint64(raw[2:])
	}
	if f.masked {
		copy(f.key[:], raw[f.size-4:])
	}
	return f, raw, nil
}

// appendHeader writes the header of a frame; a key is there for one that is masked.
func appendHeader(dst []byte, first byte, length int, key []byte) []byte {
	mask := byte(0)
	if key != nil {
		mask = maskBit
	}
	switch {
	case length <= maxControl:
		dst = append(dst, first, mask|byte(length))
	case length < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, first, mask|126), uint16(length))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, mask|127), uint64(length))
	}
	return append(dst, key...)
}

// window holds the last bytes of a stream.
type window struct {
	size int
	data []byte
}

func newWindow(bits int) window { return window{size: 1 << bits} }

func (w *window) add(p []byte) {
	p = p[max(0, len(p)-w.size):]
	if over := len(w.data) + len(p) - w.size; over > 0 {
		w.data = w.data[:copy(w.data, w.data[over:])]
	}
	w.data = append(w.data, p...)
}

// last is the last n bytes, or what there is.
func (w *window) last(n int) []byte { return w.data[max(0, len(w.data)-n):] }
