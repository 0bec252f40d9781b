package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"gpsbridge/bridge/problem"
)

// The examples of RFC 7692, 7.2.3: payloads of compressed messages, one after the other on a connection.
func TestReaderInflatesTheExamples(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ payloads, want []string }{
		"one block":      {[]string{"f248cdc9c90700"}, []string{"Hello"}},
		"window":         {[]string{"f248cdc9c90700", "f200110000"}, []string{"Hello", "Hello"}},
		"no compression": {[]string{"000500faff48656c6c6f00"}, []string{"Hello"}},
		"last block":     {[]string{"f348cdc9c9070000"}, []string{"Hello"}},
		"two blocks":     {[]string{"f24805000000ffffcac9c90700"}, []string{"Hello"}},
		"empty":          {[]string{"00", "f248cdc9c90700"}, []string{"", "Hello"}},
		"after the last": {[]string{"f348cdc9c90700f248cdc9c90700"}, []string{"HelloHello"}},
	} {
		var wire []byte
		for _, payload := range tc.payloads {
			data, err := hex.DecodeString(payload)
			if err != nil {
				t.Fatal(err)
			}
			wire = append(appendHeader(wire, finBit|compressedBit|text, len(data), nil), data...)
		}
		got, err := messages(NewReader(bytes.NewReader(wire), Client, Params{}), Client)
		if err != io.EOF || strings.Join(got, ",") != strings.Join(tc.want, ",") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
}

// messages reads the messages of a stream of frames, with the contents of control frames in brackets, in their order.
func messages(src io.Reader, role Role) (got []string, err error) {
	data, err := io.ReadAll(src)
	if err == nil {
		err = io.EOF
	}
	whole := ""
	in := bytes.NewReader(data)
	for in.Len() > 0 {
		buf := bufioOf(in)
		f, _, perr := peekFrame(buf)
		if perr != nil || f.reserved() != 0 || f.masked != (role == Server) || uint64(in.Len()) < uint64(f.size)+f.length {
			return append(got, "?"), err
		}
		in.Seek(int64(f.size), io.SeekCurrent)
		payload := make([]byte, f.length)
		io.ReadFull(in, payload)
		mask(payload, f.key)
		switch {
		case f.opcode()&controlBit != 0:
			got = append(got, "["+string(payload)+"]")
		default:
			if (f.opcode() == continuation) != (whole != "") {
				return append(got, "!"), err
			}
			if whole += "|" + string(payload); f.fin() {
				got = append(got, strings.ReplaceAll(whole, "|", ""))
				whole = ""
			}
		}
	}
	return got, err
}

// bytesPeeker shows what is left of a reader.
type bytesPeeker []byte

func (p bytesPeeker) Peek(n int) ([]byte, error) {
	if n > len(p) {
		return p, io.EOF
	}
	return p[:n], nil
}

func bufioOf(in *bytes.Reader) bytesPeeker {
	rest := make([]byte, in.Len())
	in.ReadAt(rest, in.Size()-int64(in.Len()))
	return rest
}

// syncTail is the end of what was flushed, which is left out on the wire (RFC 7692, 7.2.1).
var syncTail = endTail[:4]

// packer compresses as RFC 7692, 7.2.1 describes it, with the standard library.
type packer struct {
	out      bytes.Buffer
	w        *flate.Writer
	takeover bool
}

func newPacker(takeover bool) *packer {
	p := &packer{takeover: takeover}
	p.w, _ = flate.NewWriter(&p.out, flate.DefaultCompression)
	return p
}

func (p *packer) pack(message string) []byte {
	p.out.Reset()
	if !p.takeover {
		p.w.Reset(&p.out)
	}
	io.WriteString(p.w, message)
	p.w.Flush()
	return bytes.Clone(bytes.TrimSuffix(p.out.Bytes(), syncTail))
}

// aText is like what is sent: similar to others, now and then longer than a chunk.
func aText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		part := rapid.SampledFrom([]string{`{"lat":51.5`, `,"run":"5f1c09ae77b2d041"`, "x", `"time":"2026-11-23T09:00:01.200Z"`, "0123456789", "}", "é"})
		s := strings.Join(rapid.SliceOfN(part, 0, 20).Draw(t, "parts"), "")
		return strings.Repeat(s, rapid.SampledFrom([]int{1, 1, 1, 1, 2, 60}).Draw(t, "times"))
	})
}

