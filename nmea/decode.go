package nmea

import (
	"bufio"
	"bytes"
	"context"
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
// never, and what lacks it among others is damaged. The output is flushed before every read of r, so it follows a pipe.
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
	err := decode(ctx, NewReader(followed{r, out}), func(p []byte) { s.Scan(p, push) })
	a.Flush()
	if err == nil {
		err = out.flush()
	}
	return DecodeStats{Scanner: s.Stats(), Assembler: a.Stats()}, err
}

// checked reports whether a sentence that the Scanner yields, which has an address or a checksum, has the latter.
func checked(sentence []byte) bool { return sentence[len(sentence)-3] == '*' }

// decode reads until the end.
func decode(ctx context.Context, r io.Reader, scan func([]byte)) error {
	buf := make([]byte, 32<<10)
	c := comments{start: true}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		c.strip(buf[:n], scan)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// followed is a reader before each read of which what was written is flushed.
type followed struct {
	io.Reader
	out *lines
}

func (f followed) Read(p []byte) (int, error) {
	if err := f.out.flush(); err != nil {
		return 0, err
	}
	return f.Reader.Read(p)
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

// comments takes the lines that start with `#` out of a stream. A control character shows that the rest is binary data.
type comments struct {
	start  bool // of a line
	inside bool // a comment
}

// strip yields the parts of p that are not comments.
func (c *comments) strip(p []byte, yield func([]byte)) {
	for len(p) > 0 {
		if c.inside || c.start && p[0] == '#' {
			end := commentEnd(p)
			c.inside, c.start = end == len(p), false
			p = p[end:]
			continue
		}
		n := len(p)
		if i := bytes.Index(p, []byte("\n#")); i >= 0 {
			n = i + 1
		}
		c.start = p[n-1] == '\n'
		yield(p[:n])
		p = p[n:]
	}
}

// commentEnd is where a comment ends in p, or len(p).
func commentEnd(p []byte) int {
	for i, b := range p {
		if b < ' ' && b != '\r' && b != '\t' {
			return i
		}
	}
	return len(p)
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
