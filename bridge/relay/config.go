package relay

import (
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

	"gpsbridge/bridge/problem"
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
	CodeTLSIncomplete   problem.Code = "relay-tls-incomplete"     // one of two files, or none for a self-signed certificate
	CodeCertificateFile problem.Code = "relay-certificate-failed" // it cannot be read, or made
)

// What a zero Config field means.
const (
	DefaultListen = "127.0.0.1:8947"
	// DefaultHistory is ten minutes at one fix a second, about 0.5 MB a device.
	DefaultHistory = 600
	// defaultQueue holds 25 s at 10 Hz: longer than a phone's radio sleeps, and
	// shorter than what still counts as live.
	defaultQueue = 256
	// defaultSlowTimeout is how long one frame may take, and how long a full queue
	// may go on losing messages. A viewer that could not take 500 bytes in ten
	// seconds is gone or does not read.
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
	// Token is what viewers must present; "" lets everyone watch.
	// PublishToken allows clients that present it to send; with "" only DeviceTokens do.
	// Both use the characters of RFC 7230's token, so that a browser can carry
	// them in Sec-WebSocket-Protocol.
	Token, PublishToken string
	// DeviceTokens, by device ID, are further tokens that allow a client
	// to send to that device's group, and to no other; see ReadDeviceTokens.
	DeviceTokens map[string][]string
	// CertFile and KeyFile, in PEM, make the relay speak TLS (https, wss). They
	// are read again after a change. With SelfSigned both are made when the
	// certificate is not there.
	CertFile, KeyFile string
	SelfSigned        bool
	// Origins are the web origins ("https://host[:port]") that may open a
	// WebSocket beside the relay's own.
	Origins []string
	// History is how many TPV are kept a device for members that join later; default
	// DefaultHistory, negative for none, at most 100,000.
	History int
	// Queue is how many messages wait for one viewer before the oldest are
	// dropped; default 256.
	Queue int
	// SlowTimeout closes a viewer that took nothing for so long, or that has not
	// caught up for so long since it began to lose messages; default
	// 10 s.
	SlowTimeout time.Duration
	// MaxMessage bounds a publisher's message in bytes; default DefaultMaxMessage. A longer one closes the connection with
	// 1009.
	MaxMessage int
	// MaxConns bounds the WebSockets that are open at a time; default
	// DefaultMaxConns. Above it a join is answered with 503.
	MaxConns int
	// Status gives what GET /api/v1/status answers with, as JSON. Without it the
	// answer is the relay's own Status in a server's shape.
	Status func() any
	// Ready reports whether GET /healthz is true; nil is always ready.
	Ready func() error
	// Metrics answers GET /metrics, for clients that may watch; nil for none.
	Metrics http.Handler
	// Basemap is the path of a .pmtiles file for the page's map, served with range
	// requests at /basemap.pmtiles to clients that may watch; "" for none.
	Basemap string
	// Log receives changes of state; nil logs nothing.
	Log *slog.Logger
}

// withDefaults fills the zero fields and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	switch {
	case c.History == 0:
		c.History = DefaultHistory
	case c.History < 0:
		c.History = 0
	case c.History > maxHistory:
		return c, &problem.Problem{Code: CodeHistoryTooLong, Key: "history", Cause: fmt.Sprintf("%d is too many fixes for a device", c.History),
			Fix: fmt.Sprintf("use %d or fewer", maxHistory)}
	}
	if c.Queue <= 0 {
		c.Queue = defaultQueue
	}
	if c.SlowTimeout <= 0 {
		c.SlowTimeout = defaultSlowTimeout
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = DefaultMaxMessage
	}
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(c.checkListen(), c.checkTokens(), c.checkOrigins(), c.checkTLS())
}

