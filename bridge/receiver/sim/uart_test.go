package sim

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestUARTAtTheRightSpeed: every byte comes through, however the stream is cut, at any speed.
func TestUARTAtTheRightSpeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.SliceOf(rapid.Byte()).Draw(t, "sent")
		baud := rapid.SampledFrom(commonBauds).Draw(t, "baud")
		var u UART
		var got []byte
		for rest := sent; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			got = u.Receive(got, rest[:n], baud, baud, n == len(rest) || rapid.Bool().Draw(t, "idle"))
			rest = rest[n:]
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("received % x, sent % x", got, sent)
		}
		if u.FramingErrors+u.Breaks > 0 {
			t.Fatalf("%d framing errors, %d breaks", u.FramingErrors, u.Breaks)
		}
	})
}

// TestUARTAtTheWrongSpeed: frames worked out on paper.
func TestUARTAtTheWrongSpeed(t *testing.T) {
	tests := []struct {
		name            string
		sent            string
		sender, reader  int
		want            []byte
		framing, breaks int
	}{
		// 'U' is 0 10101010 1 on the line, each bit seen twice: 0 01100110 with a low bit where the stop bit should be, taken for a
		// start bit, and behind it 11001100 1.
		{"twice too fast", "U", 4800, 9600, []byte{0x66, 0x33}, 1, 0},
		// 0x00 is low for 9 bits: two whole frames of the faster receiver.
		{"a break", "\x00", 4800, 9600, []byte{0}, 0, 1},
		// A start bit alone is longer than a frame: one break for each stretch of low. '$' is 0 00100100 1: three stretches.
		{"24 times too fast", "$", 4800, 115200, []byte{0, 0, 0}, 0, 3},
		// 0 00111111 1, 0 11111111 1: of each two bits the second is seen.
		{"twice too slow", "\xfc\xff", 9600, 4800, []byte{0xff}, 0, 0},
		// 0 10101010 1: the second half of each start bit is high, so none is one.
		{"no start bit", "UUUU", 9600, 4800, nil, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var u UART
			got := u.Receive(nil, []byte(test.sent), test.sender, test.reader, true)
			if !bytes.Equal(got, test.want) || u.FramingErrors != test.framing || u.Breaks != test.breaks {
				t.Errorf("received % x, %d framing errors, %d breaks; want % x, %d, %d",
					got, u.FramingErrors, u.Breaks, test.want, test.framing, test.breaks)
			}
		})
	}
}

// TestUBX: the messages have the form and the sum of UBX, and nothing of NMEA.
func TestUBX(t *testing.T) {
	g := generator(t, Config{Rate: 5, UBX: true})
	for range 10 {
		p := g.Epoch()
		var a, b byte
		for _, c := range p[2 : len(p)-2] {
			a += c
			b += a
		}
		if len(p) != 100 || !bytes.Equal(p[:6], []byte{0xB5, 0x62, 1, 7, 92, 0}) || p[98] != a || p[99] != b {
			t.Fatalf("epoch % x", p)
		}
		if lat := int32(binary.LittleEndian.Uint32(p[34:])); lat != int32(math.Round(g.State.Lat*1e7)) {
			t.Errorf("latitude %d, want that of %v", lat, g.State.Lat)
		}
	}
}

// TestGarbledLine: a reader gets the sentences when it has set the speed of the line, and none at another speed.
func TestGarbledLine(t *testing.T) {
	t.Parallel()
	r := started(t, Config{Rate: 20, Baud: 115200, Garble: true}, "")
	f := reader(t, r.Path())
	set := func(speed uint32) {
		err := onDescriptor(f, func(fd int) error {
			mode, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
			if err != nil {
				return err
			}
			mode.Cflag = mode.Cflag&^unix.CBAUD | unix.BOTHER
			mode.Ispeed, mode.Ospeed = speed, speed
			return unix.IoctlSetTermios(fd, unix.TCSETSF2, mode)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 1200) // two epochs
	for _, c := range []struct {
		reader int
		clear  bool
	}{{38400, false}, {115200, true}, {57600, false}, {115200, true}} {
		set(uint32(c.reader))
		for i := range 2 { // the first may be of before
			if _, err := io.ReadFull(f, buf); err != nil {
				t.Fatal(err)
			}
			if clear := bytes.Count(buf, []byte("RMC,")) > 0; i == 1 && clear != c.clear {
				t.Errorf("115200 baud read at %d: %q", c.reader, buf)
			}
		}
	}
}
