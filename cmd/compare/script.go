package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"gpsbridge/bridge/receiver/sim"
)

// epoch is the burst of one epoch.
type epoch struct {
	time  string // as programs print it, see stampLayout
	data  []byte
	ends  []int    // offsets behind each sentence in data
	kinds []string // of each sentence: RMC, GGA, ...
}

// stampLayout is how gpsd writes a time in its JSON, and gpsbridge too.
const stampLayout = "2006-01-02T15:04:05.000Z"

// simulate returns n epochs of the simulated receiver, from a whole second on.
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

func newEpoch(stamp string, data []byte) epoch {
	e := epoch{time: stamp, data: data}
	for at := 0; at < len(data); {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if kind := kindOf(data[at:end]); kind != "" {
			e.ends, e.kinds = append(e.ends, end), append(e.kinds, kind)
		}
		at = end
	}
	return e
}

// kindOf returns the type of a sentence without its talker, "" for a line that is none.
func kindOf(line []byte) string {
	head, _, ok := bytes.Cut(line, []byte{','})
	if !ok || len(head) != 6 || head[0] != '$' {
		return ""
	}
	return string(head[3:])
}

// last returns the index of the last sentence of the epoch that is one of kinds, -1 when there is none.
func (e epoch) last(kinds ...string) int {
	for i := len(e.kinds) - 1; i >= 0; i-- {
		for _, k := range kinds {
			if e.kinds[i] == k {
				return i
			}
		}
	}
	return -1
}

// positionKinds are the sentences that add to a fix. GSV has satellites only, GLL repeats, and GST and ZDA, which come
// once a second, tell errors and a date that is known.
var positionKinds = []string{"RMC", "VTG", "GGA", "GSA"}

// recording is a log for the runs at full speed.
type recording struct {
	name      string
	data      []byte
	sentences int
	epochs    int // changes of the time of day
}

// defaultSentences is how long the recording is that is made when there is none: gpsd takes a tenth of a second for it.
const defaultSentences = 20_000

// record makes a recording of the simulated receiver, with the sentences that it sends over a fast line, once a second.
func record(sentences int) (*recording, error) {
	g, err := sim.New(sim.Config{Start: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil, err
	}
	r := &recording{name: "simulated drive"}
	for r.sentences < sentences {
		e := newEpoch("", g.Epoch())
		r.data = append(r.data, e.data...)
		r.sentences += len(e.kinds)
		r.epochs++
	}
	return r, nil
}

// load reads a recorded log.
func load(path string) (*recording, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read log: %w: name a file of NMEA sentences with --log", err)
	}
	r := &recording{name: path, data: data}
	last := ""
	for line := range bytes.Lines(data) {
		kind := kindOf(line)
		if kind == "" {
			continue
		}
		r.sentences++
		if at := timeOfDay(kind, line); at != "" && at != last {
			r.epochs, last = r.epochs+1, at
		}
	}
	if r.epochs == 0 {
		return nil, fmt.Errorf("read log %s: it has no sentence with a time: name a file of NMEA sentences with --log", path)
	}
	return r.repeated(defaultSentences), nil
}

// repeated is r over and over, until it has so many sentences: a short log tells more about starting and stopping than
// about the work.
func (r *recording) repeated(sentences int) *recording {
	times := (sentences + r.sentences - 1) / r.sentences
	return &recording{
		name: r.name, data: bytes.Repeat(r.data, times), sentences: r.sentences * times, epochs: r.epochs * times,
	}
}

// timeOfDay returns the time field of a sentence of a position, "" when it has none. Programs that group sentences by
// time count such changes as epochs.
func timeOfDay(kind string, line []byte) string {
	field := map[string]int{"RMC": 1, "GGA": 1, "GNS": 1, "GLL": 5}[kind]
	fields := bytes.Split(line, []byte{','})
	if field == 0 || len(fields) <= field {
		return ""
	}
	return string(fields[field])
}
