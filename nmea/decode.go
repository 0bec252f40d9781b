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

// checked reports whether a sentence that the Scanner yields has a checksum.
func checked(sentence []byte) bool {
	return len(sentence) > 3 && sentence[len(sentence)-3] == '*'
}

// decode reads until the end, line by line.
func decode(ctx context.Context, r io.Reader, scan func([]byte)) error {
	in := bufio.NewReaderSize(r, 32<<10)
	for start := true; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := in.ReadSlice('\n')
		if start {
			line = line[comment(line):]
		}
		scan(line)
		start = err == nil
		if err == io.EOF {
			return nil
		}
		if err != nil && err != bufio.ErrBufferFull {
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

// comment returns how much of a line is a comment. A control character shows that the rest is binary data.
func comment(line []byte) int {
	if len(line) == 0 || line[0] != '#' {
		return 0
	}
	binary := func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' && r != '\t' }
	if end := bytes.IndexFunc(line, binary); end >= 0 {
		return end
	}
	return len(line)
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
