package protocol

import (
	"testing"
)

// TestProtocols: messages of binary protocols, whole, cut, and broken.
func TestProtocols(t *testing.T) {
	const (
		ack      = "\xB5\x62\x05\x01\x02\x00\x06\x01\x0f\x38"                // UBX-ACK-ACK of CFG-MSG
		clockMsg = "\xA0\xA2\x00\x02\x07\x01\x00\x08\xB0\xB3"                // SiRF, two bytes of payload
		between  = "$GPRMC,no sum\r\n\xB5\xB5\x62 \xA0\xA2\xff\xff\xA0 text" // beginnings of none
	)
	tests := []struct {
		name, stream string
		frames       uint64
		protocol     string
	}{
		{"UBX", ack + ack, 2, "UBX"},
		{"SiRF", clockMsg, 1, "SiRF"},
		{"RTCM3", "\xD3\x00\x02\x43\x50\x06\xa2\x7e", 1, "RTCM3"},
		{"SBF", "$@\x70\xd4\xbb\x0f\x10\x00\x00\x01\x02\x03\x04\x05\x06\x07", 1, "SBF"},
		{"broken SBF", "$@\x70\xd5\xbb\x0f\x10\x00\x00\x01\x02\x03\x04\x05\x06\x07", 0, ""},
		{"Garmin", "\x10\x33\x02\x01\x02\xc8\x10\x03", 1, "Garmin"},
		{"TSIP", "\x10\x46\x00\x00\x10\x03\x10\x4B\x01\x02\x03\x10\x03", 2, "TSIP"},
		{"UBX in noise", between + ack + "\x00", 1, "UBX"},
		{"broken UBX", ack[:8] + "\x0f\x39" + ack[:9], 0, ""},
		{"broken SiRF", clockMsg[:7] + "\x09\xB0\xB3", 0, ""},
	}
	for _, test := range tests {
		for size := 1; size <= len(test.stream); size++ {
			s := New()
			for rest := test.stream; rest != ""; rest = rest[min(size, len(rest)):] {
				s.Scan([]byte(rest[:min(size, len(rest))]))
			}
			if s.Frames != test.frames || s.Binary != test.protocol || s.IsNMEA() {
				t.Errorf("%s in pieces of %d: %d frames of %q", test.name, size, s.Frames, s.Binary)
			}
		}
	}
	for text, want := range map[string]bool{
		"$GPRMC,1*00": true, "$PMTK001,1*00": true, "!AIVDM,1*00": true, "$PUBX,00*00": true,
		"$,*2C": false, "$a,b*4f": false, "$GPRMC*4B": false, "$GP\xffMC,*00": false,
	} {
		if _, ok := addressOf([]byte(text)); ok != want {
			t.Errorf("%q is a sentence: %v", text, !want)
		}
	}
}
