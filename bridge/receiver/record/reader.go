package record

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"time"
)

// Reader reads a recording.
type Reader struct {
	in     *bufio.Reader
	pieces []piece // what is left of the block
	buf    []byte
	torn   bool // what was read last does not end a line
	head   string
	shift  time.Duration // added to the times of this recording, where several follow one another
	last   time.Duration // time of the last piece
	began  bool          // a block has come of the recording that head names
	read   bool          // a block has come at all
}

// NewReader reads the recording r from its beginning.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the next piece of what the receiver sent, valid until the next call, and when it came, counted from the
// beginning of the recording. Times never go back. The end, also that of a file that was cut, is io.EOF. What is damaged is
// returned at the time of what came before it: nothing is held back.
func (r *Reader) Next() (at time.Duration, data []byte, err error) {
	for len(r.pieces) == 0 {
		line, err := r.line()
		if err != nil && len(line) == 0 {
			return 0, nil, err
		}
		switch {
		case bytes.HasPrefix(line, []byte(blockMark)) && r.begin(line):
		case bytes.HasPrefix(line, []byte(magic)):
			r.recording(string(line))
		case len(line) > 0 && line[0] != '#':
			return r.last, line, nil
		}
	}
	return r.piece()
}

// line returns the next line, or as much of it as the buffer holds.
func (r *Reader) line() ([]byte, error) {
	if r.torn {
		r.torn = false
		if next, err := r.in.Peek(1); err == nil && next[0] == '\n' {
			_, _ = r.in.Discard(1) // it was peeked at
		}
	}
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return line, err
}

// recording notes that the times that follow are of the recording that head names.
func (r *Reader) recording(head string) {
	if head != r.head {
		r.head, r.began = head, false
	}
}

// begin reads the line of a block, if it is one.
func (r *Reader) begin(line []byte) bool {
	pieces, ok := parseBlock(bytes.TrimRight(line, "\r\n"), r.pieces[:0])
	if !ok {
		return false
	}
	if first := pieces[0].at; !r.began || first+r.shift < r.last {
		if r.read {
			r.shift = r.last - first // another recording follows at once
		}
		r.began, r.read = true, true
	}
	r.pieces = pieces
	return true
}

// piece returns the first of the pieces that are left.
func (r *Reader) piece() (time.Duration, []byte, error) {
	p := r.pieces[0]
	r.pieces = r.pieces[1:]
	r.buf = slices.Grow(r.buf[:0], p.size)[:p.size]
	n, err := io.ReadFull(r.in, r.buf)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // cut: the next read returns that
	}
	if err != nil {
		return 0, nil, err
	}
	r.last = p.at + r.shift
	r.torn = len(r.pieces) == 0 && !endsLine(r.buf[:n])
	return r.last, r.buf[:n], nil
}
