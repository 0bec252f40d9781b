package nmea

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	rmc = "$GPRMC,090001,A,5130.2018,N,00007.6575,W,027.0,084.4,231126,,*05"
	gll = "$GPGLL,5130.2018,N,00007.6575,W,090001,A*3A"
)

// TestScannerLimits holds for the longest sentence, for all checksums in capitals and small letters, and for addresses.
func TestScannerLimits(t *testing.T) {
	for length, want := range map[int]int{MaxSentence: 1, MaxSentence + 1: 0} {
		text := strings.TrimSpace(sentence("GPTXT," + strings.Repeat("x", length-len("$GPTXT,*00"))))
		var s Scanner
		if got, _ := scan(&s, text); len(text) != length || len(got) != want {
			t.Errorf("%d bytes: %d sentences, want %d", len(text), len(got), want)
		}
	}
	var s Scanner
	for i := range 1000 {
		text := strings.TrimSpace(sentence(fmt.Sprintf("GPTXT,%d~%c", i, 'A'+i%50)))
		star := len(text) - 2
		if got, _ := scan(&s, text+"\r\n", text[:star]+strings.ToLower(text[star:])+"\r\n"); len(got) != 2 {
			t.Errorf("%s, with its checksum in capitals and small letters: %d sentences", text, len(got))
		}
	}
	for text, want := range map[string]string{
		"$AB,1": "", "$ABC,1": "ABC", "$ABCDEFGH,1": "ABCDEFGH", "$ABCDEFGHI,1": "", "$AZ09,1": "AZ09", "$A@C,1": "", "$A[C,1": "", "$A/C,1": "", "$A:C,1": "", "$ABC": "",
		"$ABCDEFGH": "",
	} {
		if got := string(address([]byte(text))); got != want {
			t.Errorf("address of %s: %q, want %q", text, got, want)
		}
	}
}

// scan returns the sentences of the pieces of a stream, and the counters.
func scan(s *Scanner, pieces ...string) ([]string, ScannerStats) {
	var got []string
	for _, p := range pieces {
		s.Scan([]byte(p), func(b []byte) { got = append(got, string(b)) })
	}
	return got, s.Stats()
}

