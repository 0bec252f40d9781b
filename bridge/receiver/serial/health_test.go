package serial

import (
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"
)

// lineTest feeds a health by a clock of its own.
type lineTest struct {
	*health
	status func() receiver.Status
	t      *testing.T
	now    time.Time
	counts lineCounts // of the driver
}

func newLineTest(t *testing.T, baud int, fixed bool) *lineTest {
	host, report := receivertest.NewHost()
	l := &lineTest{health: newHealth("/dev/ttyUSB0", "GNSS receiver", baud, fixed, host), status: report.Status, t: t, now: time.Unix(0, 0)}
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
			err = l.quiet(l.now.Add(receiver.DefaultQuiet))
		}
	}
	return err
}

func TestLineUse(t *testing.T) {
	l := newLineTest(t, 9600, false)
	if s := l.status(); s.LineUse != nil || s.Baud != 9600 || s.Name != "GNSS receiver" {
		t.Errorf("at the start: %+v", s)
	}
	sentence := receivertest.RMC("120000")
	half := strings.Repeat(sentence, 480/len(sentence))
	if err := l.seconds(6, half); err != nil {
		t.Fatal(err)
	}
	s := l.status()
	if want := float64(len(half)) * 10 / 9600; s.LineUse == nil || *s.LineUse < want-0.01 || *s.LineUse > want+0.01 || receivertest.Text(s.Warning) != "" || s.Protocol != "NMEA" {
		t.Errorf("half full: %+v", s)
	}
	full := strings.Repeat(sentence, 960/len(sentence)+1)
	if err := l.seconds(10, full); err != nil {
		t.Fatal(err)
	}
	s = l.status()
	if *s.LineUse != 1 || receivertest.Text(s.Warning) != "the line is full: raise the receiver's baud rate or turn off GSV" {
		t.Errorf("full: %+v", s)
	}
	if err := l.seconds(11, half); err != nil || receivertest.Text(l.status().Warning) == "" {
		t.Errorf("soon after: %+v, %v", l.status(), err)
	}
	if err := l.seconds(6, half); err != nil || receivertest.Text(l.status().Warning) != "" {
		t.Errorf("long after: %+v, %v", l.status(), err)
	}
	// A USB receiver has no speed, and no share of it.
	l = newLineTest(t, 0, false)
	if err := l.seconds(20, full); err != nil || l.status().LineUse != nil || l.status().Baud != 0 || receivertest.Text(l.status().Warning) != "" {
		t.Errorf("USB: %+v, %v", l.status(), err)
	}
}

// TestPseudoTerminalIsNeverFull: whatever speed it is set to, it carries as much as comes.
func TestPseudoTerminalIsNeverFull(t *testing.T) {
	l := newLine(t)
	host, report := receivertest.NewHost()
	s, err := fixed(l.path, 9600).Open(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	for range 20 {
		now = now.Add(time.Second)
		if err := s.Heard([]byte(strings.Repeat(receivertest.RMC("120000"), 100)), now); err != nil {
			t.Fatal(err)
		}
	}
	if st := report.Status(); st.LineUse != nil || receivertest.Text(st.Warning) != "" || st.Baud != 9600 || st.Protocol != "NMEA" {
		t.Errorf("status: %+v", st)
	}
}

func TestLineErrors(t *testing.T) {
	sentence := receivertest.RMC("120000")
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
			if err := l.seconds(6, sentence); err != nil || receivertest.Text(l.status().Warning) != "" {
				t.Fatalf("clean: %+v, %v", l.status(), err)
			}
			l.counts = test.counts
			if err := l.seconds(6, test.send); err != nil {
				t.Fatal(err)
			}
			s := l.status()
			if !strings.HasPrefix(receivertest.Text(s.Warning), test.hint) {
				t.Errorf("hint %q, want %q", receivertest.Text(s.Warning), test.hint)
			}
			got := lineCounts{*s.FramingErrors + 7, *s.Overruns + 7, *s.ParityErrors + 7, *s.Breaks + 7}
			if got != test.counts {
				t.Errorf("counts since the port was opened: %+v and 7, want %+v", got, test.counts)
			}
		})
	}
}

// TestSentencesStop: bytes without a sentence for three seconds are another speed, however many they are; a shorter time is
// not, and binary messages beside the sentences are not.
func TestSentencesStop(t *testing.T) {
	sentence, garbled := receivertest.RMC("120000"), strings.Repeat("\x00\xe0\xfc", 2000)
	l := newLineTest(t, 9600, false)
	for range 10 {
		if err := l.seconds(1, sentence); err != nil {
			t.Fatal(err)
		}
		if err := l.seconds(3, garbled); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if err := l.seconds(1, garbled+sentence); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.seconds(9, garbled); problem.CodeOf(err) != source.SentencesStopped {
		t.Errorf("garbled bursts: %v", err)
	}
	l = newLineTest(t, 9600, false)
	var err error
	for range 100 { // without a pause
		l.now = l.now.Add(50 * time.Millisecond)
		if err = l.heard([]byte(garbled), l.now); err != nil {
			break
		}
	}
	if problem.CodeOf(err) != source.SentencesStopped || l.now.Sub(time.Unix(0, 0)) < withoutSentence {
		t.Errorf("garbled without a pause: %v after %v", err, l.now.Sub(time.Unix(0, 0)))
	}
	l = newLineTest(t, 9600, true)
	if err := l.seconds(4, garbled); err != nil || receivertest.Text(l.status().Warning) != "no NMEA sentence comes at 9600 baud: leave ?baud= out and the speed is found" {
		t.Errorf("at a speed that the configuration gives: %+v, %v", l.status(), err)
	}
	if err := l.seconds(20, sentence); err != nil || receivertest.Text(l.status().Warning) != "" || l.status().Protocol != "NMEA" {
		t.Errorf("when sentences come: %+v, %v", l.status(), err)
	}
	l = newLineTest(t, 9600, true)
	ubx := "\xB5\x62\x05\x01\x02\x00\x06\x01\x0f\x38"
	if err := l.seconds(5, ubx); err != nil || l.status().Protocol != "UBX" || !strings.Contains(receivertest.Text(l.status().Warning), "sends UBX at 9600 baud") {
		t.Errorf("binary at a speed that the configuration gives: %+v, %v", l.status(), err)
	}
}

// TestSlowReceiverIsKept: one epoch in half a minute with a byte of noise before each is not another speed.
func TestSlowReceiverIsKept(t *testing.T) {
	l := newLineTest(t, 9600, false)
	for range 10 {
		l.now = l.now.Add(15 * time.Second)
		if err := l.seconds(1, "\xff"); err != nil {
			t.Fatal(err)
		}
		l.now = l.now.Add(15 * time.Second)
		for _, part := range []string{"$GPRMC,1200", receivertest.RMC("120000")[11:]} {
			if err := l.heard([]byte(part), l.now); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.quiet(l.now); err != nil {
			t.Fatal(err)
		}
	}
}
