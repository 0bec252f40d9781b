package receiver

import (
	"fmt"
	"net/netip"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// othersForgotten is after how long without a datagram of theirs the others are not spoken of any more.
const othersForgotten = time.Minute

// others are senders whose datagrams are left out because another one feeds. The zero value is none.
type others struct {
	show func(warning *problem.Problem) // gets which sender is left out, nil when none is any more

	since, last time.Time // of their datagrams
	count       uint64    // of those
	told        uint64    // the count when it was shown last, 0 while nothing is shown
}

// leftOut notes a datagram that was left out because feeding sends. A sender that is about to take over is left out for as
// long as the one before is waited for, which is nothing to speak of. After that, and each time that it has become ten times
// as many, it is told: the number is to be seen, and the log not to be filled.
func (o *others) leftOut(from, feeding netip.Addr, now time.Time) {
	if o.count == 0 {
		o.since = now
	}
	o.count++
	o.last = now
	if now.Sub(o.since) <= senderHold || o.count < 10*o.told {
		return
	}
	o.told = o.count
	o.say(&problem.Problem{Code: source.OtherSenders, Cause: fmt.Sprintf("%v sends too and is left out (%d datagrams so far), since %v feeds", from, o.count, feeding),
		Fix: "stop one of them, or give each a port and a [[receiver]] of its own"})
}

// fed notes a datagram that was taken, of another sender than the one before it or of the same.
func (o *others) fed(another bool, now time.Time) {
	if o.count == 0 || !another && now.Sub(o.last) < othersForgotten {
		return
	}
	if o.told > 0 {
		o.say(nil)
	}
	*o = others{show: o.show}
}

func (o *others) say(warning *problem.Problem) {
	if o.show != nil {
		o.show(warning)
	}
}
