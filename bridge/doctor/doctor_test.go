package doctor

import (
	"flag"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "8") // the tests wait for servers, not for the processor
	goleak.VerifyTestMain(m)
}

// lineOf judges what is known of a line.
func lineOf(o observed) []Link {
	r := receiverLinks{chain: &chain{}, o: o}
	r.line("", nil)
	return r.links
}

// TestLine: one problem is one broken link, with a code and a fix, and the links after it are skipped.
func TestLine(t *testing.T) {
	good := func(change func(*observed)) observed {
		o := observed{}
		o.Source, o.Port, o.State, o.Baud, o.Bytes, o.LastByteAge = "/dev/ttyUSB0", "/dev/ttyUSB0", receiver.Reading, 9600, 1000, new(0.1)
		o.Sentences, o.Mode, o.FixAge, o.NSat, o.USat = 100, nmea.Mode3D, new(0.5), new(14.0), new(9.0)
		change(&o)
		return o
	}
	for _, test := range []struct {
		name   string
		state  State // of the link
		link   string
		change func(*observed)
		code   problem.Code
		wants  string
	}{
		{"well", OK, "fix", func(*observed) {}, "", "3D, 0.5 s old"},
		{"no byte yet", Broken, "bytes", func(o *observed) { o.LastByteAge = nil }, source.Silent, "check the receiver's power and cable"},
		{"wrong speed", Broken, "baud", func(o *observed) {
			o.Sentences, o.Warning = 0, &problem.Problem{Code: source.NoSentenceAt, Cause: "no NMEA sentence comes at 9600 baud", Fix: "leave ?baud= out and the speed is found"}
		}, source.NoSentenceAt, "leave ?baud= out"},
		{"full line", Warning, "baud", func(o *observed) {
			o.Warning = &problem.Problem{Code: source.LineFull, Cause: "the line is full", Fix: "turn off GSV"}
		}, source.LineFull, "turn off GSV"},
		{"binary", Broken, "sentences", func(o *observed) {
			o.Sentences, o.Warning = 0, &problem.Problem{Code: source.BinaryUBX, Cause: "/dev/ttyUSB0 sends UBX", Fix: "switch NMEA output on"}
		}, source.BinaryUBX, "switch NMEA output on"},
		{"no receiver", Broken, "sentences", func(o *observed) { o.Sentences, o.Source, o.Port = 0, "tcp://h:1", "tcp://h:1" }, NoSentences, "no NMEA sentence: check that it is a GPS receiver"},
		{"no checksums", Broken, "sentences", func(o *observed) { o.Sentences, o.NoChecksum = 0, 20 }, NoChecksums, "without a checksum: set allow_no_checksum = true"},
		{"bad cable", Warning, "sentences", func(o *observed) { o.BadChecksum = 20 }, Damaged, "20 of 120 sentences are damaged"},
		{"one damaged", OK, "sentences", func(o *observed) { o.BadChecksum = 1 }, "", "100 good, 1 damaged"},
		{"another instrument", Broken, "sentences", func(o *observed) {
			o.Warning = &problem.Problem{Code: source.NoPosition, Cause: "wind", Fix: "name another port"}
		}, source.NoPosition, "name another port"},
		{"two senders", Warning, "sentences", func(o *observed) {
			o.Warning = &problem.Problem{Code: source.OtherSenders, Cause: "two send", Fix: "choose one"}
		}, source.OtherSenders, "choose one"},
		{"no sky", Broken, "satellites", func(o *observed) { o.NSat, o.Mode, o.FixAge = new(0.0), nmea.ModeNone, nil }, NoSatellite, "none in view: check the antenna's plug"},
		{"no signal", Broken, "satellites", func(o *observed) { o.Signals = new(0) }, NoSignal, "14 should be in view, no signal from any"},
		{"no antenna", Broken, "satellites", func(o *observed) { o.NSat, o.Mode, o.FixAge, o.Antenna = nil, nmea.ModeNone, nil, "OPEN" }, Antenna, "antenna OPEN"},
		{"no list of satellites", Skipped, "satellites", func(o *observed) { o.NSat = nil }, "", "does not list them"},
		{"no fix", Broken, "fix", func(o *observed) { o.Mode, o.FixAge = nmea.ModeNone, nil }, NoFix, "takes a minute"},
		{"lost fix", Broken, "fix", func(o *observed) { o.FixAge = new(30.0) }, NoFix, "free view of the sky"},
	} {
		links, broken := lineOf(good(test.change)), ""
		for _, l := range links {
			switch {
			case broken != "" && (l.State != Skipped || !strings.Contains(l.Seen, broken+" is broken")):
				t.Errorf("%s: %+v after broken %s", test.name, l, broken)
			case l.Name == test.link && (l.State != test.state || l.Code != test.code || !strings.Contains(l.Text(), test.wants)):
				t.Errorf("%s: %+v, want %s, %q, with %q", test.name, l, test.state, test.code, test.wants)
			case l.Name != test.link && l.State != OK && broken == "" && test.name != "no receiver":
				t.Errorf("%s: %+v, want %s only", test.name, l, test.link)
			}
			if l.State == Broken {
				broken = l.Name
			}
		}
		if len(links) != len(lineLinks) {
			t.Errorf("%s: %d links", test.name, len(links))
		}
	}
}

