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
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/nmea"
)

// observed is what is known of a receiver, from the daemon or from listening here.
type observed struct {
	pipeline.ReceiverStatus
	beside bool      // the daemon reports it, and has the port
	clock  time.Time // the receiver's, zero while it is not known
}

// fixed reports whether a position comes.
func (o observed) fixed() bool { return !o.Stale() && o.Mode >= nmea.Mode2D }

// name is the port's, or the source's where that is all there is.
func (o observed) name() string { return cmp.Or(o.Port, o.Source) }

// receiverLinks examines one receiver.
type receiverLinks struct {
	*chain
	suffix string // of the names of links, where there are several receivers
	o      observed
}

// examineReceiver examines one receiver, from its port to its fix.
func examineReceiver(ctx context.Context, c *chain, d *daemon, clock *receiverClock, conf config.Receiver, suffix string) {
	if _, beside := d.receiver(conf); conf.Source == "-" && !beside {
		c.add(skipped("port"+suffix, "standard input: only the daemon reads it"))
		return
	}
	o, err := observeReceiver(ctx, d, conf)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		c.add(broken("port"+suffix, problem.Of(err)))
		return
	}
	clock.state(o.clock)
	r := receiverLinks{c, suffix, o}
	r.line(r.port())
}

// line judges what comes over an open port. why is the receiver's own problem, if it has one, and brokenLink the link that it
// breaks.
func (r receiverLinks) line(brokenLink string, why *problem.Problem) {
	reached := !slices.Contains(portLinks, brokenLink)
	for _, name := range lineLinks {
		full := name + r.suffix
		switch {
		case !reached:
			r.add(blocked(full, brokenLink+r.suffix))
			continue
		case brokenLink == name:
			r.add(broken(full, why))
			reached = false
		case brokenLink != "":
			r.add(before(name, full, r.o))
		default:
			l := judge[name](full, r.o)
			if l.State == Broken {
				brokenLink, reached = name, false
			}
			r.add(l)
		}
	}
}

// before is a link of the line when the receiver itself reports that a later one is broken.
func before(name, full string, o observed) Link {
	switch {
	case name == "baud" && !isSerial(o.Source):
		return skipped(full, "not a serial port")
	case name == "baud" && o.Baud > 0:
		return ok(full, strconv.Itoa(o.Baud))
	}
	return ok(full, "they come")
}

// judge holds how each link of the line is judged while all before it hold.
var judge = map[string]func(name string, o observed) Link{
	"bytes": judgeBytes, "baud": judgeBaud, "sentences": judgeSentences, "satellites": judgeSatellites, "fix": judgeFix,
}

func judgeBytes(name string, o observed) Link {
	if o.LastByteAge == nil {
		return broken(name, &problem.Problem{Code: source.Silent, Cause: o.name() + " has sent nothing yet", Fix: "check the receiver's power and cable"})
	}
	return ok(name, fmt.Sprintf("%d, the last %.1f s ago", o.Bytes, *o.LastByteAge))
}

func judgeBaud(name string, o observed) Link {
	switch {
	case !isSerial(o.Source):
		return skipped(name, "not a serial port")
	case linkOf(o.Warning) == "baud" && o.Sentences > 0:
		return warning(name, o.Warning)
	case linkOf(o.Warning) == "baud":
		return broken(name, o.Warning)
	}
	return ok(name, strconv.Itoa(o.Baud))
}

// manyDamaged is the share of damaged sentences from which the cable is to be checked. Some are lost whenever a port is
// opened.
const manyDamaged = 0.05

func judgeSentences(name string, o observed) Link {
	all := o.Sentences + o.BadChecksum
	switch {
	case o.Sentences == 0 && o.Warning != nil, noPosition(o.Warning):
		return broken(name, o.Warning)
	case o.Sentences == 0 && o.NoChecksum > 0:
		return broken(name, &problem.Problem{Code: NoChecksums, Key: "allow_no_checksum", Cause: o.name() + " sends sentences without a checksum",
			Fix: "set allow_no_checksum = true in its [[receiver]]"})
	case o.Sentences == 0:
		return broken(name, &problem.Problem{Code: NoSentences, Cause: fmt.Sprintf("%s sends %d bytes and no NMEA sentence", o.name(), o.Bytes),
			Fix: "check that it is a GPS receiver, and that it sends NMEA 0183"})
	case float64(o.BadChecksum) > manyDamaged*float64(all) && o.BadChecksum > 1:
		return warning(name, &problem.Problem{Code: Damaged, Cause: fmt.Sprintf("%d of %d sentences are damaged", o.BadChecksum, all),
			Fix: "check the cable, and that no other program reads the port"})
	case linkOf(o.Warning) == "sentences":
		return warning(name, o.Warning)
	}
	return ok(name, fmt.Sprintf("%d good, %d damaged", o.Sentences, o.BadChecksum))
}

// noPosition reports whether a warning is that good sentences come, and none of them has a position.
func noPosition(p *problem.Problem) bool {
	return p != nil && (p.Code == source.OnlyAIS || p.Code == source.NoPosition)
}

func judgeSatellites(name string, o observed) Link {
	p := &problem.Problem{Code: NoSatellite, Cause: "none in view", Fix: "check the antenna's plug, and give it a free view of the sky"}
	switch {
	case o.NSat == nil && o.fixed():
		return skipped(name, "the receiver does not list them")
	case o.NSat == nil || *o.NSat == 0:
	case o.Signals != nil && *o.Signals == 0:
		p.Code, p.Cause = NoSignal, fmt.Sprintf("%.0f should be in view, no signal from any", *o.NSat)
	default:
		seen := fmt.Sprintf("%.0f in view", *o.NSat)
		if o.USat != nil {
			seen += fmt.Sprintf(", %.0f used", *o.USat)
		}
		return ok(name, seen)
	}
	if a := strings.ToUpper(o.Antenna); a == "OPEN" || a == "SHORT" {
		p.Code, p.Cause = Antenna, p.Cause+", antenna "+a
	}
	return broken(name, p)
}

func judgeFix(name string, o observed) Link {
	if !o.fixed() {
		return broken(name, &problem.Problem{Code: NoFix, Cause: "none",
			Fix: "give the antenna a free view of the sky; the first fix of a cold receiver takes a minute, with poor view several"})
	}
	return ok(name, fmt.Sprintf("%v, %.1f s old", o.Mode, *o.FixAge))
}
