package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/problem"
	"gpsbridge/nmea"
)

// observed is what is known of a receiver, from the daemon or from listening here.
type observed struct {
	pipeline.ReceiverStatus
	beside bool      // the daemon says so, and has the port
	clock  time.Time // the receiver's, zero while it is not known
	mute   bool      // it lists satellites from its almanac and hears none of them
}

// fixed says whether a position comes.
func (o observed) fixed() bool { return !o.Stale() && o.Mode >= nmea.Mode2D }

// receiver judges one receiver, from its port to its fix.
func (e *examination) receiver(ctx context.Context, c config.Receiver, suffix string) {
	if _, beside := e.daemonReceiver(c); c.Source == "-" && !beside {
		e.add(Link{Name: "port" + suffix, State: Skipped, Seen: "standard input: only the daemon reads it"})
		return
	}
	o, err := e.observe(ctx, c)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		e.add(fromProblem("port"+suffix, Broken, problem.Of(err)))
		return
	}
	if !o.clock.IsZero() && o.clock.After(e.time) {
		e.time, e.timeAt = o.clock, time.Now()
	}
	broken, why := e.port(o, suffix)
	e.line(o, suffix, broken, why)
}

// line judges what comes over an open port. Broken is the link that why, the receiver's own problem, belongs to.
func (e *examination) line(o observed, suffix, broken string, why *problem.Problem) {
	reached := !slices.Contains(portLinks, broken)
	for _, name := range lineLinks {
		l := Link{Name: name + suffix}
		switch {
		case !reached:
			e.blocked(name+suffix, broken+suffix)
			continue
		case broken == name:
			l.shows(Broken, why)
			reached = false
		case broken != "":
			l.State, l.Seen = OK, holds(name, o)
		default:
			judge[name](&l, o)
			if l.State == Broken {
				broken, reached = name, false
			}
		}
		e.add(l)
	}
}

// holds is what is seen of a link when the receiver itself says that a later one is broken.
func holds(name string, o observed) string {
	if name == "baud" && o.Baud > 0 {
		return strconv.Itoa(o.Baud)
	}
	return "they come"
}

// judge holds how each link of the line is judged while all before it hold.
var judge = map[string]func(*Link, observed){
	"bytes": judgeBytes, "baud": judgeBaud, "sentences": judgeSentences, "satellites": judgeSatellites, "fix": judgeFix,
}

// shows has a link show a problem.
func (l *Link) shows(s State, p *problem.Problem) { *l = fromProblem(l.Name, s, p) }

// says is shows for what is found here.
func (l *Link) says(s State, cause, fix string) { l.shows(s, &problem.Problem{Cause: cause, Fix: fix}) }

func judgeBytes(l *Link, o observed) {
	if o.LastByteAge == nil {
		l.says(Broken, cmp.Or(o.Port, o.Source)+" has sent nothing yet", "check the receiver's power and cable")
		return
	}
	l.State, l.Seen = OK, fmt.Sprintf("%d, the last %.1f s ago", o.Bytes, *o.LastByteAge)
}

func judgeBaud(l *Link, o observed) {
	switch {
	case !isSerial(o.Source):
		l.State, l.Seen = Skipped, "not a serial port"
	case o.Sentences > 0 && o.Warning != nil:
		l.shows(Warning, o.Warning)
	case o.Sentences == 0 && linkOf(o.Warning) == "baud":
		l.shows(Broken, o.Warning)
	default:
		l.State, l.Seen = OK, strconv.Itoa(o.Baud)
	}
}

// manyDamaged is the share of damaged sentences from which the cable is to be looked at. Some are lost whenever a port is
// opened.
const manyDamaged = 0.05

func judgeSentences(l *Link, o observed) {
	all := o.Sentences + o.BadChecksum
	switch {
	case o.Sentences == 0 && o.Warning != nil:
		l.shows(Broken, o.Warning)
	case o.Sentences == 0 && o.NoChecksum > 0:
		l.says(Broken, cmp.Or(o.Port, o.Source)+" sends sentences without a checksum", "set allow_no_checksum = true in its [[receiver]]")
	case o.Sentences == 0:
		l.says(Broken, fmt.Sprintf("%s sends %d bytes and no NMEA sentence", cmp.Or(o.Port, o.Source), o.Bytes),
			"see that it is a receiver, and that it sends NMEA 0183")
	case float64(o.BadChecksum) > manyDamaged*float64(all) && o.BadChecksum > 1:
		l.says(Warning, fmt.Sprintf("%d of %d sentences are damaged", o.BadChecksum, all), "check the cable, and that no other program reads the port")
	default:
		l.State, l.Seen = OK, fmt.Sprintf("%d good, %d damaged", o.Sentences, o.BadChecksum)
	}
}

func judgeSatellites(l *Link, o observed) {
	switch {
	case o.NSat == nil && o.fixed():
		l.State, l.Seen = Skipped, "the receiver does not say"
	case o.NSat == nil || *o.NSat == 0 || o.mute:
		seen := "none in view"
		if o.mute {
			seen = fmt.Sprintf("%.0f should be in view, no signal from any", *o.NSat)
		}
		if a := strings.ToUpper(o.Antenna); a == "OPEN" || a == "SHORT" {
			seen += ", antenna " + a
		}
		l.State, l.Seen, l.Mend = Broken, seen, "check the antenna's plug, and give it a free view of the sky"
	default:
		l.State, l.Seen = OK, fmt.Sprintf("%.0f in view", *o.NSat)
		if o.USat != nil {
			l.Seen += fmt.Sprintf(", %.0f used", *o.USat)
		}
	}
}

func judgeFix(l *Link, o observed) {
	if !o.fixed() {
		l.State, l.Seen = Broken, "none"
		l.Mend = "give the antenna a free view of the sky; the first fix of a cold receiver takes a minute, with poor view several"
		return
	}
	l.State, l.Seen = OK, fmt.Sprintf("%v, %.1f s old", o.Mode, *o.FixAge)
}
