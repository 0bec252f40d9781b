package bridge

import (
	"bytes"
	"context"
	"os"
	"time"
)

// networkFiles show the routes and addresses of this machine (proc(5)). Reading them needs no socket: the service has
// no netlink, which would report changes.
var networkFiles = []string{"/proc/self/net/route", "/proc/self/net/ipv6_route", "/proc/self/net/if_inet6"}

// How often they are read. While a link is down a second, which is little beside the seconds that a modem needs to connect. While
// all are up a change only has them checked, which takes longer than that, and a look each second is a third of the CPU time at 1 Hz.
const (
	networkPoll     = time.Second
	networkPollIdle = 5 * time.Second
)

// watchNetwork sends on each channel, without waiting, whenever the routes or addresses have changed, until ctx ends. So
// an uplink that backs off tries again at once when the network is back. Without channels it reads nothing.
func watchNetwork(ctx context.Context, look func() string, up func() bool, changed ...chan struct{}) error {
	if len(changed) == 0 {
		return nil
	}
	pause := func() time.Duration {
		if up() {
			return networkPollIdle
		}
		return networkPoll
	}
	return onChange(ctx, pause, look, func() {
		for _, c := range changed {
			select {
			case c <- struct{}{}:
			default: // the last change is still unread
			}
		}
	})
}

// onChange calls changed whenever what look returns is another than before, until ctx ends.
func onChange(ctx context.Context, pause func() time.Duration, look func() string, changed func()) error {
	for last := look(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause()):
		}
		if now := look(); now != last {
			last = now
			changed()
		}
	}
}

// network is the content of the files, without the counters that change by themselves.
func network() string {
	var all []byte
	for _, name := range networkFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // a kernel without IPv6
		}
		for line := range bytes.Lines(text) {
			all = append(all, withoutCounters(line)...)
		}
	}
	return string(all)
}

// withoutCounters keeps destination, gateway and the like: route has RefCnt and Use in fields 5 and 6, ipv6_route the
// same in 7 and 8, which count packets.
func withoutCounters(line []byte) []byte {
	fields := bytes.Fields(line)
	switch len(fields) {
	case 11: // route
		fields[4], fields[5] = nil, nil
	case 10: // ipv6_route
		fields[6], fields[7] = nil, nil
	}
	return append(bytes.Join(fields, []byte(" ")), '\n')
}
