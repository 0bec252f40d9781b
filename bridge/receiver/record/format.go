package record

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
)

const (
	// magic begins a recording. The digit is the version of the format.
	magic = "# gpsbridge recording 1,"
	// blockMark begins a line with the times at which the bytes after it came.
	blockMark = "#@"
	// maxPiece is the longest piece; a receiver is read in pieces of 4 KiB at the most. It bounds what a damaged
	// file can make a Reader allocate.
	maxPiece = 1 << 20
	// maxPieces is how many a block holds: a line of 1024 times is some 10 kB.
	maxPieces = 1024
)

// Recorded reports whether a file is a recording. What cannot be read is none.
func Recorded(file io.ReaderAt) bool {
	head := make([]byte, len(magic))
	n, _ := file.ReadAt(head, 0)
	return string(head[:n]) == magic
}

// block is a row of pieces. The zero value is empty.
type block struct {
	pieces []piece
	data   []byte // of all pieces
}

// piece is what came at once.
type piece struct {
	at   time.Duration // since the recording began, whole microseconds
	size int
}

func (b *block) empty() bool { return len(b.pieces) == 0 }

func (b *block) add(at time.Duration, p []byte) {
	b.pieces = append(b.pieces, piece{at, len(p)})
	b.data = append(b.data, p...)
}

func (b *block) reset() { b.pieces, b.data = b.pieces[:0], b.data[:0] }

// endsLine reports whether what follows begins a line.
func (b *block) endsLine() bool { return endsLine(b.data) }

func endsLine(p []byte) bool { return len(p) > 0 && p[len(p)-1] == '\n' }

// appendTo appends the encoded block, which must not be empty.
func (b *block) appendTo(to []byte) []byte {
	first := b.pieces[0]
	to = fmt.Appendf(to, "%s%d.%06d %d", blockMark, first.at/time.Second, first.at%time.Second/time.Microsecond, first.size)
	last := first.at
	for _, p := range b.pieces[1:] {
		to = append(to, " +"...)
		to = strconv.AppendInt(to, (p.at - last).Microseconds(), 10)
		to = append(to, ' ')
		to = strconv.AppendInt(to, int64(p.size), 10)
		last = p.at
	}
	to = append(to, '\n')
	to = append(to, b.data...)
	if !b.endsLine() {
		to = append(to, '\n')
	}
	return to
}

// parseBlock reads the line that begins a block, without its line end. It appends to pieces.
func parseBlock(line []byte, pieces []piece) ([]piece, bool) {
	fields := bytes.Fields(bytes.TrimPrefix(line, []byte(blockMark)))
	if len(fields) < 2 || len(fields)%2 != 0 || len(fields) > 2*maxPieces {
		return nil, false
	}
	at, ok := parseSeconds(fields[0])
	for i := 0; ok && i < len(fields); i += 2 {
		if i > 0 {
			var step int64
			step, ok = parseNumber(bytes.TrimPrefix(fields[i], []byte("+")), int64(maxOffset/time.Microsecond))
			at += time.Duration(step) * time.Microsecond
		}
		size, isSize := parseNumber(fields[i+1], maxPiece)
		ok = ok && isSize && size > 0 && at <= maxOffset
		pieces = append(pieces, piece{at, int(size)})
	}
	return pieces, ok
}

// maxOffset bounds how long a recording is, so that no sum overflows.
const maxOffset = 10 * 365 * 24 * time.Hour

// parseSeconds reads seconds with six decimals.
func parseSeconds(b []byte) (time.Duration, bool) {
	whole, micros, found := bytes.Cut(b, []byte("."))
	s, ok := parseNumber(whole, int64(maxOffset/time.Second))
	us, ok2 := parseNumber(micros, 999_999)
	return time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond, found && ok && ok2 && len(micros) == 6
}

// parseNumber reads a whole number from 0 to most.
func parseNumber(b []byte, most int64) (int64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	return int64(n), err == nil && int64(n) <= most
}
