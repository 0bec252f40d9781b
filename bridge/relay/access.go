package relay

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/gorilla/websocket"
)

// The subprotocols of the page. A browser cannot set headers on a WebSocket, so
// its token comes as a subprotocol beside the one that is answered.
const (
	subprotocol      = "gpsbridge.v1"
	subprotocolToken = "gpsbridge.token."
)

// role is what a client may do.
type role int

const (
	stranger role = iota
	watcher
	sender
)

// access decides who may do what. Set once.
type access struct {
	token, publish string
	devices        map[string][]string // further tokens that send, by device ID
	origins        map[string]bool     // "scheme://host[:port]", lower case
	hosts          map[string]bool     // names under which a relay without a token answers
	anyHost        bool
}

func newAccess(c Config) *access {
	a := &access{
		token: c.Token, publish: c.PublishToken, devices: c.DeviceTokens,
		origins: make(map[string]bool), hosts: map[string]bool{"localhost": true},
		anyHost: c.Token != "" || c.Open,
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err == nil {
			a.origins[strings.ToLower(u.Scheme+"://"+u.Host)] = true
			a.hosts[strings.ToLower(u.Hostname())] = true
		}
	}
	if name, err := os.Hostname(); err == nil {
		a.hosts[strings.ToLower(name)] = true
		a.hosts[strings.ToLower(name)+".local"] = true
	}
	return a
}

// role says what the tokens that r presents allow in the group of device, "" for
// what concerns every device. A token in Authorization that is not known is
// refused even where none is needed: a tracker with a wrong token must hear so,
// and not wait for echoes.
func (a *access) role(r *http.Request, device string) (role, error) {
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		who := a.roleOf(given, device)
		if who == stranger && (a.publish != "" || a.token != "" || len(a.devices) > 0) {
			return stranger, errors.New("the token in Authorization is not one of this relay, or is another device's")
		}
		if who != stranger {
			return who, nil
		}
	}
	for _, p := range websocket.Subprotocols(r) {
		if given, ok := strings.CutPrefix(p, subprotocolToken); ok {
			if who := a.roleOf(given, device); who != stranger {
				return who, nil
			}
		}
	}
	if a.token == "" {
		return watcher, nil
	}
	return stranger, fmt.Errorf("a token is needed: Authorization: Bearer TOKEN, or the page's address with #token=TOKEN")
}

// roleOf is what one token allows.
func (a *access) roleOf(given, device string) role {
	who := stranger
	if same(given, a.token) {
		who = watcher
	}
	for _, token := range append([]string{a.publish}, a.devices[device]...) {
		if same(given, token) {
			who = sender
		}
	}
	return who
}

// same compares in a time that tells nothing of the tokens, not even a length.
// An unset token is never the same.
func same(given, want string) bool {
	g, w := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return want != "" && subtle.ConstantTimeCompare(g[:], w[:]) == 1
}

// checkOrigin refuses WebSockets that a page of another site opened. Programs
// send no Origin, or their server's own.
func (a *access) checkOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || a.origins[strings.ToLower(origin)] {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	return fmt.Errorf("origin %q is not allowed: add it to relay.origins", origin)
}

// checkHost refuses names that are not this machine's while no token guards the
// relay. Without it any web site whose name is made to resolve to 127.0.0.1
// would be of the relay's own origin and could follow the vehicle.
func (a *access) checkHost(r *http.Request) error {
	if a.anyHost {
		return nil
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err == nil || host == "" || a.hosts[host] {
		return nil
	}
	return fmt.Errorf("host %q is not this machine: add http://%s to relay.origins, or set relay.token_file", r.Host, r.Host)
}
