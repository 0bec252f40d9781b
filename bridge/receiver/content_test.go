package receiver

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFiniteSourceWithoutSentence: what holds nothing for us does not end as if all were well.
func TestFiniteSourceWithoutSentence(t *testing.T) {
	sentence := rmc("120000")
	tests := []struct{ name, sent, want string }{
		{"sentence in noise", "\x00\xff" + sentence + "noise", ""},
		{"no line end", strings.TrimSpace(sentence), ""},
		{"no checksum", strings.SplitN(sentence, "*", 2)[0] + "\r\n", ""},
		{"empty", "", "no NMEA sentence in /dev/fake: it is empty, give it what a receiver sent"},
		{"text", "first,second\n", "no NMEA sentence in /dev/fake: give it what a receiver sent, as NMEA 0183 and at the right speed"},
		{"wrong checksum", strings.Replace(sentence, "0", "1", 1), "no NMEA sentence in /dev/fake: give it what a receiver sent, as NMEA 0183 and at the right speed"},
		{"binary", "\xB5\x62\x05\x01\x02\x00\x06\x01\x0f\x38", "no NMEA sentence in /dev/fake: it holds UBX, a binary protocol: switch the receiver's NMEA output on and record again"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log := &logged{}
			src := &fakeSource{ending: true, try: func(int) (conn, error) {
				return plainConn{strings.NewReader(test.sent)}, nil
			}}
			if err := newReceiver(Config{Source: "fake", Log: log.logger()}, src).Run(t.Context(), newRecorder()); err != nil {
				t.Fatal(err)
			}
			want := `level=INFO msg="receiver ended" source=fake port=/dev/fake`
			if test.want != "" {
				want = `level=WARN msg="receiver ended" source=fake port=/dev/fake problem="` + test.want + `"`
			}
			if got := log.lines[len(log.lines)-1]; got != want {
				t.Errorf("log:\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

// plainConn is a conn without deadlines, as a file.
type plainConn struct{ io.Reader }

func (plainConn) Close() error                    { return nil }
func (plainConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }
