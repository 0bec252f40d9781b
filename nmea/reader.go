package nmea

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gpsbridge/bridge/problem"
)

// IsZip is the code of the problem that NewReader has with a zip archive.
const IsZip problem.Code = "log-is-zip"

// NewReader returns a reader of the text of a log, in whatever way it was saved: as it is, in UTF-16 with or without a byte
// order mark, as editors and terminals on Windows do, or compressed with gzip. It finds out at the first Read. A zip archive is
// a *problem.Problem, because it may hold many files.
func NewReader(r io.Reader) io.Reader { return &textReader{raw: r} }

// textReader finds out how the text in raw is written with its first bytes.
type textReader struct {
	raw  io.Reader
	text io.Reader // nil until the first Read
	err  error     // of finding out
}

func (t *textReader) Read(p []byte) (int, error) {
	if t.text == nil && t.err == nil {
		t.text, t.err = open(t.raw)
	}
	if t.err != nil {
		return 0, t.err
	}
	return t.text.Read(p)
}

// open returns a reader of the text in raw.
func open(raw io.Reader) (io.Reader, error) {
	var head [4]byte
	n, err := io.ReadFull(raw, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	rest := io.MultiReader(bytes.NewReader(head[:n]), raw)
	begins := func(mark string) bool { return bytes.HasPrefix(head[:n], []byte(mark)) }
	if begins("\x1f\x8b") { // RFC 1952
		z, err := gzip.NewReader(rest)
		if err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
		return NewReader(z), nil
	}
	if begins("\xef\xbb\xbf") { // byte order mark of UTF-8
		return io.MultiReader(bytes.NewReader(head[3:n]), raw), nil
	}
	if begins("PK\x03\x04") {
		return nil, &problem.Problem{Code: IsZip, Cause: "this is a zip archive", Fix: "unpack it, and name the log in it"}
	}
	if begins("\xff\xfe") || plain(head[0]) && head[1] == 0 && plain(head[2]) && head[3] == 0 {
		return utf16Reader{bufio.NewReader(rest), binary.LittleEndian}, nil
	}
	if begins("\xfe\xff") || head[0] == 0 && plain(head[1]) && head[2] == 0 && plain(head[3]) {
		return utf16Reader{bufio.NewReader(rest), binary.BigEndian}, nil
	}
	return rest, nil
}

// plain reports whether b is a character that a line of text may start with.
func plain(b byte) bool { return b >= ' ' && b <= '~' || b == '\r' || b == '\n' || b == '\t' }

// utf16Reader returns the ASCII characters of a text in UTF-16, and a `?` for every other one. Half a character at the end is none.
type utf16Reader struct {
	raw   *bufio.Reader
	order binary.ByteOrder
}

// Read waits for one character and returns with it those that have come already.
func (u utf16Reader) Read(p []byte) (n int, err error) {
	for n < len(p) && (n == 0 || u.raw.Buffered() >= 2) {
		first, err := u.raw.ReadByte()
		if err != nil {
			return n, err
		}
		second, err := u.raw.ReadByte()
		if err != nil {
			return n, err
		}
		c := u.order.Uint16([]byte{first, second})
		if c == 0xfeff { // byte order mark
			continue
		}
		if c > 0x7f {
			c = '?'
		}
		p[n] = byte(c)
		n++
	}
	return n, nil
}