// split cuts a payload into frames of a message, and puts control frames between them.
func split(t *rapid.T, wire []byte, first byte, payload []byte, key []byte) (out []byte, controls []string) {
	for begin := true; ; begin = false {
		n := rapid.SampledFrom([]int{len(payload), len(payload), len(payload) / 2, 1, 0}).Draw(t, "length")
		n = min(n, len(payload))
		if !begin {
			first &= finBit
		}
		if n == len(payload) {
			first |= finBit
		}
		at := len(appendHeader(wire, first, n, key))
		wire = append(appendHeader(wire, first, n, key), payload[:n]...)
		if key != nil {
			mask(wire[at:], [4]byte(key))
		}
		if payload = payload[n:]; first&finBit != 0 {
			return wire, controls
		}
		if rapid.Bool().Draw(t, "ping") {
			at := len(wire) + 2 + len(key)
			wire = append(appendHeader(wire, finBit|9, 4, key), "ping"...)
			if key != nil {
				mask(wire[at:], [4]byte(key))
			}
			controls = append(controls, "[ping]")
		}
	}
}

// Whatever the frames, the sizes of the reads on both sides and the parameters: the messages are those that were sent, and control
// frames come between the same messages.
func TestReaderInflatesWhatAnotherCompressed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		role := Role(rapid.Bool().Draw(t, "server"))
		noTakeover := rapid.Bool().Draw(t, "no takeover")
		pack := newPacker(!noTakeover)
		var key []byte
		if role == Server {
			key = rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "key")
		}
		var wire []byte
		var want []string
		for _, message := range rapid.SliceOfN(aText(), 1, 8).Draw(t, "messages") {
			first, payload := byte(text|compressedBit), []byte(nil)
			if rapid.Bool().Draw(t, "compressed") {
				payload = pack.pack(message)
			} else {
				first, payload = text, []byte(message)
			}
			var controls []string
			wire, controls = split(t, wire, first, payload, key)
			want = append(append(want, controls...), message)
		}
		in, out := rapid.IntRange(1, 50).Draw(t, "in"), rapid.IntRange(1, 50).Draw(t, "out")
		r := NewReader(&stepReader{bytes.NewReader(wire), in}, role, Params{ServerNoTakeover: noTakeover, ClientNoTakeover: noTakeover})
		got, err := messages(&stepReader{r, out}, role)
		if err != io.EOF || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	})
}

// stepReader reads a number of bytes at a time.
type stepReader struct {
	io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.step)]) }

// What a Writer makes, another implementation inflates to what was written, in the same order.
func TestWriterCompressesForAnother(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		role := Role(rapid.Bool().Draw(t, "server"))
		bits := rapid.IntRange(0, 15).Filter(func(n int) bool { return n == 0 || n >= leastBits }).Draw(t, "bits")
		noTakeover := rapid.Bool().Draw(t, "no takeover")
		p := &Params{ServerBits: bits, ClientBits: bits, ServerNoTakeover: noTakeover, ClientNoTakeover: noTakeover}
		if rapid.IntRange(0, 9).Draw(t, "plain") == 0 {
			p = nil
		}
		w := NewWriter(role, p)
		want := rapid.SliceOfN(aText(), 1, 8).Draw(t, "messages")
		var wire []byte
		for _, message := range want {
			wire = w.AppendText(wire, []byte(message))
		}
		var stream bytes.Buffer
		inflater := flate.NewReader(&stream)
		for i := 0; len(wire) > 0; i++ {
			f, _, err := peekFrame(bytesPeeker(wire))
			if err != nil || !f.fin() || f.opcode() != text || f.masked != (role == Client) {
				t.Fatalf("frame %d: %+v, %v", i, f, err)
			}
			payload := wire[f.size:][:f.length]
			wire = wire[f.size+int(f.length):]
			mask(payload, f.key)
			got := string(payload)
			if compressed := f.reserved() == compressedBit; compressed {
				if p == nil {
					t.Fatal("compressed without an agreement")
				}
				stream.Write(payload)
				stream.Write(syncTail)
				if noTakeover {
					inflater.(flate.Resetter).Reset(&stream, nil)
				}
				data := make([]byte, len(want[i]))
				if _, err := io.ReadFull(inflater, data); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				got = string(data)
			}
			if got != want[i] {
				t.Fatalf("message %d is %q, want %q", i, got, want[i])
			}
		}
	})
}

