package receiver

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// lineTest feeds a health by a clock of its own.
type lineTest struct {
	*health
	t      *testing.T
	now    time.Time
	counts lineCounts // of the driver
}

func newLineTest(t *testing.T, baud int, fixed bool) *lineTest {
	status := &tracker{}
	status.init("/dev/ttyUSB0", slog.New(slog.DiscardHandler))
	l := &lineTest{health: newHealth("/dev/ttyUSB0", "GNSS receiver", baud, fixed, status), t: t, now: time.Unix(0, 0)}
	l.counts = lineCounts{7, 7, 7, 7} // from before the port was opened
	l.count = func() (lineCounts, bool) { return l.counts, true }
	l.begin(l.now)
	return l
}

// seconds sends so much text every second.
func (l *lineTest) seconds(n int, text string) (err error) {
	for range n {
		l.now = l.now.Add(time.Second)
		if err == nil {
			err = l.heard([]byte(text), l.now)
		}
		if err == nil {
			err = l.quiet()
		}
	}
	return err
}

func (l *lineTest) status() Status { return l.health.status.snapshot(l.now) }

func TestLineUse(t *testing.T) {
	l := newLineTest(t, 9600, false)
	if s := l.status(); s.LineUse != nil || s.Baud != 9600 || s.Name != "GNSS receiver" {
		t.Errorf("at the start: %+v", s)
	}
	sentence := rmc("120000")
	half := strings.Repeat(sentence, 480/len(sentence))
	if err := l.seconds(6, half); err != nil {
		t.Fatal(err)
	}
	s := l.status()
	if want := float64(len(half)) * 10 / 9600; s.LineUse == nil || *s.LineUse < want-0.01 || *s.LineUse > want+0.01 || text(s.Warning) != "" || s.Protocol != "NMEA" {
		t.Errorf("half full: %+v", s)
	}
	full := strings.Repeat(sentence, 960/len(sentence)+1)
	if err := l.seconds(10, full); err != nil {
		t.Fatal(err)
	}
	s = l.status()
	if *s.LineUse != 1 || text(s.Warning) != "the line is full: raise the receiver's baud rate or turn off GSV" {
		t.Errorf("full: %+v", s)
	}
	if err := l.seconds(11, half); err != nil || text(l.status().Warning) == "" {
		t.Errorf("soon after: %+v, %v", l.status(), err)
	}
	if err := l.seconds(6, half); err != nil || text(l.status().Warning) != "" {
		t.Errorf("long after: %+v, %v", l.status(), err)
	}
	// A USB receiver has no speed, and no share of it.
	l = newLineTest(t, 0, false)
	if err := l.seconds(20, full); err != nil || l.status().LineUse != nil || l.status().Baud != 0 || text(l.status().Warning) != "" {
		t.Errorf("USB: %+v, %v", l.status(), err)
	}
}

// TestPseudoTerminalIsNeverFull: whatever speed it is set to, it carries as much as comes.
func TestPseudoTerminalIsNeverFull(t *testing.T) {
	l := newLine(t)
	src, err := parseSource(l.path + "?baud=9600")
	if err != nil {
		t.Fatal(err)
	}
	status := &tracker{}
	status.init(l.path, slog.New(slog.DiscardHandler))
	src.(settable).use(setting{status: status})
	s, err := src.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Unix(0, 0)
	s.line.begin(now)
	for range 20 {
		now = now.Add(time.Second)
		if err := s.line.heard([]byte(strings.Repeat(rmc("120000"), 100)), now); err != nil {
			t.Fatal(err)
		}
	}
	if st := status.snapshot(now); st.LineUse != nil || text(st.Warning) != "" || st.Baud != 9600 || st.Protocol != "NMEA" {
		t.Errorf("status: %+v", st)
	}
}

