package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/receiver/sim"
)

// epoch is what a receiver sends in one epoch.
type epoch struct {
	time     string // as programs print it, see stampLayout
	data     []byte
	ends     []int // offsets after each sentence in data
	complete int   // offset after the last sentence that adds to the fix: see positionKinds
}

// stampLayout is how gpsd writes a time in its JSON, and gpsbridge too.
const stampLayout = "2006-01-02T15:04:05.000Z"

// positionKinds are the sentences that add to a fix. GSV has satellites only, GLL repeats, and GST and ZDA come once a
// second, with errors and a date that is known.
var positionKinds = []string{"RMC", "VTG", "GGA", "GSA"}

// simulate returns n epochs of the simulated receiver, from a whole second on. A line that is too slow for them is an error.
func simulate(c sim.Config, n int) ([]epoch, error) {
	c.Start = time.Now().UTC().Truncate(time.Second)
	g, err := sim.New(c)
	if err != nil {
		return nil, err
	}
	epochs := make([]epoch, n)
	for i := range epochs {
		at := g.Next()
		epochs[i] = newEpoch(at.Format(stampLayout), g.Epoch())
	}
	return epochs, nil
}

// timeFields are which field of a sentence is its time.
var timeFields = map[string]int{"RMC": 1, "GGA": 1, "GNS": 1, "GST": 1, "ZDA": 1, "GLL": 5}

// recorded returns the epochs of a recorded log. Each begins with the first sentence that states another time than the one before.
func recorded(path string) (epochs []epoch, err error) {
	log, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	var data []byte
	last := ""
	for line := range bytes.Lines(log) {
		if line = bytes.TrimSpace(line); len(line) < 7 || line[0] != '$' {
			continue // a comment, or what is not of NMEA
		}
		fields := strings.Split(string(line), ",")
		if i, timed := timeFields[fields[0][max(0, len(fields[0])-3):]]; timed && i < len(fields) && fields[i] != "" && fields[i] != last {
			if last != "" {
				epochs, data = append(epochs, newEpoch(last, data)), nil
			}
			last = fields[i]
		}
		data = append(append(data, line...), "\r\n"...)
	}
	if last == "" {
		return nil, fmt.Errorf("%s has no sentence with a time: name a recorded NMEA log", path)
	}
	return append(epochs, newEpoch(last, data)), nil
}

func newEpoch(stamp string, data []byte) epoch {
	e := epoch{time: stamp, data: data}
	end := 0
	for line := range bytes.Lines(data) {
		end += len(line)
		e.ends = append(e.ends, end)
		if len(line) > 6 && slices.Contains(positionKinds, string(line[3:6])) {
			e.complete = end
		}
	}
	return e
}

// sentences counts those of all epochs.
func sentences(epochs []epoch) (n int) {
	for _, e := range epochs {
		n += len(e.ends)
	}
	return n
}

// line is a pseudo-terminal that stands for the serial line to one program.
type line struct{ *sim.Terminal }

// openLine makes a pseudo-terminal that every user may open: gpsd gives its rights up before it does.
func openLine() (*line, error) {
	t, err := sim.OpenTerminal()
	if err != nil {
		return nil, err
	}
	if err := t.Slave.Chmod(0o666); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return &line{t}, nil
}

// write hands p to the program, and waits where its queue is full.
func (l *line) write(p []byte) error {
	if err := l.Master.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return err
	}
	if _, err := l.Master.Write(p); err != nil {
		return fmt.Errorf("write to %s: %w", l.Path, err)
	}
	return nil
}

// sent is when bytes of an epoch were complete on the line.
type sent struct{ first, complete time.Time }

// chunk is the time on the line of the bytes that become readable together, within one sentence: what a USB adapter does.
const chunk = 10 * time.Millisecond

// play sends epochs from origin on, one each period, a byte at a time of byteAt. It returns when their bytes were written,
// which is later than they should have been by the lateness of timers: delays are counted from these moments.
func (l *line) play(ctx context.Context, epochs []epoch, period, byteAt time.Duration, origin time.Time) ([]sent, error) {
	log := make([]sent, len(epochs))
	free := origin // when the line has sent all that it was given
	for i, e := range epochs {
		from := origin.Add(time.Duration(i) * period)
		if free.After(from) {
			from = free // the epoch before lasted longer than the period
		}
		for at := 0; at < len(e.data); {
			end := e.chunkEnd(at, max(1, int(chunk/byteAt)))
			free = from.Add(time.Duration(end) * byteAt)
			if !sleepUntil(ctx, free) {
				return nil, ctx.Err()
			}
			now := time.Now()
			if err := l.write(e.data[at:end]); err != nil {
				return nil, err
			}
			if at == 0 {
				log[i].first = now.Add(-time.Duration(end-1) * byteAt)
			}
			if end == e.complete {
				log[i].complete = now
			}
			at = end
		}
	}
	return log, nil
}

// chunkEnd is where the bytes end that become readable together with the one at offset at: after size bytes, or after the
// sentence.
func (e epoch) chunkEnd(at, size int) int {
	next, _ := slices.BinarySearch(e.ends, at+1)
	return min(at+size, e.ends[next])
}
