package relay

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	shared "gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/track"
)

// Codes of what New, Listen and ReadDeviceTokens find wrong. The keys of the problems are those of the section [relay].
const (
	CodeListenInvalid   problem.Code = "relay-listen-invalid"     // not host:port
	CodeListenPublic    problem.Code = "relay-listen-public"      // others reach the address, and no token is set
	CodeAddressInUse    problem.Code = "relay-address-in-use"     // another program listens there
	CodePortPrivileged  problem.Code = "relay-port-privileged"    // below 1024
	CodeAddressMissing  problem.Code = "relay-address-missing"    // no interface has the address
	CodeListenFailed    problem.Code = "relay-listen-failed"      // any other error of listen(2)
	CodeTokenInvalid    problem.Code = "relay-token-invalid"      // characters, length, or the file around it
	CodeTokenShared     problem.Code = "relay-token-shared"       // one token for viewers and publishers
	CodeOriginInvalid   problem.Code = "relay-origin-invalid"     // not scheme://host[:port]
	CodeHistoryTooLong  problem.Code = "relay-history-too-long"   // more than maxHistory
	CodeAuthURLInvalid  problem.Code = "relay-auth-url-invalid"   // not http(s)://host/path
	CodeTLSIncomplete   problem.Code = "relay-tls-incomplete"     // one of two files, or none for a self-signed certificate
	CodeCertificateFile problem.Code = "relay-certificate-failed" // it cannot be read, or made
)

// What a zero Config field means.
const (
	DefaultListen = "127.0.0.1:8947"
	// DefaultHistory is ten minutes at one fix a second, about 0.5 MB a device.
	DefaultHistory = 600
	// defaultQueue holds 25 s at 10 Hz: longer than a phone's radio sleeps, and shorter than what still counts as live.
	defaultQueue = 256
	// defaultSlowTimeout is how long one frame may take, and how long a full queue may go on losing messages. A viewer that
	// could not take 500 bytes in ten seconds is gone or does not read.
	defaultSlowTimeout = 10 * time.Second
	// DefaultMaxMessage is 140 fixes, or the satellites of 7 receivers.
	DefaultMaxMessage = 64 << 10
	// DefaultMaxConns is far above what one vehicle needs, and costs under 100 MB.
	DefaultMaxConns = 4096
)

// maxHistory bounds Config.History: 100,000 fixes are 45 MB a device.
const maxHistory = 100_000

// Config is what a Relay serves and to which clients. Zero fields have defaults.
type Config struct {
	// Listen is "host:port"; default DefaultListen. Port 0 picks a free one.
	Listen string
	// Open allows a Listen that is not loopback without a Token.
	Open bool
	// Token is what viewers must present; "" lets everyone watch. PublishToken allows clients that present it to send; with
	// "" only DeviceTokens do. Both use the characters of RFC 7230's token, so that a browser can carry them in
	// Sec-WebSocket-Protocol.
	Token, PublishToken string
	// DeviceTokens, by device ID, are further tokens that allow a client to send to that device's group, and to no other;
	// see ReadDeviceTokens.
	DeviceTokens map[string][]string
	// AuthURL is the address of a view that is asked about each client that presents no token of these, whether it may connect: a GET
	// with the headers Cookie, Authorization and Origin as the client sent them, X-Gpsbridge-Device and X-Gpsbridge-Role. 2xx allows it,
	// 401, 403 and a redirection refuse it. "" asks for nothing.
	AuthURL string
	// CertFile and KeyFile, in PEM, make the relay speak TLS (https, wss). They are read again after a change. With
	// SelfSigned both are made when the certificate is not there.
	CertFile, KeyFile string
	SelfSigned        bool
	// Origins are the web origins ("https://host[:port]") that may open a WebSocket beside the relay's own.
	Origins []string
	// Proxies are load balancers on other machines: what comes from their addresses is bounded in all, as from this machine, and not for each
	// address. Only they know which client to throttle.
	Proxies []netip.Prefix
	// History is how many TPV are kept a device for members that join later; default DefaultHistory, negative for none, at
	// most 100,000.
	History int
	// Queue is how many messages wait for one viewer before the oldest are dropped; default 256.
	Queue int
	// SlowTimeout closes a viewer that took nothing for so long, or that has not caught up for so long since it began to
	// lose messages; default 10 s.
	SlowTimeout time.Duration
	// MaxMessage bounds a publisher's message in bytes; default DefaultMaxMessage. A longer one closes the connection with
	// 1009.
	MaxMessage int
	// MaxConns bounds the WebSockets that are open at a time; default DefaultMaxConns. Above it a join is answered with 503.
	MaxConns int
	// Layer carries the messages of groups between several relays; nil where this one has groups of its own. Serve runs it.
	Layer shared.Layer
	// Retain is for how long trackers are asked to keep what was acknowledged, because the layer may lose it; 0 for not.
	Retain time.Duration
	// Admit bounds the WebSockets that are opened a second; 0 for no bound. Above it a client is answered with 503 and when to come
	// again.
	Admit int
	// Compress allows permessage-deflate (RFC 7692): to publishers that offer it, and to viewers that do and whose round trip is 20 ms or
	// more, up to 2,048 connections at a time.
	Compress bool
	// Status gives what GET /api/v1/status answers with, as JSON. It is required, and asked once the relay serves.
	Status func() any
	// Ready reports whether GET /healthz is true; nil is always ready.
	Ready func() error
	// Metrics answers GET /metrics, for clients that may watch; nil for none.
	Metrics http.Handler
	// Track returns what the program keeps of a device's track, nil for nothing: then, and while it is empty, a track is made of the
	// fixes of History. nil keeps nothing.
	Track func(device string) *track.Day
	// Basemap is the path of a .pmtiles file for the page's map, served with range requests at /basemap.pmtiles to clients
	// that may watch; "" for none.
	Basemap string
	// Log receives changes of state; nil logs nothing.
	Log *slog.Logger
}

