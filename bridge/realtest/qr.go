package realtest

import (
	"strings"
	"testing"

	"rsc.io/qr/coding"
)

// ScanQR reads a QR code off a terminal: black where a character in the colours black on white has ink, the margin around it white.
func ScanQR(t testing.TB, drawn string) string {
	t.Helper()
	const colors, reset = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
	var rows [][]bool
	for line := range strings.Lines(strings.ReplaceAll(drawn, "\r\n", "\n")) {
		line, isDrawn := strings.CutPrefix(strings.TrimSuffix(line, "\n"), colors)
		line, ends := strings.CutSuffix(line, reset)
		if !isDrawn || !ends {
			continue
		}
		var above, below []bool
		for _, r := range line {
			above, below = append(above, r == '█' || r == '▀'), append(below, r == '█' || r == '▄')
		}
		rows = append(rows, above, below)
	}
	const margin = 4
	side := 0
	if len(rows) > 0 {
		side = len(rows[0]) - 2*margin
	}
	if side < 21 || (side-17)%4 != 0 || len(rows) < side+2*margin {
		t.Fatalf("%d rows of %d modules are not a QR code", len(rows), side)
	}
	for y, row := range rows {
		for x, black := range row {
			inside := x >= margin && x < margin+side && y >= margin && y < margin+side
			if black && !inside {
				t.Fatalf("the margin is black at %d, %d", x, y)
			}
		}
	}
	// Without errors to correct, the bytes are where the plan of this version, level and mask has them. The level is L; the mask is in
	// three modules beside the finder pattern, which themselves are masked (ISO/IEC 18004).
	mask := coding.Mask(0)
	for i := range 3 {
		mask = mask<<1 | coding.Mask(map[bool]int{true: 1}[rows[margin+8][margin+2+i]])
	}
	plan, err := coding.NewPlan(coding.Version((side-17)/4), coding.L, mask^0b101)
	if err != nil {
		t.Fatal(err)
	}
	bits := make([]bool, 8*plan.DataBytes)
	for y, row := range plan.Pixel {
		for x, pixel := range row {
			if at := int(pixel.Offset()); pixel.Role() == coding.Data && at < len(bits) {
				bits[at] = rows[margin+y][margin+x] != (pixel&coding.Invert != 0)
			}
		}
	}
	number := func(n int) (v int) {
		for _, one := range bits[:n] {
			v = v<<1 | map[bool]int{true: 1}[one]
		}
		bits = bits[n:]
		return v
	}
	lengthBits := 8
	if side > 17+4*9 {
		lengthBits = 16
	}
	if mode := number(4); mode != 4 {
		t.Fatalf("mode %d, want 4, bytes", mode)
	}
	text := make([]byte, number(lengthBits))
	for i := range text {
		text[i] = byte(number(8))
	}
	return string(text)
}
