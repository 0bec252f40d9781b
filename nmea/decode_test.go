package nmea

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// decodeAll decodes a stream given in pieces of at most n bytes.
func decodeAll(t *testing.T, in string, n int, o DecodeOptions) (string, DecodeStats) {
	t.Helper()
	var out bytes.Buffer
	stats, err := Decode(t.Context(), &out, &pieces{rest: in, n: n}, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), stats
}

// pieces is a reader that gives n bytes at a time.
type pieces struct {
	rest string
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.rest == "" {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.n, len(p.rest))])
	p.rest = p.rest[n:]
	return n, nil
}

func TestDecode(t *testing.T) {
	in := "# a comment with " + gll + " in it\n" +
		"#" + gll + "\r\n" + rmc + "\r\n" +
		"\xb5\x62\x01\n#\x00#" + gll + "\r\n" + // binary data, no comment
		"text # " + strings.TrimSpace(sentence("GPGGA,090002,5130.0,N,00007.0,W,1,09,0.8,11.2,M,46.7,M,,")) + "\n"
	want := `{"class":"TPV","mode":2,"status":1,"time":"2026-11-23T09:00:01.000Z","lat":51.5033633,"lon":-0.1276250,"speed":13.89,"track":84.4}
{"class":"TPV","mode":3,"status":1,"time":"2026-11-23T09:00:02.000Z","lat":51.5000000,"lon":-0.1166667,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"hdop":0.8,"eph":15.2,"uSat":9}
`
	for _, n := range []int{1, 7, 1000} {
		got, stats := decodeAll(t, in, n, DecodeOptions{})
		if got != want {
			t.Errorf("in pieces of %d:\ngot  %s\nwant %s", n, got, want)
		}
		if stats.Scanner.Sentences != 3 || stats.Assembler.Fixes != 2 {
			t.Errorf("counters %+v", stats)
		}
	}
}