// TestDelivery: what follows from the daemon's own counts when none of its fixes came by.
func TestDelivery(t *testing.T) {
	status := func(change func(*observe.UplinkStatus)) observe.UplinkStatus {
		st := observe.UplinkStatus{}
		st.State, st.Ack, st.Sent, st.Acked = uplink.Connected, uplink.AckEcho, 10, 10
		change(&st)
		return st
	}
	before := status(func(*observe.UplinkStatus) {})
	for _, test := range []struct {
		name  string
		after observe.UplinkStatus
		state State
		wants string
	}{
		{"not connected", status(func(s *observe.UplinkStatus) {
			s.State = uplink.Waiting
			s.Problem = &problem.Problem{Cause: "connection refused: nothing listens on port 80 of h", Fix: "check that the server runs"}
		}), Broken, "connection refused: nothing listens on port 80 of h: check that the server runs"},
		{"nothing to send", status(func(s *observe.UplinkStatus) { s.LastAckAge = new(40.0) }), OK, "acknowledged 40 s ago"},
		{"nothing sent ever", status(func(*observe.UplinkStatus) {}), Skipped, "sent no fix yet"},
		{"no acknowledgement", status(func(s *observe.UplinkStatus) { s.Sent = 20 }), Broken, "sent none back for 5s: check that its channel layer (Redis) is up"},
		{"two processes, two groups", status(func(s *observe.UplinkStatus) { s.Sent, s.Acked = 20, 20 }), Warning, "share one channel layer"},
		{"no echo", status(func(s *observe.UplinkStatus) { s.Sent, s.Acked, s.Ack = 20, 20, uplink.AckPong }), OK, "goes by pong"},
	} {
		if l := judgeDelivery("echo", before, test.after); l.State != test.state || !strings.Contains(l.Text(), test.wants) {
			t.Errorf("%s: %+v, want %s with %q", test.name, l, test.state, test.wants)
		}
	}
}

// TestClock: the receiver's time is compared with the system's.
func TestClock(t *testing.T) {
	for _, test := range []struct {
		off  time.Duration
		want State
	}{{0, OK}, {-time.Hour, Warning}, {time.Hour, Warning}} {
		if l := examineClock(time.Now().Add(test.off)); l.State != test.want {
			t.Errorf("off by %v: %+v, want %s", test.off, l, test.want)
		}
	}
}

// TestFirst: the first broken link is named, and a warning only when asked for.
func TestFirst(t *testing.T) {
	links := []Link{{Name: "a", State: OK}, {Name: "b", State: Warning}, {Name: "c", State: Broken}, {Name: "d", State: Broken}}
	if l, found := FirstBroken(links); !found || l.Name != "c" {
		t.Errorf("%+v", l)
	}
	if l, found := FirstWarning(links); !found || l.Name != "b" {
		t.Errorf("%+v", l)
	}
	if l, found := FirstBroken(links[:2]); found {
		t.Errorf("%+v", l)
	}
}