func TestScanner(t *testing.T) {
	long := strings.TrimSuffix(sentence("PMTKCHN,"+strings.Repeat("01234567,", 26)), "\r\n")
	lower := gll[:len(gll)-2] + "3a"
	tests := []struct {
		name, in string
		want     []string
		stats    ScannerStats // Bytes and Sentences are those of in and want
	}{
		{name: "nothing"},
		{name: "CR LF", in: rmc + "\r\n" + gll + "\r\n", want: []string{rmc, gll}},
		{name: "LF", in: rmc + "\n" + gll + "\n", want: []string{rmc, gll}},
		{name: "CR CR LF", in: rmc + "\r\r\n" + gll + "\r\r\n", want: []string{rmc, gll}},
		{name: "no line end at all", in: rmc + gll, want: []string{rmc, gll}},
		{name: "lower case checksum", in: lower + "\n", want: []string{lower}},
		{name: "text after the checksum", in: rmc + " ok\r\n", want: []string{rmc}, stats: ScannerStats{NoiseBytes: 3}},
		{name: "two dollars", in: "$" + rmc + "\r\n", want: []string{rmc}, stats: ScannerStats{NoiseBytes: 1}},
		{name: "torn line", in: "$GPGGA,030130" + gll + "\r\n", want: []string{gll}, stats: ScannerStats{NoiseBytes: 13}},
		{name: "binary in front", in: "\xb5\x62\x01\x07$\x00" + rmc + "\r\n", want: []string{rmc}, stats: ScannerStats{NoiseBytes: 6}},
		{name: "encapsulated", in: "!AIVDM,1,1,,A,13aGpR0P00PD;88MD5MTDww@2D0k,0*63\r\n", want: []string{"!AIVDM,1,1,,A,13aGpR0P00PD;88MD5MTDww@2D0k,0*63"}},
		{name: "tag block", in: `\s:r1*2A\` + gll + "\r\n", want: []string{gll}, stats: ScannerStats{NoiseBytes: 9}},
		{name: "long", in: long + "\r\n", want: []string{long}},
		{name: "bad checksum", in: rmc[:len(rmc)-2] + "06\r\n" + gll + "\r\n", want: []string{gll}, stats: ScannerStats{BadChecksum: 1, Bad: map[string]uint64{"GPRMC": 1}}},
		{name: "bad checksum, torn line end", in: rmc[:len(rmc)-2] + "06" + gll, want: []string{gll}, stats: ScannerStats{BadChecksum: 1, Bad: map[string]uint64{"GPRMC": 1}}},
		{name: "no checksum", in: "$GPGLL,5130.2018,N\r\n", stats: ScannerStats{NoChecksum: 1}},
		{name: "half a checksum", in: "$GPGLL,5130.2018,N*3\r\n", stats: ScannerStats{NoChecksum: 1}},
		{name: "no sentence", in: "$\r\n$$ 5,00\r\n", stats: ScannerStats{NoiseBytes: 8}},
		{name: "too long", in: "$GPTXT," + strings.Repeat("x", 250) + "\r\n" + gll, want: []string{gll}, stats: ScannerStats{NoiseBytes: 257, TooLong: 1}},
		{name: "star in the text", in: sentence("GPTXT,01,01,02,a*b"), want: []string{strings.TrimSpace(sentence("GPTXT,01,01,02,a*b"))}},
		{name: "star and a space in the text", in: sentence("GPTXT,01,01,02,a* b"), want: []string{strings.TrimSpace(sentence("GPTXT,01,01,02,a* b"))}},
		{name: "checksum alike in the text", in: sentence("GPTXT,01,01,02,a*00b"), want: []string{strings.TrimSpace(sentence("GPTXT,01,01,02,a*00b"))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Scanner
			got, stats := scan(&s, tt.in)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("sentences (-want +got):\n%s", d)
			}
			tt.stats.Bytes, tt.stats.Sentences = uint64(len(tt.in)), uint64(len(tt.want))
			if d := cmp.Diff(tt.stats, stats); d != "" {
				t.Errorf("counters (-want +got):\n%s", d)
			}
			for i := range tt.in { // cut anywhere, nothing changes
				var s Scanner
				cut, cutStats := scan(&s, tt.in[:i], tt.in[i:])
				if !cmp.Equal(got, cut) || !cmp.Equal(stats, cutStats) {
					t.Fatalf("cut after %d bytes: %q %+v", i, cut, cutStats)
				}
			}
		})
	}
}

// TestScannerAtOnce holds that a sentence is there with the last digit of its checksum, before its line end.
func TestScannerAtOnce(t *testing.T) {
	var s Scanner
	if got, _ := scan(&s, rmc[:len(rmc)-1]); len(got) != 0 {
		t.Errorf("got %q before the last digit", got)
	}
	if got, _ := scan(&s, rmc[len(rmc)-1:]); len(got) != 1 || got[0] != rmc {
		t.Errorf("got %q with the last digit", got)
	}
}

func TestScannerAllowNoChecksum(t *testing.T) {
	s := Scanner{AllowNoChecksum: true}
	got, stats := scan(&s, "$GPGLL,5130.2018,N\r\n"+gll+"\r\n")
	if d := cmp.Diff([]string{"$GPGLL,5130.2018,N", gll}, got); d != "" {
		t.Errorf("sentences (-want +got):\n%s", d)
	}
	if stats.NoChecksum != 1 || stats.Sentences != 2 {
		t.Errorf("counters: %+v", stats)
	}
}

func TestScannerAllocatesNothing(t *testing.T) {
	var in stream
	for i := range 10 {
		in.epoch(float64(i), "RMC", "GGA")
	}
	var s Scanner
	p := in.Bytes()
	if n := testing.AllocsPerRun(10, func() {
		s.Scan(p[:77], func([]byte) {})
		s.Scan(p[77:], func([]byte) {})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// noise returns n bytes that hold no start of a sentence.
func noise(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		for p[i] = byte(r.Uint32()); p[i] == '$' || p[i] == '!' || p[i] == '#'; p[i]++ {
		}
	}
	return p
}

// TestNoiseBetweenSentences holds that noise between sentences changes nothing.
func TestNoiseBetweenSentences(t *testing.T) {
	var clean stream
	for i := range 20 {
		clean.epoch(float64(i), "RMC", "GGA", "GSA", "GSV", "GLL")
	}
	want := assemble(clean.Bytes(), Options{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var dirty bytes.Buffer
		for _, line := range bytes.SplitAfter(clean.Bytes(), []byte("\n")) {
			dirty.Write(noise(r, r.IntN(200)))
			if r.IntN(3) == 0 { // a message of u-blox's binary protocol
				dirty.WriteString("\xb5\x62\x01\x07\x04\x00$GN\x00\x12\x34")
			}
			dirty.Write(line)
		}
		got := assemble(dirty.Bytes(), Options{})
		if d := cmp.Diff(want.fixes, got.fixes, cmp.AllowUnexported(Value{})); d != "" {
			t.Fatalf("fixes (-want +got):\n%s", d)
		}
		if d := cmp.Diff(want.skies, got.skies, cmp.AllowUnexported(Value{})); d != "" {
			t.Fatalf("skies (-want +got):\n%s", d)
		}
	}
}

// FuzzScanner holds that any bytes give the same sentences however they are cut,
// that the sentences are checksummed, and that every byte is accounted for.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(rmc+"\r\n"+gll+"\r\n"), uint16(7))
	f.Add([]byte("$GPGGA,03$$"+gll+"x\r\r\n\xb5\x62$GPTXT,a*00b*12\n"), uint16(1))
	f.Add([]byte("$GPTXT,"+strings.Repeat("*0", 140)), uint16(100))
	f.Fuzz(func(t *testing.T, p []byte, step uint16) {
		var whole, cut Scanner
		want, stats := scan(&whole, string(p))
		var pieces []string
		for n := int(step%64) + 1; len(p) > 0; p = p[min(n, len(p)):] {
			pieces = append(pieces, string(p[:min(n, len(p))]))
		}
		got, cutStats := scan(&cut, pieces...)
		if !cmp.Equal(want, got) || !cmp.Equal(stats, cutStats) {
			t.Errorf("cut: %q %+v, whole: %q %+v", got, cutStats, want, stats)
		}
		for _, s := range want {
			body := s[1 : len(s)-3]
			if again := strings.TrimSpace(sentence(body)); len(s) > MaxSentence || !strings.EqualFold(again[1:], s[1:]) {
				t.Errorf("sentence %q, want %q", s, again)
			}
		}
		if stats.NoiseBytes > stats.Bytes || int(stats.Sentences) != len(want) {
			t.Errorf("counters %+v", stats)
		}
	})
}
