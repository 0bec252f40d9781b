package nmea

// MaxSentence is the longest sentence in bytes, from `$` to the checksum. The standard allows 82; real receivers send position
// sentences of 103 and proprietary ones of 205.
const MaxSentence = 256

// Scanner finds sentences in a stream of bytes. The zero value is ready.
//
// A sentence starts at the last `$` or `!` before its text and ends with the two hexadecimal digits of a checksum that is
// right; it is yielded with the second digit, without waiting for the end of the line. Whatever else the stream holds is
// skipped and counted. How the stream is cut into pieces changes nothing.
type Scanner struct {
	// AllowNoChecksum yields sentences that carry no checksum too, with the end of their line.
	AllowNoChecksum bool

	buf   [MaxSentence]byte
	n     int // bytes of the open sentence that came with earlier pieces
	size  int // length of the open sentence, those included; 0 when none is open
	sum   byte
	star  int  // characters of a checksum so far: 1 for `*`, 2 with a digit
	want  byte // sum at the last `*`
	digit byte // first digit of the checksum
	wrong bool // a checksum came that does not match
	stats ScannerStats
	bad   byAddress[uint64]
}

// ScannerStats counts what a Scanner has met.
type ScannerStats struct {
	Bytes       uint64 `json:"bytes"`        // all that came in
	NoiseBytes  uint64 `json:"noise_bytes"`  // outside of sentences, line ends not counted
	Sentences   uint64 `json:"sentences"`    // yielded
	BadChecksum uint64 `json:"bad_checksum"` // complete, but with a wrong checksum
	NoChecksum  uint64 `json:"no_checksum"`  // complete, but without a checksum
	TooLong     uint64 `json:"too_long"`     // longer than MaxSentence
	// Bad counts wrong checksums by the address field of the sentence.
	Bad map[string]uint64 `json:"-"`
}

// Stats returns the counters.
func (s *Scanner) Stats() ScannerStats {
	st := s.stats
	if len(s.bad) > 0 {
		st.Bad = make(map[string]uint64, len(s.bad))
	}
	for address, n := range s.bad {
		st.Bad[address] = *n
	}
	return st
}

// Scan takes the next piece of the stream and yields the sentences that it
// completes, as `$...*hh`. A sentence is valid until yield returns.
func (s *Scanner) Scan(p []byte, yield func(sentence []byte)) {
	s.stats.Bytes += uint64(len(p))
	start := 0 // of the open sentence in p, if it did not come with an earlier piece
	for i := 0; i < len(p); i++ {
		if s.size > 0 && s.star == 0 {
			if i += s.plain(p[i:]); i == len(p) {
				break
			}
		}
		switch classes[p[i]] {
		case classStart:
			s.drop(p[start:i])
			s.size, start = 1, i
		case classLineEnd:
			if s.size > 0 {
				s.endLine(p[start:i], yield)
			}
		case classControl:
			s.drop(p[start:i])
			s.stats.NoiseBytes++
		case classText, classStar:
			if s.add(p[i]) {
				s.stats.Sentences++
				yield(s.sentence(p[start : i+1]))
				s.close()
			}
		}
	}
	if s.size > 0 {
		s.n += copy(s.buf[s.n:], p[start:])
	}
}

// class is what a byte means to the Scanner.
type class uint8

const (
	classText  class = iota
	classStar        // of a checksum, or text
	classStart       // of a sentence
	classLineEnd
	classControl // in no sentence
)

var classes = func() (t [256]class) {
	for c := range ' ' {
		t[c] = classControl
	}
	t[0x7f] = classControl
	t['\r'], t['\n'] = classLineEnd, classLineEnd
	t['$'], t['!'] = classStart, classStart
	t['*'] = classStar
	return t
}()

// plain takes the characters at the start of p that are plain text of the open sentence, as many as it has room for, and
// returns their number. Nearly all bytes go through here.
func (s *Scanner) plain(p []byte) int {
	p = p[:min(len(p), MaxSentence-s.size)]
	n, sum := 0, s.sum
	for n < len(p) && classes[p[n]] == classText {
		sum ^= p[n]
		n++
	}
	s.sum = sum
	s.size += n
	return n
}

// close forgets the open sentence.
func (s *Scanner) close() {
	s.n, s.size, s.sum, s.star, s.wrong = 0, 0, 0, 0, false
}

// add takes the next character and reports whether it completes a checksum of the open sentence that is right.
func (s *Scanner) add(c byte) bool {
	if s.size == 0 {
		s.stats.NoiseBytes++
		return false
	}
	if s.size++; s.size > MaxSentence {
		s.stats.TooLong++
		s.stats.NoiseBytes += uint64(s.size)
		s.close()
		return false
	}
	if c == '*' {
		s.want, s.star = s.sum, 1
	} else if s.star == 1 && isHex(c) {
		s.digit, s.star = hex(c)<<4, 2
	} else if s.star == 2 && isHex(c) {
		if s.digit|hex(c) == s.want {
			return true
		}
		s.wrong, s.star = true, 0
	} else {
		s.star = 0
	}
	s.sum ^= c
	return false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}

// hex returns the value of a hexadecimal digit.
func hex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&0x0f + 9
}

// endLine ends the open sentence without a checksum that is right.
func (s *Scanner) endLine(tail []byte, yield func([]byte)) {
	if !s.wrong && address(s.sentence(tail)) != nil {
		s.stats.NoChecksum++
		if s.AllowNoChecksum {
			s.stats.Sentences++
			yield(s.sentence(tail))
		}
		s.close()
		return
	}
	s.drop(tail)
}

// drop gives up the open sentence, whose bytes since the last piece are tail.
func (s *Scanner) drop(tail []byte) {
	if s.size == 0 {
		return
	}
	if a := address(s.sentence(tail)); s.wrong && a != nil {
		s.stats.BadChecksum++
		*s.bad.of(a)++
	} else {
		s.stats.NoiseBytes += uint64(s.size)
	}
	s.close()
}

// sentence returns the open sentence, whose bytes since the last piece are tail.
func (s *Scanner) sentence(tail []byte) []byte {
	if s.n == 0 {
		return tail
	}
	n := copy(s.buf[s.n:], tail)
	return s.buf[:s.n+n]
}

// address returns the address field of a sentence (talker and type, such as GPRMC), or nil when it does not start like a
// sentence: with three to eight capital letters and digits and a comma.
func address(sentence []byte) []byte {
	for i := 1; i < len(sentence) && i <= 9; i++ {
		c := sentence[i]
		if c == ',' && i > 3 {
			return sentence[1:i]
		}
		if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return nil
		}
	}
	return nil
}
