package nmea

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// DecodeOptions set up Decode. The zero value is fine.
type DecodeOptions struct {
	Options
	// Sky writes a SKY line for every cycle of satellites too.
	Sky bool
}

// Decode reads NMEA from r to its end, or until ctx is done, and writes one JSON object a line to w. UTF-16 and gzip are read
// too, see NewReader. Lines that start with `#` are comments. Whatever else is not a sentence is skipped and counted: only
// reading and writing can fail. Sentences without a checksum count until one comes that has it: a receiver sends it always or
// never, and what lacks it among others is damaged. The output is flushed whenever r gives nothing more at once, so it follows a
// pipe.
func Decode(ctx context.Context, w io.Writer, r io.Reader, o DecodeOptions) (DecodeStats, error) {
	out := &lines{w: bufio.NewWriterSize(w, 64<<10), sky: o.Sky}
	a := NewAssembler(out, o.Options)
	s := Scanner{AllowNoChecksum: true}
	push := func(sentence []byte) {
		if s.AllowNoChecksum && checked(sentence) {
			s.AllowNoChecksum = false
		}
		a.Push(sentence)
	}
	var c comments
	err := decode(ctx, NewReader(r), out, func(p []byte) { c.strip(p, func(p []byte) { s.Scan(p, push) }) })
	a.Flush()
	err = errors.Join(err, out.flush())
	return DecodeStats{Scanner: s.Stats(), Assembler: a.Stats()}, err
}

// checked reports whether a sentence that the Scanner yields has a checksum.
func checked(sentence []byte) bool {
	return len(sentence) > 3 && sentence[len(sentence)-3] == '*'
}

// decode reads until the end.
func decode(ctx context.Context, r io.Reader, out *lines, scan func([]byte)) error {
	buf := make([]byte, 32<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		scan(buf[:n])
		if err == nil && n < len(buf) {
			err = out.flush()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if out.err != nil {
			return nil // flush reports it
		}
	}
}

// lines writes fixes and skies as lines of JSON.
type lines struct {
	w   *bufio.Writer
	buf []byte
	sky bool
	err error
}

func (l *lines) Fix(f *Fix) { l.write(f.AppendJSON(l.buf[:0])) }

func (l *lines) Sky(s *Sky) {
	if l.sky {
		l.write(s.AppendJSON(l.buf[:0]))
	}
}

func (l *lines) write(b []byte) {
	l.buf = append(b, '\n')
	if l.err == nil {
		_, l.err = l.w.Write(l.buf)
	}
}

func (l *lines) flush() error {
	if l.err == nil {
		l.err = l.w.Flush()
	}
	if l.err != nil {
		return fmt.Errorf("write fixes: %w", l.err)
	}
	return nil
}

// comments takes the lines that start with `#` out of a stream. A control character shows that it is binary data and not a
// comment.
type comments struct {
	inLine, inComment bool
}

// strip yields the parts of p that are not comments.
func (c *comments) strip(p []byte, yield func([]byte)) {
	start := 0
	for i := 0; i < len(p); i++ {
		b := p[i]
		if c.inComment {
			if b == '\n' || b < ' ' && b != '\r' && b != '\t' {
				c.inComment, c.inLine = false, b != '\n'
				start = i
			}
			continue
		}
		if b == '#' && !c.inLine {
			c.inComment = true
			yield(p[start:i])
			continue
		}
		c.inLine = b != '\n' && b != '\r'
		if c.inLine { // nothing in it matters before its end
			i += lineEnd(p[i+1:])
		}
	}
	if !c.inComment {
		yield(p[start:])
	}
}

// lineEnd is where a line ends, or len(p).
func lineEnd(p []byte) int {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		end = len(p)
	}
	if at := bytes.IndexByte(p[:end], '\r'); at >= 0 {
		return at
	}
	return end
}

// TimeOfDay returns the UTC time of day that a timed sentence carries, such as RMC, GGA or ZDA. It paces the replay of a
// recording.
func TimeOfDay(sentence []byte) (time.Duration, bool) {
	body, _, _ := strings.Cut(string(sentence), "*")
	fields := strings.Split(body, ",")
	for _, own := range sentences {
		named := fields[0] == "$"+own.typ || len(fields[0]) == 6 && fields[0][3:] == own.typ
		if named && own.clock != none && own.clock+1 < len(fields) {
			t, ok := parseTimeOfDay(fields[own.clock+1])
			return t.tod, ok
		}
	}
	return 0, false
}
