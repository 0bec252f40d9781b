package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/uplink"
)

// Places in serverLinks.
const (
	dns = iota
	tcp
	secure
	upgrade
	echo
)

// serverWalk is the way to one server, for one device ID.
type serverWalk struct {
	*chain
	daemon *daemon
	clock  receiverClock
	noSend bool
	uplink config.Uplink
	id     string
	suffix string // of the names of links, where there are several servers or device IDs
}

// examineServers walks the way to every tracking server.
func examineServers(ctx context.Context, c *chain, d *daemon, o Options, clock receiverClock) {
	ids := o.Config.DeviceIDs()
	if len(o.Config.Uplinks) == 0 {
		unknownServers(c, d.status)
	}
	for _, u := range o.Config.Uplinks {
		for _, id := range ids {
			w := serverWalk{chain: c, daemon: d, clock: clock, noSend: o.NoSend, uplink: u, id: id}
			if len(o.Config.Uplinks) > 1 {
				w.suffix += " " + u.Name
			}
			if len(ids) > 1 {
				w.suffix += " " + id
			}
			w.walk(ctx)
		}
	}
}

// unknownServers reports the servers that only the daemon knows.
func unknownServers(c *chain, st *observe.Status) {
	if st == nil || len(st.Uplinks) == 0 {
		for _, name := range serverLinks {
			c.add(skipped(name, "no tracking server is configured"))
		}
		return
	}
	for _, u := range st.Uplinks {
		name := "server " + u.Name
		if u.State != uplink.Connected {
			c.add(broken(name, notConnected(u)))
			continue
		}
		c.add(ok(name, fmt.Sprintf("connected, %d acknowledged (%s)", u.Acked, u.Ack)))
	}
	c.add(skipped(serverLinks[dns], "only the daemon's configuration names its servers: give it with -c FILE"))
}

// notConnected is why the daemon is not connected to a server.
func notConnected(u observe.UplinkStatus) *problem.Problem {
	if u.Problem == nil {
		return &problem.Problem{Code: NotConnected, Cause: "the daemon is " + string(u.State)}
	}
	return u.Problem
}

func (w serverWalk) walk(ctx context.Context) {
	t := &trail{started: time.Now()}
	w.daemon.ask(ctx) // what the daemon has sent so far
	dial, at := w.uplink.For(w.id), w.clock.now()
	dial.Clock = func() (time.Time, string) { return bridge.CertificateTime(time.Now(), bridge.ClockSynchronised(), at) }
	conn, err := uplink.Dial(httptrace.WithClientTrace(ctx, t.trace()), dial)
	if err != nil && ctx.Err() != nil {
		return
	}
	if err == nil {
		for i, name := range serverLinks[:echo] {
			w.add(t.seen(i, name+w.suffix, dial.URL))
		}
		w.listenToGroup(ctx, conn, serverLinks[echo]+w.suffix)
		return
	}
	failed, tried := t.linkOf(err, dial.URL)
	stop := slices.Index(serverLinks, failed)
	for i, name := range serverLinks {
		switch {
		case i == stop:
			w.add(broken(name+w.suffix, dialProblem(err)))
		case i < stop && tried:
			w.add(t.seen(i, name+w.suffix, dial.URL))
		default:
			w.add(blocked(name+w.suffix, failed+w.suffix))
		}
	}
}

// dialProblem is the problem of an error of Dial. The doctor may be another user than the daemon.
func dialProblem(err error) *problem.Problem {
	p := problem.Of(err)
	if errors.Is(err, fs.ErrPermission) {
		other := *p
		other.Fix = "let the daemon's user read it, or run the doctor with sudo"
		return &other
	}
	return p
}

// trail is what was seen on the way to a server.
type trail struct {
	started time.Time

	mu        sync.Mutex // the dialer tries several addresses at once
	addresses []string
	address   string // that was connected to
	connected time.Duration
	tls       tls.ConnectionState
	encrypted bool
}

// linkOf is the link at which Dial failed. A timeout breaks the one after the last that was reached. Not tried: Dial failed
// before the first step, on a file or a key that goes into the handshake.
func (t *trail) linkOf(err error, url string) (link string, tried bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	code := problem.CodeOf(err)
	link, known := linkOfCode[code]
	switch {
	case known:
		return link, true
	case code != uplink.Timeout && code != uplink.NoConnection:
		return serverLinks[upgrade], false
	case t.address == "":
		return serverLinks[tcp], true
	case strings.HasPrefix(url, "wss://") && !t.encrypted:
		return serverLinks[secure], true
	}
	return serverLinks[upgrade], true
}

func (t *trail) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSDone: func(d httptrace.DNSDoneInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			for _, a := range d.Addrs {
				t.addresses = append(t.addresses, a.String())
			}
		},
		ConnectDone: func(_, addr string, err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			if err == nil && t.address == "" {
				t.address, t.connected = addr, time.Since(t.started)
			}
		},
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.tls, t.encrypted = s, err == nil
		},
	}
}

// seen is a link that holds.
func (t *trail) seen(link int, name, url string) Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch link {
	case dns:
		if len(t.addresses) == 0 {
			return ok(name, "an address, no name to look up")
		}
		return ok(name, strings.Join(t.addresses, ", "))
	case tcp:
		return ok(name, fmt.Sprintf("connected to %s in %d ms", t.address, t.connected.Milliseconds()))
	case secure:
		if strings.HasPrefix(url, "ws://") {
			return skipped(name, "not encrypted: the server's URL begins with ws://")
		}
		seen := tls.VersionName(t.tls.Version)
		if len(t.tls.PeerCertificates) > 0 {
			seen += ", certificate valid until " + t.tls.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly)
		}
		return ok(name, seen)
	}
	return ok(name, fmt.Sprintf("the server speaks WebSocket, %d ms since the first step", time.Since(t.started).Milliseconds()))
}
