package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"testing"
)

// A text goes out in the fewest bits that the fixed codes allow, counted by hand: 3 and 10 around it, 8 for a byte, and for a
// match 7 for its length, 5 for its distance, and the extra bits of both.
func TestTextsAreShort(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		texts []string
		bits  int // of the last
	}{
		{"bytes", []string{"abc"}, 3 * 8},
		{"bytes over 127", []string{"é"}, 2 * 9},
		{"the text before", []string{"abcdefghij", "abcdefghij"}, 7 + 5 + 3},
		{"its neighbour is nearer", []string{"abcd____________abcd____", "abcd"}, 7 + 5 + 2},
	} {
		w := NewWriter(Server, &Params{})
		var frame []byte
		for _, text := range tc.texts {
			frame = w.AppendText(nil, []byte(text))
		}
		if got, want := len(frame)-2, (3+tc.bits+10+7)/8; got != want {
			t.Errorf("%s: %d bytes, want %d", tc.name, got, want)
		}
	}
}

// fixes are messages as a daemon sends them.
func fixes(n int) (all [][]byte) {
	for i := range n {
		all = append(all, fmt.Appendf(nil, `{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":%d,"mode":3,"status":1,`+
			`"time":"2026-11-23T09:00:%02d.000Z","lat":51.5%07d,"lon":-0.1%07d,"altMSL":%d.%d,"geoidSep":45.8,"speed":%d.%d,"track":299.%d,"hdop":0.55}`,
			i+1, i%60, 1234567+i*8765, 7654321-i*i*97, 23+i%3, i%7, 13+i%2, i*37%100, i*i%100))
	}
	return all
}

// Fixes are no longer than the standard library at its best makes them. They fit into the window, so that both refer to the same.
func TestFixesAreShort(t *testing.T) {
	t.Parallel()
	w, p := NewWriter(Client, &Params{}), newPacker(true)
	p.w, _ = flate.NewWriter(&p.out, flate.BestCompression)
	own, library := 0, 0
	for i, fix := range fixes(14) {
		frame, payload := w.AppendText(nil, fix), p.pack(string(fix))
		if i > 0 { // the first one alone is long enough for codes of its own
			own += len(frame) - 2 - 4
			library += len(payload)
		}
	}
	if own > library {
		t.Errorf("%d bytes, and %d by the standard library", own, library)
	}
}

// FuzzWriter inflates what a Writer makes of messages, of which each ends with a line, with no more than its window.
func FuzzWriter(f *testing.F) {
	f.Add(uint8(WindowBits), bytes.Join(fixes(20), []byte("\n")))
	f.Add(uint8(8), bytes.Join(fixes(4), []byte("\n")))
	f.Add(uint8(9), bytes.Repeat([]byte("aab"), 3000))
	f.Add(uint8(15), append([]byte{0x8f, 0x90, 0xff}, bytes.Repeat([]byte{0xff}, 300)...))
	f.Fuzz(func(t *testing.T, bits uint8, stream []byte) {
		bits = leastBits + bits%(maxBits-leastBits+1)
		w := NewWriter(Server, &Params{ServerBits: int(bits)})
		window := newWindow(int(bits))
		for message := range bytes.Lines(stream) {
			frame := w.AppendText(nil, message)
			header, _, err := peekFrame(bytesPeeker(frame))
			if err != nil {
				t.Fatal(err)
			}
			payload := io.MultiReader(bytes.NewReader(frame[header.size:]), bytes.NewReader(endTail))
			got, err := io.ReadAll(flate.NewReaderDict(payload, window.data))
			if err != nil || !bytes.Equal(got, message) {
				t.Fatalf("%q, %v, want %q", got, err, message)
			}
			window.add(message)
		}
	})
}