// checkListen refuses an address from which strangers could follow a vehicle
// without a token, unless the configuration allows it.
func (c Config) checkListen() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return &problem.Problem{Code: CodeListenInvalid, Key: "listen", Cause: fmt.Sprintf("%q is not host:port", c.Listen),
			Fix: fmt.Sprintf("write an address such as %q", DefaultListen), Err: err}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &problem.Problem{Code: CodeListenInvalid, Key: "listen", Cause: fmt.Sprintf("%q has no port", c.Listen),
			Fix: fmt.Sprintf("use a number from 0 to 65535, as in %q", DefaultListen), Err: err}
	}
	if c.Token == "" && !c.Open && !isLoopback(host) {
		return &problem.Problem{Code: CodeListenPublic, Key: "listen", Cause: fmt.Sprintf("%q is not a loopback address and no token protects it", c.Listen),
			Fix: `set a token file for viewers, or "open" to serve anyone`}
	}
	return nil
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

// isLoopback reports whether only this machine reaches host. A name other than
// localhost does not count: what it resolves to can change.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// minToken is 64 bits in the hex digits of a generator: too many to guess at any rate that the relay answers.
const minToken = 16

// checkTokens refuses tokens that are too short where others reach the relay, and tokens that mean two things.
func (c Config) checkTokens() error {
	host, _, _ := net.SplitHostPort(c.Listen)
	local := isLoopback(host)
	return errors.Join(checkToken("token_file", c.Token, local), checkToken("publish_token_file", c.PublishToken, local), c.checkDeviceTokens())
}

// checkToken refuses a token that a browser could not send, or that can be guessed from another machine. The error does not
// show it.
func checkToken(key, token string, local bool) error {
	switch {
	case token == "":
		return nil
	case strings.EqualFold(token, "none"):
		return &problem.Problem{Code: CodeTokenInvalid, Key: key, Cause: fmt.Sprintf("%q is not a token", token), Fix: makeToken}
	case !local && len(token) < minToken:
		return &problem.Problem{Code: CodeTokenInvalid, Key: key, Cause: fmt.Sprintf("the token is shorter than %d characters", minToken), Fix: makeToken}
	}
	for _, r := range token {
		if r > '~' || !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && !isAlnum(r) {
			return &problem.Problem{Code: CodeTokenInvalid, Key: key, Cause: fmt.Sprintf("the token has the character %q", r),
				Fix: "use letters, digits and !#$%&'*+-.^_`|~ only"}
		}
	}
	return nil
}

const makeToken = "make one with: openssl rand -hex 16"

func isAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// limits are the bounds of the hub that follow from a Config, and those that
// are the project's own. Tests make them small.
type limits struct {
	history     int // TPV kept a device
	queue       int // messages waiting for one viewer
	queueBytes  int // the same in bytes: one publisher's large frames must not fill the memory
	queuedBytes int // all that waits for members, each message once
	message     int // bytes of a publisher's message
	publishers  int // members of one group that send
	answers     int // bytes of large answers that clients have not read yet
	totalBytes  int // all that the groups keep
	groups      int // groups at a time
	conns       int // members at a time

	slow   time.Duration // one write, of a frame or a few, may take so long
	ping   time.Duration // between pings
	pong   time.Duration // silence that means a dead peer
	linger time.Duration // for the close handshake
	forget time.Duration // a group without members and messages for so long is forgotten
}

func (c Config) limits() limits {
	return limits{
		history: c.History,
		queue:   c.Queue,
		// 16 of the largest messages, and 2,000 fixes.
		queueBytes: 1 << 20,
		// The full queues of 180 viewers that read nothing, of different devices, at 700 bytes a message.
		queuedBytes: 32 << 20,
		message:     c.MaxMessage,
		// A tracker sends on one connection. Others may be left from before its network was lost, until they are found dead.
		publishers: 8,
		// The track of 100,000 fixes, or 500 of a default history.
		answers: 32 << 20,
		// The whole history of 120 devices, or 10 kB each for 6,500.
		totalBytes: 64 << 20,
		groups:     10_000,
		conns:      c.MaxConns,
		slow:       c.SlowTimeout,
		// Below the 30 s after which the strictest mobile networks forget an
		// idle TCP connection; two pings may go unanswered.
		ping:   20 * time.Second,
		pong:   50 * time.Second,
		linger: time.Second,
		// A vehicle parked over a weekend keeps its last position.
		forget: 7 * 24 * time.Hour,
	}
}