func TestDecodeNoDate(t *testing.T) {
	got, _ := decodeAll(t, gll+"\r\n", 100, DecodeOptions{})
	if want := `{"class":"TPV","mode":2,"status":1,"lat":51.5033633,"lon":-0.1276250}` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDecodeSky(t *testing.T) {
	var s stream
	s.epoch(36000, "RMC", "GSV")
	got, stats := decodeAll(t, s.String(), 100, DecodeOptions{Sky: true})
	if n := strings.Count(got, `"class":"SKY","time":"2026-11-23T10:00:00.000Z"`); n != 1 || stats.Assembler.Skies != 1 {
		t.Errorf("%d skies in %s, %d counted", n, got, stats.Assembler.Skies)
	}
}

// TestDecodeNoChecksums holds that a log whose receiver sends no checksums is read, and that one among others that have it
// is damaged.
func TestDecodeNoChecksums(t *testing.T) {
	bare := func(s string) string { return s[:strings.LastIndexByte(s, '*')] + "\r\n" }
	got, stats := decodeAll(t, bare(rmc)+bare(gll), 7, DecodeOptions{})
	if n := strings.Count(got, `"lat"`); n == 0 || stats.Scanner.Sentences != 2 {
		t.Errorf("%d sentences, %s", stats.Scanner.Sentences, got)
	}
	if _, stats = decodeAll(t, rmc+"\r\n"+bare(gll), 7, DecodeOptions{}); stats.Scanner.Sentences != 1 || stats.Scanner.NoChecksum != 1 {
		t.Errorf("%+v, want one sentence and one without its checksum", stats.Scanner)
	}
}

// TestDecodeChopped holds that the pieces in which a stream comes change nothing.
func TestDecodeChopped(t *testing.T) {
	var s stream
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 30 {
		s.void = i%7 == 0
		s.epoch(86390+float64(i%10)*0.1, "RMC", "VTG", "GGA", "GSA", "GSV", "GLL", "ZDA")
		s.Write(noise(r, 20))
		s.WriteString("\n# comment\n")
	}
	want, stats := decodeAll(t, s.String(), s.Len(), DecodeOptions{Sky: true})
	var table, wantTable bytes.Buffer
	if err := stats.WriteTable(&wantTable); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 300; n++ {
		got, stats := decodeAll(t, s.String(), n, DecodeOptions{Sky: true})
		table.Reset()
		if err := stats.WriteTable(&table); err != nil || got != want || table.String() != wantTable.String() {
			t.Fatalf("pieces of %d bytes differ: %v\n%s\n%s", n, err, got, table.String())
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	broken := errors.New("broken")
	in := strings.NewReader(rmc + "\r\n")
	if _, err := Decode(t.Context(), io.Discard, io.MultiReader(in, iotest.ErrReader(broken)), DecodeOptions{}); !errors.Is(err, broken) {
		t.Errorf("reader fails: %v", err)
	}
	if _, err := Decode(t.Context(), failing{broken}, strings.NewReader(rmc+"\r\n"), DecodeOptions{}); !errors.Is(err, broken) {
		t.Errorf("writer fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Decode(ctx, io.Discard, strings.NewReader(rmc), DecodeOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestDecodeFollows holds that a fix comes out while the input goes on.
func TestDecodeFollows(t *testing.T) {
	in, feed := io.Pipe()
	drain, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := Decode(t.Context(), out, in, DecodeOptions{})
		out.Close()
		done <- err
	}()
	go func() {
		_, _ = io.WriteString(feed, rmc+"\r\n"+strings.TrimSpace(sentence("GPRMC,090002,V,,,,,,,231126,,"))+"\r\n")
	}()
	b := make([]byte, 1000)
	n, err := drain.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), "09:00:01") {
		t.Errorf("read %q, %v", b[:n], err)
	}
	feed.Close()
	if _, err := io.Copy(io.Discard, drain); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWriteTable(t *testing.T) {
	in := rmc + "\r\n" + rmc[:len(rmc)-2] + "00\r\n" + sentence("GPGGA,990000,5130.0,N,00030.0,E,1,09,0.8,11.2,M,46.7,M,,") + sentence("PMTK010,001") + "noise$GPGSV,1\n"
	_, stats := decodeAll(t, in, 50, DecodeOptions{})
	var b bytes.Buffer
	if err := stats.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	want := `  sentence  good  bad checksum  refused  unsupported  reasons
     GPGGA     0             0        1            0  1 malformed time
     GPRMC     1             1        0            0  
   PMTK010     0             0        0            1  
225 bytes, 5 of noise; 3 sentences, 1 without checksum, 0 too long; 1 fixes, 0 skies, 0 late sentences
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestTimeOfDay(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{rmc, 9*time.Hour + time.Second, true},
		{gll, 9*time.Hour + time.Second, true},
		{"$GNGGA,090000.25,,,,*00", 9*time.Hour + 250*time.Millisecond, true},
		{"$GNZDA,090000*00", 9 * time.Hour, true},
		{"$PUBX,00,090000.00,5130*00", 9 * time.Hour, true},
		{"$GPGSA,A,3*00", 0, false},
		{"$GPRMC,,V*00", 0, false},
		{"$GPGLL,5130.0*00", 0, false},
		{"$GPGLL,5130.0,N,00030.0,E*00", 0, false},
		{"$GPRMC,990000,V*00", 0, false},
		{"$", 0, false},
		{"", 0, false},
	}
	for _, tt := range tests {
		if got, ok := TimeOfDay([]byte(tt.in)); got != tt.want || ok != tt.ok {
			t.Errorf("TimeOfDay(%q) = %v, %v, want %v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

// checkJSON fails unless every line is one JSON object with finite numbers in their ranges.
func checkJSON(t *testing.T, out []byte) {
	t.Helper()
	for line := range bytes.Lines(out) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for k, limit := range map[string]float64{"lat": 90, "lon": 180, "track": 360, "speed": maxSpeed, "altMSL": 100e3} {
			if v, ok := m[k].(float64); ok && (math.Abs(v) > limit || math.IsNaN(v)) {
				t.Fatalf("%s: %v in %s", k, v, line)
			}
		}
		if m["class"] == "TPV" && m["mode"].(float64) < 2 && m["lat"] != nil {
			t.Fatalf("position without a fix: %s", line)
		}
	}
}

// FuzzDecode holds that any input gives valid JSON, and no error unless it is a damaged archive.
func FuzzDecode(f *testing.F) {
	var s stream
	s.epoch(36000, "RMC", "VTG", "GGA", "GSA", "GSV", "GLL", "ZDA", "GST", "GBS", "GNS")
	f.Add([]byte("# comment\n" + s.String()))
	f.Add([]byte(sentence("IIALC") + sentence("GPTXT,x") + sentence("GNRMC,235960,A,nan,N,Inf,E,1e9,x,999999,,,") + "\xb5\x62"))
	f.Add([]byte(sentence("PUBX,00,090000.00,5130.0,N,00030.0,E,57.9,G3,2.5,5.0,36.0,084.4,-0.5,,0.8,1.1,0.6,9,0,0") + sentence("PQGSV,1,1,01,05,12,120,33,0,4")))
	f.Fuzz(func(t *testing.T, p []byte) {
		var out bytes.Buffer
		_, err := Decode(t.Context(), &out, bytes.NewReader(p), DecodeOptions{Sky: true})
		if archive := bytes.HasPrefix(p, []byte("\x1f\x8b")) || bytes.HasPrefix(p, []byte("PK")); err != nil && !archive {
			t.Fatal(err)
		}
		checkJSON(t, out.Bytes())
	})
}

// FuzzAssembler gives the Assembler lines with checksums made right: it never
// panics, never gives two fixes of one time with a fix, and its JSON is valid.
func FuzzAssembler(f *testing.F) {
	f.Add("GPRMC,090001,A,5130.2018,N,00007.6575,W,027.0,084.4,231126,,\nGPGGA,090001,5130.0,N,00007.0,W,1,09,0.8,11.2,M,46.7,M,,\n\nGPGLL,,,,,,V,N")
	f.Add("GPGGA,235959,5130.0,N,00007.0,W,1,09,0.8,11.2,M,46.7,M,,\nGPZDA,235960,31,12,2016,,\nGNGSA,A,3,1,2,3,4,5,6,7,8,9,,,,1.4,0.8,1.1,2\nIIALC\nGPTXT")
	f.Fuzz(func(t *testing.T, text string) {
		h := &checker{t: t}
		a := NewAssembler(h, Options{})
		for line := range strings.SplitSeq(text, "\n") {
			switch line {
			case "":
				a.Flush()
			case "reset":
				a.Reset()
				h.last = Fix{}
			default:
				a.Push([]byte(strings.TrimSuffix(sentence(line), "\r\n")))
			}
		}
		a.Flush()
		if n := a.Stats().Fixes; n > uint64(strings.Count(text, "\n")+1) {
			t.Errorf("%d fixes of %q", n, text)
		}
	})
}

// checker checks what an Assembler hands out.
type checker struct {
	t    *testing.T
	last Fix
	out  []byte
}

func (c *checker) Fix(f *Fix) {
	c.out = append(f.AppendJSON(c.out[:0]), '\n')
	checkJSON(c.t, c.out)
	again := f.Mode >= Mode2D && c.last.Mode >= Mode2D && !f.Time.IsZero() &&
		f.Time.Equal(c.last.Time) && f.LeapSecond == c.last.LeapSecond
	if again {
		c.t.Errorf("two fixes of %v", f.Time)
	}
	c.last = *f
}

func (c *checker) Sky(s *Sky) {
	c.out = append(s.AppendJSON(c.out[:0]), '\n')
	checkJSON(c.t, c.out)
	used := 0
	for _, sat := range s.Satellites {
		if sat.Used {
			used++
		}
	}
	if s.NSat != len(s.Satellites) || s.USat != used {
		c.t.Errorf("%d of %d, %d used of %d", s.NSat, len(s.Satellites), s.USat, used)
	}
}