func TestLineErrors(t *testing.T) {
	sentence := rmc("120000")
	tests := []struct {
		name   string
		counts lineCounts
		send   string
		hint   string
	}{
		{"overruns", lineCounts{framing: 9, overrun: 8, parity: 7, breaks: 7}, sentence, "bytes are lost because the machine"},
		{"framing", lineCounts{framing: 8, overrun: 7, parity: 7, breaks: 7}, sentence, "bytes arrive damaged: check the cable"},
		{"parity", lineCounts{framing: 7, overrun: 7, parity: 8, breaks: 7}, sentence, "bytes arrive damaged: check the cable"},
		{"breaks", lineCounts{framing: 7, overrun: 7, parity: 7, breaks: 8}, sentence, "the line breaks off: "},
		{"sentences", lineCounts{7, 7, 7, 7}, sentence + strings.Replace(sentence, "0", "1", 1), "sentences arrive damaged or cut off: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLineTest(t, 9600, false)
			if err := l.seconds(6, sentence); err != nil || text(l.status().Warning) != "" {
				t.Fatalf("clean: %+v, %v", l.status(), err)
			}
			l.counts = test.counts
			if err := l.seconds(6, test.send); err != nil {
				t.Fatal(err)
			}
			s := l.status()
			if !strings.HasPrefix(text(s.Warning), test.hint) {
				t.Errorf("hint %q, want %q", text(s.Warning), test.hint)
			}
			got := lineCounts{*s.FramingErrors + 7, *s.Overruns + 7, *s.ParityErrors + 7, *s.Breaks + 7}
			if got != test.counts {
				t.Errorf("counts since the port was opened: %+v and 7, want %+v", got, test.counts)
			}
		})
	}
}

// TestLineSpeaksNoMore: three bursts without a sentence, or a stretch without a pause, are another speed; one is not, and text
// beside the sentences is not.
func TestLineSpeaksNoMore(t *testing.T) {
	sentence, garbled := rmc("120000"), strings.Repeat("\x00\xe0\xfc", 20)
	l := newLineTest(t, 9600, false)
	for range 10 {
		if err := l.seconds(1, sentence); err != nil {
			t.Fatal(err)
		}
		if err := l.seconds(2, garbled); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.seconds(1, garbled); problem.CodeOf(err) != source.SentencesStopped {
		t.Errorf("three garbled bursts: %v", err)
	}
	l = newLineTest(t, 9600, false)
	if err := l.heard([]byte(sentence), l.now); err != nil {
		t.Fatal(err)
	}
	if err := l.heard([]byte(strings.Repeat(garbled, 20)), l.now); problem.CodeOf(err) != source.SentencesStopped {
		t.Errorf("garbled without a pause: %v", err)
	}
	l = newLineTest(t, 9600, true)
	if err := l.seconds(3, garbled); err != nil || text(l.status().Warning) != "no NMEA sentence comes at 9600 baud: leave ?baud= out and the speed is found" {
		t.Errorf("at a speed that the user wants: %+v, %v", l.status(), err)
	}
	if err := l.seconds(20, sentence); err != nil || text(l.status().Warning) != "" || l.status().Protocol != "NMEA" {
		t.Errorf("when it speaks: %+v, %v", l.status(), err)
	}
	l = newLineTest(t, 9600, true)
	ubx := "\xB5\x62\x05\x01\x02\x00\x06\x01\x0f\x38"
	if err := l.seconds(5, ubx); err != nil || l.status().Protocol != "UBX" || !strings.Contains(text(l.status().Warning), "sends UBX at 9600 baud") {
		t.Errorf("binary at a speed that the user wants: %+v, %v", l.status(), err)
	}
}

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
		{"UBX in noise", between + ack + "\x00", 1, "UBX"},
		{"broken UBX", ack[:8] + "\x0f\x39" + ack[:9], 0, ""},
		{"broken SiRF", clockMsg[:7] + "\x09\xB0\xB3", 0, ""},
	}
	for _, test := range tests {
		for size := 1; size <= len(test.stream); size++ {
			s := newSpeech()
			for rest := test.stream; rest != ""; rest = rest[min(size, len(rest)):] {
				s.hear([]byte(rest[:min(size, len(rest))]))
			}
			if s.frames != test.frames || s.binary != test.protocol || s.nmea() {
				t.Errorf("%s in pieces of %d: %d frames of %q", test.name, size, s.frames, s.binary)
			}
		}
	}
	for text, want := range map[string]bool{
		"$GPRMC,1*00": true, "$PMTK001,1*00": true, "!AIVDM,1*00": true, "$PUBX,00*00": true,
		"$,*2C": false, "$a,b*4f": false, "$GPRMC*4B": false, "$GP\xffMC,*00": false,
	} {
		if addressed([]byte(text)) != want {
			t.Errorf("%q is a sentence: %v", text, !want)
		}
	}
}