// A message of zeros costs no more than the bound, in one message or in many.
func TestReaderBoundsBombs(t *testing.T) {
	t.Parallel()
	pack := newPacker(false)
	zeros := strings.Repeat("\x00", 4<<20)
	one := pack.pack(zeros)
	part := pack.pack(zeros[:1<<20])
	last, _ := hex.DecodeString("0300") // an empty block that is the last one
	for name, wire := range map[string][]byte{
		"one message":        append(appendHeader(nil, finBit|compressedBit|text, len(one), nil), one...),
		"many messages":      bytes.Repeat(append(appendHeader(nil, finBit|compressedBit|text, len(part), nil), part...), 16),
		"one that restarts":  append(appendHeader(nil, finBit|compressedBit|text, 2<<16, nil), bytes.Repeat(last, 1<<16)...),
		"many control frame": append(appendHeader(nil, compressedBit|text, 0, nil), bytes.Repeat([]byte{finBit | 9, 0}, 1<<16)...),
	} {
		begin := time.Now()
		n, err := io.Copy(io.Discard, NewReader(bytes.NewReader(wire), Client, Params{}))
		if code := problem.CodeOf(err); code != TooMuch && code != BadData {
			t.Errorf("%s: %v", name, err)
		}
		if most := bound(wire, begin); n > most {
			t.Errorf("%s: %d bytes came, want %d at most", name, n, most)
		}
	}
}

// bound is how much may come of what arrived since a time: frames without compression, and what is inflated.
func bound(wire []byte, since time.Time) int64 {
	return int64(allowance + (ratio+2*maxHeader)*(len(wire)+1) + perSecond*int(time.Since(since).Seconds()+1))
}

// What repeats itself is not a bomb: fixes of a parked vehicle as fast as they come, and a long text twice a second.
func TestReaderTakesRepetition(t *testing.T) {
	t.Parallel()
	var wire []byte
	w, sent := NewWriter(Server, &Params{}), 0
	for seq := range 8000 {
		parked := fmt.Appendf(nil, `{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":%d,"mode":3,"status":1,"time":"2026-11-23T09:%02d:%02d.000Z","lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":0,"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.2,"epv":25.3,"uSat":9,"nSat":14}`,
			seq, seq/60%60, seq%60)
		sent += len(parked)
		wire = w.AppendText(wire, parked)
	}
	if n, err := io.Copy(io.Discard, NewReader(bytes.NewReader(wire), Client, Params{})); err != nil || n < int64(sent) {
		t.Errorf("parked, compressed to a %dth: %d bytes of %d, %v", sent/len(wire), n, sent, err)
	}
	synctest.Test(t, func(t *testing.T) {
		long := []byte(strings.Repeat(`{"time":"2026-11-23T09:00:01.200Z","lat":51.5}`, 2000))
		alone := Params{ServerNoTakeover: true}
		r := NewReader(&paced{NewWriter(Server, &alone).AppendText(nil, long), 40}, Client, alone)
		if n, err := io.Copy(io.Discard, r); err != nil || n < int64(40*len(long)) {
			t.Errorf("long texts: %d bytes of %d, %v", n, 40*len(long), err)
		}
	})
}

// paced reads a frame a number of times, two a second.
type paced struct {
	frame []byte
	left  int
}

func (p *paced) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	p.left--
	<-time.After(time.Second / 2)
	return copy(b, p.frame), nil
}

