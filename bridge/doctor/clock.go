package doctor

import (
	"fmt"
	"time"

	"gpsbridge/bridge"
)

// clockTolerance is how far the system's clock may be from the receiver's: fixes reach the program up to a second late.
const clockTolerance = 3 * time.Second

// clock looks at the system's. A wrong one stops nothing by itself: certificates are verified by the receiver's time until
// it is right, and when they cannot be, the tls link says so, clock included.
func (e *examination) clock() {
	const name = "clock"
	now := time.Now()
	says := now.UTC().Format("2006-01-02 15:04:05 UTC")
	synchronised := bridge.ClockSynchronised()
	if synchronised {
		says += ", synchronised"
	}
	receiver := e.receiverTime()
	off := now.Sub(receiver).Abs()
	switch {
	case now.Before(bridge.BuiltAfter()):
		e.add(Link{Name: name, State: Warning, Seen: says + " is before this program was built: it was never set",
			Mend: "let the machine reach a time server (timedatectl), or set it from the receiver with gpsd and chrony"})
	case !receiver.IsZero() && off > clockTolerance:
		e.add(Link{Name: name, State: Warning, Seen: fmt.Sprintf("%s, and the receiver's is %v off", says, off.Round(time.Second)),
			Mend: "let the machine reach a time server (timedatectl)"})
	case !receiver.IsZero():
		e.add(Link{Name: name, State: OK, Seen: says + ", as the receiver says"})
	case synchronised:
		e.add(Link{Name: name, State: OK, Seen: says})
	default:
		e.add(Link{Name: name, State: Warning, Seen: says + ", kept right by nobody",
			Mend: "let the machine reach a time server (timedatectl)"})
	}
}
