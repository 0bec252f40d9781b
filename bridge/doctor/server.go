package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/uplink"
)

// The links of the way to a server, in its order.
var serverLinks = []string{"dns", "tcp", "tls", "upgrade", "echo"}

// Places in serverLinks.
const (
	dns = iota
	tcp
	secure
	upgrade
	echo
)

// servers walks the way to every tracking server.
func (e *examination) servers(ctx context.Context) {
	ids := e.Config.DeviceIDs()
	if len(e.Config.Uplinks) == 0 {
		e.unknownServers()
	}
	for _, u := range e.Config.Uplinks {
		for _, id := range ids {
			suffix := ""
			if len(e.Config.Uplinks) > 1 {
				suffix += " " + u.Name
			}
			if len(ids) > 1 {
				suffix += " " + id
			}
			e.server(ctx, u, id, suffix)
		}
	}
}

// unknownServers tells of servers that only the daemon knows, in its words.
func (e *examination) unknownServers() {
	if e.status == nil || len(e.status.Uplinks) == 0 {
		for _, name := range serverLinks {
			e.add(Link{Name: name, State: Skipped, Seen: "no tracking server is configured"})
		}
		return
	}
	for _, u := range e.status.Uplinks {
		name := "server " + u.Name
		if u.State != uplink.Connected {
			e.add(daemonLink(name, u))
			continue
		}
		e.add(Link{Name: name, State: OK, Seen: fmt.Sprintf("connected, %d acknowledged (%s)", u.Acked, u.Ack)})
	}
	e.add(Link{Name: serverLinks[dns], State: Skipped, Seen: "only the daemon's configuration names its servers: give it with -c FILE"})
}

// daemonLink is the link of a server to which the daemon is not connected.
func daemonLink(name string, u observe.UplinkStatus) Link {
	if u.Problem == nil {
		return Link{Name: name, State: Broken, Seen: "the daemon is " + string(u.State)}
	}
	return problemLink(name, u.Problem)
}

// server walks the way to one server, for one device ID.
func (e *examination) server(ctx context.Context, u config.Uplink, id, suffix string) {
	t := &trail{started: time.Now()}
	e.ask(ctx) // what the daemon has sent so far
	dial, at := u.For(id), e.receiverTime()
	dial.Clock = func() (time.Time, string) { return bridge.CertificateTime(at) }
	conn, err := uplink.Dial(httptrace.WithClientTrace(ctx, t.trace()), dial)
	if err != nil && ctx.Err() != nil {
		return
	}
	if err == nil {
		for i, name := range serverLinks[:echo] {
			e.add(t.seen(i, name+suffix, u.For(id).URL))
		}
		e.listenToGroup(ctx, conn, u, id, serverLinks[echo]+suffix)
		return
	}
	failed, tried := t.stage(err, u.For(id).URL)
	for i, name := range serverLinks {
		switch {
		case i == failed:
			e.add(problemLink(name+suffix, err))
		case i < failed && tried:
			e.add(t.seen(i, name+suffix, u.For(id).URL))
		default:
			e.blocked(name+suffix, serverLinks[failed]+suffix)
		}
	}
}

// problemLink is the link at which an error was found.
func problemLink(name string, err error) Link {
	p := problem.Of(err)
	l := Link{Name: name, State: Broken, Seen: p.Cause, Mend: p.Fix}
	if errors.Is(err, fs.ErrPermission) {
		l.Mend = "let the daemon's user read it, or run the doctor with sudo"
	}
	return l
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

// stage is the link at which Dial failed. Not tried: it failed before the first step, on a file that goes into the
// handshake.
func (t *trail) stage(err error, url string) (link int, tried bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch problem.CodeOf(err) {
	case "", uplink.BadURL, uplink.BadToken, uplink.BadCA, uplink.BadCert:
		return upgrade, false
	case uplink.NameNotFound:
		return dns, true
	case uplink.Refused, uplink.NoRoute, uplink.ProxyProblem:
		return tcp, true
	case uplink.Untrusted, uplink.CertTime, uplink.ClientCert, uplink.WrongTLS:
		return secure, true
	case uplink.Timeout, uplink.NoConnection:
		switch {
		case t.address == "":
			return tcp, true
		case strings.HasPrefix(url, "wss://") && !t.encrypted:
			return secure, true
		}
	}
	return upgrade, true
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
	l := Link{Name: name, State: OK}
	switch link {
	case dns:
		l.Seen = strings.Join(t.addresses, ", ")
		if l.Seen == "" {
			l.Seen = "an address, no name to look up"
		}
	case tcp:
		l.Seen = fmt.Sprintf("connected to %s in %d ms", t.address, t.connected.Milliseconds())
	case secure:
		if strings.HasPrefix(url, "ws://") {
			return Link{Name: name, State: Skipped, Seen: "not encrypted: the server's URL begins with ws://"}
		}
		l.Seen = tls.VersionName(t.tls.Version)
		if len(t.tls.PeerCertificates) > 0 {
			l.Seen += ", certificate valid until " + t.tls.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly)
		}
	case upgrade:
		l.Seen = fmt.Sprintf("the server speaks WebSocket, %d ms since the first step", time.Since(t.started).Milliseconds())
	}
	return l
}
