package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/nmea"
)

// senders decides whose lines are read, and joins the lines that were cut into several datagrams, as forwarders of serial
// ports cut them. The zero value takes all senders.
type senders struct {
	wanted  netip.Addr // zero: any
	all     map[netip.AddrPort]*sender
	feeding netip.Addr // zero: none yet
	heard   time.Time  // its last valid sentence
	others  others
}

const (
	// senderHold is how long a sender is waited for before another one may feed: three seconds of one at 1 Hz, and less than
	// DefaultSilence.
	senderHold = 3 * time.Second
	// mostSenders bounds how many are remembered.
	mostSenders = 16
	// mostOpen bounds a line that is not complete: a sentence has 82 bytes, and some makers' a few hundred.
	mostOpen = 1024
)

// sender is where datagrams come from.
type sender struct {
	open    []byte // of a line that is not complete
	scanner nmea.Scanner
	last    time.Time
}

// lines returns the complete lines that a datagram ends, if its sender feeds. They are valid until the next call.
func (s *senders) lines(datagram []byte, from netip.AddrPort, now time.Time) []byte {
	if len(datagram) == 0 || s.wanted.IsValid() && from.Addr() != s.wanted {
		return nil
	}
	one := s.sender(from, now)
	lines := one.lines(datagram)
	valid := one.valid(lines)
	if from.Addr() != s.feeding && s.feeding.IsValid() && now.Sub(s.heard) < senderHold {
		if valid {
			s.others.leftOut(from.Addr(), s.feeding, now)
		}
		return nil
	}
	if valid { // noise does not shut others out
		s.others.fed(from.Addr() != s.feeding, now)
		s.feeding, s.heard = from.Addr(), now
	}
	return lines
}

// sender returns the memory of a sender. Beyond mostSenders the one is forgotten that was silent the longest.
func (s *senders) sender(from netip.AddrPort, now time.Time) *sender {
	one := s.all[from]
	if one == nil {
		if s.all == nil {
			s.all = map[netip.AddrPort]*sender{}
		}
		for len(s.all) >= mostSenders {
			oldest := from
			for address, other := range s.all {
				if oldest == from || other.last.Before(s.all[oldest].last) {
					oldest = address
				}
			}
			delete(s.all, oldest)
		}
		one = &sender{}
		one.scanner.AllowNoChecksum = true
		s.all[from] = one
	}
	one.last = now
	return one
}

// lines joins a datagram to what is open. A datagram that begins a sentence ends the line before it: some senders leave the
// line's end out, since a datagram holds whole sentences.
func (s *sender) lines(datagram []byte) []byte {
	if len(s.open) > 0 && bytes.IndexByte([]byte("$!\\"), datagram[0]) >= 0 {
		s.open = append(s.open, "\r\n"...)
	}
	all := append(s.open, datagram...)
	end := bytes.LastIndexAny(all, "\r\n") + 1
	if rest := all[end:]; len(rest) > mostOpen || isSentence(rest) {
		all = append(all, "\r\n"...)
		end = len(all)
	}
	s.open = bytes.Clone(all[end:])
	return all[:end]
}

// isSentence reports whether a line without its end is a whole sentence, with its checksum.
func isSentence(line []byte) bool {
	if len(line) < 4 || line[len(line)-3] != '*' {
		return false
	}
	valid := false
	var scanner nmea.Scanner
	scanner.Scan(append(bytes.Clone(line), '\r', '\n'), func([]byte) { valid = true })
	return valid
}

// valid reports whether lines hold a sentence.
func (s *sender) valid(lines []byte) bool {
	valid := false
	s.scanner.Scan(lines, func([]byte) { valid = true })
	return valid
}

// othersForgotten is how long after their last datagram the others are still shown.
const othersForgotten = time.Minute

// others are senders whose datagrams are left out because another one feeds. The zero value is none.
type others struct {
	show func(warning *problem.Problem) // gets which sender is left out, nil when none is any more

	since, last time.Time // of their datagrams
	count       uint64    // of those
	shown       uint64    // the count when it was shown last, 0 while nothing is shown
}

// leftOut notes a datagram that was left out because feeding sends. A sender that is about to take over is left out for as
// long as the one before is waited for, which needs no report. It is shown after that, and each time that the number has
// become ten times as large, so that the log does not fill.
func (o *others) leftOut(from, feeding netip.Addr, now time.Time) {
	if o.count == 0 {
		o.since = now
	}
	o.count++
	o.last = now
	if now.Sub(o.since) <= senderHold || o.count < 10*o.shown {
		return
	}
	o.shown = o.count
	o.show(&problem.Problem{Code: source.OtherSenders, Cause: fmt.Sprintf("%v sends too and is left out (%d datagrams so far), since %v feeds", from, o.count, feeding),
		Fix: "stop one of them, name the one to read with ?from=, or give each a port and a [[receiver]] of its own"})
}

// fed notes a datagram that was read, of another sender than the one before it or of the same.
func (o *others) fed(another bool, now time.Time) {
	if o.count == 0 || !another && now.Sub(o.last) < othersForgotten {
		return
	}
	if o.shown > 0 {
		o.show(nil)
	}
	*o = others{show: o.show}
}