// withDefaults fills the zero fields and checks the rest.
func (c Config) withDefaults() (Config, error) {
	c.Listen = cmp.Or(c.Listen, DefaultListen)
	c.History = max(0, cmp.Or(c.History, DefaultHistory))
	c.Queue = cmp.Or(c.Queue, defaultQueue)
	c.SlowTimeout = cmp.Or(c.SlowTimeout, defaultSlowTimeout)
	c.MaxMessage = cmp.Or(c.MaxMessage, DefaultMaxMessage)
	c.MaxConns = cmp.Or(c.MaxConns, DefaultMaxConns)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.History > maxHistory {
		return c, &problem.Problem{Code: CodeHistoryTooLong, Key: "history", Cause: fmt.Sprintf("%d is too many fixes for a device", c.History),
			Fix: fmt.Sprintf("use %d or fewer", maxHistory)}
	}
	return c, errors.Join(c.checkListen(), c.checkTokens(), c.checkOrigins(), c.checkAuthURL(), c.checkTLS())
}

// checkListen refuses an address from which strangers could follow a vehicle without a token, unless the configuration
// allows it.
func (c Config) checkListen() error {
	bad := func(code problem.Code, cause, fix string) error {
		return &problem.Problem{Code: code, Key: "listen", Cause: fmt.Sprintf("%q ", c.Listen) + cause, Fix: fix}
	}
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return bad(CodeListenInvalid, "is not host:port", fmt.Sprintf("write an address such as %q", DefaultListen))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return bad(CodeListenInvalid, "has no port", fmt.Sprintf("use a number from 0 to 65535, as in %q", DefaultListen))
	}
	if c.Token == "" && c.AuthURL == "" && !c.Open && !c.local() {
		return bad(CodeListenPublic, "is not a loopback address and no token protects it", `set a token file for viewers, or "open" to serve anyone`)
	}
	return nil
}

// local reports whether only this machine reaches Listen. A name other than localhost does not count: what it resolves to
// can change.
func (c Config) local() bool {
	host, _, _ := net.SplitHostPort(c.Listen)
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

func (c Config) checkOrigins() error {
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || strings.TrimSuffix(u.Path, "/") != "" {
			return &problem.Problem{Code: CodeOriginInvalid, Key: "origins", Cause: fmt.Sprintf("%q is not an origin", o),
				Fix: `write scheme://host[:port], such as "https://map.example"`}
		}
	}
	return nil
}

// limits are the bounds of the hub that follow from a Config, and those that are the project's own. Tests make them small.
type limits struct {
	history int           // TPV kept a device
	queue   int           // messages waiting for one viewer
	message int           // bytes of a publisher's message
	conns   int           // members at a time
	slow    time.Duration // one write, of a frame or a few, may take so long

	queueBytes  int // waiting for one viewer: 16 of the largest messages, or 2,000 fixes
	queuedBytes int // all that waits for members, each message once: the full queues of 180 viewers of different devices, 700 bytes a message
	publishers  int // members of one group that send with one token. A tracker has one; others may be left from a lost network
	answers     int // bytes of large answers that clients have not read yet: the track of 100,000 fixes, or 500 of a default history
	totalBytes  int // all that the groups keep: the whole history of 120 devices, or 10 kB each for 6,500
	groups      int // groups at a time: no fewer than members

	packed int           // members with compression, which needs 9 kB for each (BenchmarkIdleViewer)
	far    time.Duration // round trip from which a viewer gets it: more than that of Wi-Fi, less than that of mobile networks

	ping   time.Duration // of silence before a ping, and between pings: below the 30 s after which the strictest mobile networks forget an idle TCP connection
	pong   time.Duration // silence that means a dead peer: two pings may go unanswered
	linger time.Duration // for the close handshake
	forget time.Duration // a group without members and messages for so long is forgotten; with a layer, one without members
}

func (c Config) limits() limits {
	packed := 0
	if c.Compress {
		packed = 2048
	}
	// Without a layer nothing else keeps a group's messages: those of a vehicle that is parked over a weekend stay. With one, others
	// need what a group costs there, and a page that is opened again finds it.
	forget := 7 * 24 * time.Hour
	if c.Layer != nil {
		forget = 30 * time.Second
	}
	return limits{
		packed: packed, far: 20 * time.Millisecond,
		history: c.History, queue: c.Queue, message: c.MaxMessage, conns: c.MaxConns, slow: c.SlowTimeout,
		queueBytes: 1 << 20, queuedBytes: 32 << 20, publishers: 8, answers: 32 << 20, totalBytes: 64 << 20, groups: max(10_000, c.MaxConns),
		ping: 20 * time.Second, pong: 50 * time.Second, linger: time.Second, forget: forget,
	}
}
