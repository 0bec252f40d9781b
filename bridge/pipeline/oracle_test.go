package pipeline

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/nmea"
	"gpsbridge/nmea/nmeatest"
)

// line is a serial line on which bursts come at their times.
type line struct {
	next     func() (due time.Time, p []byte, ok bool)
	due      time.Time
	rest     []byte
	deadline time.Time
}

func (l *line) SetReadDeadline(t time.Time) error { l.deadline = t; return nil }
func (l *line) Close() error                      { return nil }

func (l *line) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		ok := false
		if l.due, l.rest, ok = l.next(); !ok {
			return 0, io.EOF
		}
	}
	if !l.deadline.IsZero() && l.due.After(l.deadline) {
		time.Sleep(time.Until(l.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(time.Until(l.due))
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// throughDaemon returns the fixes in the messages that a daemon makes of a source.
func throughDaemon(t *testing.T, src source.Source) []nmea.Fix {
	t.Helper()
	var messages bytes.Buffer
	fd := NewFeed(FeedConfig{
		DeviceID: "van_7", Show: func(string, string, []byte) {},
		Keep: func(msg []byte) (uint64, error) { messages.Write(append(msg, '\n')); return 0, nil },
	})
	if err := NewIntake(receiver.New(src, receiver.Config{}), fd, IntakeConfig{}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	fixes, err := nmeatest.ReadFixes(messages.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return fixes
}

// onLine is a receiver that sends a trip over a line of 115200 baud, its sentences in pieces and every epoch in time.
func onLine(tr *nmeatest.Trip) source.Source {
	const perByte = 10 * time.Second / 115200
	var schedule []time.Time
	var pieces [][]byte
	began := time.Now()
	n := 0
	for burst := range tr.Bursts() {
		at := began.Add(time.Duration(float64(n) / tr.Hz * float64(time.Second)))
		for _, p := range burst {
			at = at.Add(time.Duration(len(p)) * perByte)
			schedule, pieces = append(schedule, at), append(pieces, p)
		}
		n++
	}
	i := -1
	l := &line{next: func() (time.Time, []byte, bool) {
		if i++; i == len(pieces) {
			return time.Time{}, nil, false
		}
		return schedule[i], pieces[i], true
	}}
	return &receivertest.FakeSource{Kind: source.Traits{Finite: true}, Try: func(int) (source.Conn, error) { return l, nil }}
}

// TestEveryOrder judges what the daemon makes of every order of two to five sentences at 1 to 25 Hz; three in a short run. It
// sees the pauses of a receiver at 1 Hz, and none in what a faster one sends.
func TestEveryOrder(t *testing.T) {
	most := 5
	if !nmeatest.Long() {
		most = 3
	}
	streams := 0
	for order := range nmeatest.Orders(most) {
		for _, hz := range []float64{1, 5, 10, 25} {
			tr := &nmeatest.Trip{Order: order, Hz: hz, Pauses: hz == 1, Epochs: 14}
			streams++
			synctest.Test(t, func(t *testing.T) {
				if wrong := tr.Judge(throughDaemon(t, onLine(tr))); len(wrong) > 0 {
					t.Errorf("%v: %d faults: %s", tr, len(wrong), strings.Join(wrong[:min(3, len(wrong))], "; "))
				}
			})
		}
	}
	t.Logf("%d streams", streams)
}

// TestLogs judges what the daemon makes of every recorded log, played at its own pace.
func TestLogs(t *testing.T) {
	nmeatest.JudgeLogs(t, func(log string, _ []byte) (fixes []nmea.Fix) {
		src, err := kinds.Parse("file:" + log)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) { fixes = throughDaemon(t, src) })
		return fixes
	})
}
