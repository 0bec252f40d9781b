package nmea

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"gpsbridge/bridge/problem"
)

// inUTF16 writes a text in UTF-16.
func inUTF16(text string, order binary.ByteOrder) string {
	var b bytes.Buffer
	for _, unit := range utf16.Encode([]rune(text)) {
		_ = binary.Write(&b, order, unit)
	}
	return b.String()
}

// zipped compresses a text with gzip.
func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestReader holds that a log is read in every way in which people save one, in pieces of any size.
func TestReader(t *testing.T) {
	const text = "# Zürich\r\n" + rmc + "\r\n" + gll + "\r\n"
	const mark = "\ufeff"
	ascii := strings.ReplaceAll(text, "ü", "?")
	le, be := binary.LittleEndian, binary.BigEndian
	for name, test := range map[string]struct{ in, want string }{
		"as it is":                            {text, text},
		"empty":                               {"", ""},
		"shorter than a mark":                 {"$GP", "$GP"},
		"UTF-16, little endian":               {inUTF16(text, le), ascii},
		"UTF-16, big endian":                  {inUTF16(text, be), ascii},
		"UTF-16, little endian with its mark": {inUTF16(mark+text, le), ascii},
		"UTF-16, big endian with its mark":    {inUTF16(mark+text, be), ascii},
		"UTF-16, cut off":                     {inUTF16(text, le) + "$", ascii},
		"UTF-16, beyond the first plane":      {inUTF16("$G🛰$", le), "$G??$"},
		"UTF-16, ASCII to its end":            {inUTF16("~~\x7f\u0080", le), "~~\x7f?"},
		"gzip":                                {zipped(t, text), text},
		"gzip of UTF-16":                      {zipped(t, inUTF16(text, be)), ascii},
		"UTF-8 with its mark":                 {mark + text, text},
		"binary data":                         {"\xb5\x62\x01\x07\x5c\x00", "\xb5\x62\x01\x07\x5c\x00"},
		"binary data with zeros":              {"\xb5\x00\x62\x00", "\xb5\x00\x62\x00"},
	} {
		for _, pieces := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
		} {
			got, err := io.ReadAll(NewReader(pieces(strings.NewReader(test.in))))
			if err != nil || string(got) != test.want {
				t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
			}
		}
		var small []byte
		r, one := NewReader(strings.NewReader(test.in)), make([]byte, 1)
		for {
			n, err := r.Read(one)
			small = append(small, one[:n]...)
			if err != nil {
				break
			}
		}
		if string(small) != test.want {
			t.Errorf("%s, byte for byte: %q, want %q", name, small, test.want)
		}
	}
}

// TestReaderOfUTF16ReadsOn holds that a read returns all characters that have come, and not one.
func TestReaderOfUTF16ReadsOn(t *testing.T) {
	r := NewReader(strings.NewReader(inUTF16("$GPGGA", binary.LittleEndian)))
	if n, err := r.Read(make([]byte, 100)); n < 2 || err != nil {
		t.Errorf("%d characters at once, %v", n, err)
	}
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		in   io.Reader
		want error
	}{
		"at once":         {iotest.ErrReader(broken), broken},
		"later":           {io.MultiReader(strings.NewReader(rmc), iotest.ErrReader(broken)), broken},
		"in UTF-16":       {io.MultiReader(strings.NewReader("$\x00G\x00P"), iotest.ErrReader(broken)), broken},
		"gzip header":     {strings.NewReader("\x1f\x8bxxxxxxxxxx"), gzip.ErrHeader},
		"gzip, cut off":   {strings.NewReader(zipped(t, rmc)[:40]), io.ErrUnexpectedEOF},
		"gzip, too short": {strings.NewReader("\x1f\x8b"), io.ErrUnexpectedEOF},
	} {
		if _, err := io.ReadAll(NewReader(test.in)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	_, err := io.ReadAll(NewReader(strings.NewReader("PK\x03\x04 and the rest")))
	if problem.CodeOf(err) != IsZip {
		t.Errorf("zip: %v", err)
	}
}