// What breaks the protocol comes out such that gorilla reports it, and what is cut off ends as it does without compression.
func TestReaderLeavesErrorsToGorilla(t *testing.T) {
	t.Parallel()
	hello, _ := hex.DecodeString("f248cdc9c90700")
	whole := append([]byte{0xc1, 7}, hello...)
	begin := append([]byte{0x41, 3}, hello[:3]...)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, wire := range map[string][]byte{
		"text in the middle":           join(begin, []byte("\x81\x01x")),
		"compressed in the middle":     join(begin, whole),
		"bit on a continuation":        join(begin, []byte{0xc0, 4}, hello[3:]),
		"other bit in the middle":      join(begin, []byte{0xa0, 4}, hello[3:]),
		"mask in the middle":           join(begin, []byte{0x80, 0x84, 0, 0, 0, 0}, hello[3:]),
		"long ping in the middle":      join(begin, []byte{0x89, 126, 0, 200}, make([]byte, 200)),
		"cut ping in the middle":       join(begin, []byte{0x09, 1, 'x'}, []byte{0x80, 4}, hello[3:]),
		"opcode 3 in the middle":       join(begin, []byte{0x83, 0}),
		"continuation of nothing":      join([]byte{0xc0, 7}, hello),
		"masked":                       join([]byte{0xc1, 0x87, 0, 0, 0, 0}, hello),
		"second bit":                   join([]byte{0xe1, 7}, hello),
		"third bit":                    []byte{0x91, 0},
		"compressed ping":              []byte{0xc9, 0},
		"compressed amid a plain":      join([]byte{0x01, 1, 'x'}, whole),
		"plain amid a plain":           []byte("\x01\x01x\x81\x01x"),
		"longest":                      {0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"text after what was inflated": join([]byte{0x41, 7}, hello, []byte("\x81\x01x")),
	} {
		conn := gorillaOn(t, NewReader(bytes.NewReader(wire), Client, Params{}))
		_, message, err := conn.ReadMessage()
		if err == nil || errors.Is(err, io.EOF) || websocket.IsUnexpectedCloseError(err) || problem.CodeOf(err) != "" {
			t.Errorf("%s: %q, %v", name, message, err)
		}
	}
	for name, wire := range map[string][]byte{"garbage": {0xc1, 2, 0xff, 0xff}, "cut short": {0xc1, 3, 0xf2, 0x48, 0xcd}} {
		if _, err := io.Copy(io.Discard, NewReader(bytes.NewReader(wire), Client, Params{})); problem.CodeOf(err) != BadData {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range whole {
		conn := gorillaOn(t, NewReader(bytes.NewReader(whole[:n]), Client, Params{}))
		if _, _, err := conn.ReadMessage(); !websocket.IsUnexpectedCloseError(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	failure := errors.New("failure")
	r := NewReader(io.MultiReader(bytes.NewReader(append(begin, "\x89\x01p"...)), iotest.ErrReader(failure)), Client, Params{})
	if got, err := io.ReadAll(r); !errors.Is(err, failure) || !bytes.HasSuffix(got, []byte("\x89\x01p")) {
		t.Errorf("%q, %v, want the ping before the failure", got, err)
	}
}

// FuzzReader: whatever comes, a Reader returns no more than the bound, ends, and changes nothing that is not compressed.
func FuzzReader(f *testing.F) {
	hello, _ := hex.DecodeString("f248cdc9c90700")
	for _, seed := range [][]byte{
		append([]byte{0xc1, 7}, hello...), {0x41, 1, 0xf2, 0x89, 1, 'p', 0x80, 6, 0x48, 0xcd, 0xc9, 0xc9, 7, 0}, {0xc1, 2, 3, 0},
		[]byte("\x81\x01x\x01\x01x\x89\x00\x80\x01y\x88\x02\x03\xe8"), {0x81, 0x81, 1, 2, 3, 4, 5}, {0xc1, 126, 0, 7}, {0x81, 127, 0xff},
	} {
		f.Add(seed, false, byte(3))
		f.Add(seed, true, byte(200))
	}
	f.Fuzz(func(t *testing.T, wire []byte, server bool, step byte) {
		begin := time.Now()
		r := NewReader(&stepReader{bytes.NewReader(wire), int(step) + 1}, Role(server), Params{ServerBits: 9})
		got, err := io.ReadAll(r)
		if int64(len(got)) > bound(wire, begin) {
			t.Fatalf("%d bytes of %d", len(got), len(wire))
		}
		compressed := false
		for _, b := range wire {
			compressed = compressed || b&compressedBit != 0
		}
		if !compressed && (err != nil || !bytes.Equal(got, wire)) {
			t.Fatalf("%q became %q, %v", wire, got, err)
		}
	})
}

// BenchmarkWriter measures on messages like those of a drive, one after the other: bytes of the frame, and time.
func BenchmarkWriter(b *testing.B) {
	drive := drive(1000)
	for name, p := range map[string]*Params{"takeover": {}, "no takeover": {ClientNoTakeover: true}, "plain": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w, sent, n := NewWriter(Client, p), 0, 0
			var frame []byte
			for b.Loop() {
				frame = w.AppendText(frame[:0], drive[n%len(drive)])
				sent += len(frame)
				n++
			}
			b.ReportMetric(float64(sent)/float64(n), "B/message")
		})
	}
}
