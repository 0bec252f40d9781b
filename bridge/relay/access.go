package relay

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/gorilla/websocket"
)

// The subprotocols of the page. A browser cannot set headers on a WebSocket, so its token comes as a subprotocol beside the
// one that is answered.
const (
	subprotocol      = "gpsbridge.v1"
	subprotocolToken = "gpsbridge.token."
)

// role is what a client may do; each includes the one before.
type role int

const (
	stranger role = iota
	watcher
	sender
)

// grant is what a client may do in one group, and the token that allows it; "" where none is needed. Where the application was asked,
// the token stands for all credentials of the client.
type grant struct {
	role  role
	token string
	asked bool
}

// access decides which client may do what. Set once: other tokens are another access.
type access struct {
	Config
	origins map[string]bool // "scheme://host[:port]", lower case
	hosts   map[string]bool // names under which a relay without a token answers
}

func newAccess(c Config) *access {
	a := &access{c, make(map[string]bool), map[string]bool{"localhost": true}}
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

// Errors of presenting tokens.
var (
	errWrongToken = denied{http.StatusUnauthorized, "the token in Authorization is not one of this relay, or is another device's"}
	errNoToken    = denied{http.StatusUnauthorized, "a token is needed: Authorization: Bearer TOKEN, or the page's address with #token=TOKEN"}
	errManyTokens = denied{http.StatusUnauthorized, "too many tokens: present one in Authorization, or one as a subprotocol"}
)

// presented returns the tokens of a request: the one in Authorization, and those among the subprotocols. The scheme is
// case-insensitive (RFC 9110, section 11.1).
func presented(r *http.Request) (header string, protocols []string) {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		header = strings.TrimLeft(token, " ")
	}
	for _, p := range websocket.Subprotocols(r) {
		if token, ok := strings.CutPrefix(p, subprotocolToken); ok {
			protocols = append(protocols, token)
		}
	}
	return header, protocols
}

// grant returns what the tokens of r allow in the group of device, "" for what concerns every device, and how many tokens it
// compared. A token in Authorization that is not known is refused even where none is needed: a tracker with a wrong token
// must learn that, and not wait for echoes.
func (a *access) grant(r *http.Request, device string) (g grant, compared int, err error) {
	header, protocols := presented(r)
	if len(protocols) > 1 {
		return grant{}, 0, errManyTokens
	}
	if header != "" {
		protocols = append([]string{header}, protocols...)
	}
	for i, token := range protocols {
		compared++
		switch role := a.roleOf(token, device); {
		case role != stranger:
			return grant{role: role, token: token}, compared, nil
		case i == 0 && header != "" && a.guarded():
			return grant{}, compared, errWrongToken
		}
	}
	if a.Token == "" && a.AuthURL == "" {
		return grant{role: watcher}, compared, nil
	}
	return grant{}, compared, errNoToken
}

func (a *access) guarded() bool {
	return a.PublishToken != "" || a.Token != "" || len(a.DeviceTokens) > 0
}

// allows reports whether a grant that was given earlier holds under these tokens too. What the application has allowed holds until the
// connection ends.
func (a *access) allows(g grant, device string) bool {
	if g.asked {
		return true
	}
	if g.token == "" {
		return a.Token == "" && g.role <= watcher
	}
	return a.roleOf(g.token, device) >= g.role
}

// roleOf returns what one token allows.
func (a *access) roleOf(given, device string) role {
	role := stranger
	if same(given, a.Token) {
		role = watcher
	}
	for _, token := range append([]string{a.PublishToken}, a.DeviceTokens[device]...) {
		if same(given, token) {
			role = sender
		}
	}
	return role
}

// same compares in a time that reveals nothing of the tokens, not even a length. A token that is not set never matches.
func same(given, want string) bool {
	g, w := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return want != "" && subtle.ConstantTimeCompare(g[:], w[:]) == 1
}

// checkOrigin refuses WebSockets that a page of another site opened. Programs send no Origin, or their server's own.
func (a *access) checkOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || a.origins[strings.ToLower(origin)] {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	return denied{http.StatusForbidden, fmt.Sprintf("origin %q is not allowed: add it to relay.origins", origin)}
}

// checkHost refuses names that are not this machine's while no token protects the relay. Otherwise any web site whose name
// is made to resolve to 127.0.0.1 would be of the relay's own origin and could follow the vehicle.
func (a *access) checkHost(r *http.Request) error {
	if a.Token != "" || a.AuthURL != "" || a.Open {
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
	return denied{http.StatusForbidden, fmt.Sprintf("host %q is not this machine: add http://%s to relay.origins, or set relay.token_file", r.Host, r.Host)}
}
