package playback

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"
)

// TestFiniteSourceWithoutSentence: what holds nothing for us does not end as if all were well.
func TestFiniteSourceWithoutSentence(t *testing.T) {
	sentence := receivertest.RMC("120000")
	tests := []struct{ name, sent, want string }{
		{"sentence in noise", "\x00\xff" + sentence + "noise", ""},
		{"no line end", strings.TrimSpace(sentence), ""},
		{"no checksum", strings.SplitN(sentence, "*", 2)[0] + "\r\n", ""},
		{"empty", "", "no NMEA sentence in standard input, it is empty: use what a receiver sent"},
		{"text", "first,second\n", "no NMEA sentence in standard input: use what a receiver sent, as NMEA 0183 and at the right speed"},
		{"wrong checksum", strings.Replace(sentence, "0", "1", 1), "no NMEA sentence in standard input: use what a receiver sent, as NMEA 0183 and at the right speed"},
		{"binary", "\xB5\x62\x05\x01\x02\x00\x06\x01\x0f\x38", "no NMEA sentence in standard input, it holds UBX, a binary protocol: switch the receiver's NMEA output on and record again"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log := &receivertest.Log{}
			src := given{func() (source.Conn, error) { return plainConn{strings.NewReader(test.sent)}, nil }}
			if err := receiver.New(src, receiver.Config{Source: "fake", Log: log.Logger()}).Run(t.Context(), receivertest.NewRecorder()); err != nil {
				t.Fatal(err)
			}
			want := `level=INFO msg="receiver ended" source=fake port="standard input"`
			if test.want != "" {
				want = `level=WARN msg="receiver ended" source=fake port="standard input" problem="` + test.want + `"`
			}
			if got := log.Lines()[len(log.Lines())-1]; got != want {
				t.Errorf("log:\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

// plainConn is a conn without deadlines, as a file.
type plainConn struct{ io.Reader }

func (plainConn) Close() error                    { return nil }
func (plainConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// given is a source of what a function opens.
type given struct{ open func() (source.Conn, error) }

func (given) Traits() source.Traits { return source.Traits{Finite: true} }

func (g given) Open(context.Context, source.Host) (source.Stream, error) {
	c, err := g.open()
	return newStream(c, "standard input"), err
}
