package sim

import (
	"strconv"
	"time"
)

// line is a sentence that is appended to others. Each field begins with its comma.
type line struct {
	b     []byte
	start int // of the sentence in b
}

func begin(dst []byte, talker, name string) line {
	l := line{b: dst, start: len(dst)}
	l.b = append(l.b, '$')
	l.b = append(l.b, talker...)
	l.b = append(l.b, name...)
	return l
}

// text adds a field.
func (l line) text(s string) line {
	l.b = append(append(l.b, ','), s...)
	return l
}

// empty adds n empty fields.
func (l line) empty(n int) line {
	for range n {
		l.b = append(l.b, ',')
	}
	return l
}

// padded adds a whole number with leading zeros.
func (l line) padded(n, width int) line {
	l.b = appendPadded(append(l.b, ','), n, width)
	return l
}

// clock adds the time of day, to a hundredth of a second: rates that do not divide 100 are cut, as receivers do.
func (l line) clock(t time.Time) line {
	l = l.padded(t.Hour()*10000+t.Minute()*100+t.Second(), 6)
	l.b = append(l.b, '.')
	l.b = appendPadded(l.b, t.Nanosecond()/10_000_000, 2)
	return l
}

// date adds day, month and year.
func (l line) date(t time.Time) line {
	return l.padded(t.Day()*10000+int(t.Month())*100+t.Year()%100, 6)
}

// end adds checksum and line end and returns the buffer.
func (l line) end() []byte {
	const hex = "0123456789ABCDEF"
	sum := byte(0)
	for _, c := range l.b[l.start+1:] {
		sum ^= c
	}
	return append(l.b, '*', hex[sum>>4], hex[sum&15], '\r', '\n')
}

func appendPadded(b []byte, n, width int) []byte {
	digits := strconv.Itoa(n)
	for range width - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}
