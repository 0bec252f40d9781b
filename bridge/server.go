package bridge

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
)

// ServerConfig is what the relay needs to be a tracking server of its own. Its tokens are read from files, "" for none.
type ServerConfig struct {
	relay.Config
	TokenFile        string // with the viewers' token
	PublishTokenFile string // with the token that trackers present
	DeviceTokensFile string // with a device ID and its token a line; see relay.ReadDeviceTokens
}

// Server is a tracking server: groups, publishers and viewers, no receiver.
type Server struct {
	relay   *relay.Relay
	log     *slog.Logger
	started time.Time
}

// NewServer puts a tracking server together and takes its address; an error names what to change. Where it is the address
// that cannot be taken, the server comes with it.
func NewServer(c ServerConfig, log *slog.Logger) (*Server, error) {
	s := &Server{log: log, started: time.Now()}
	r := c.Config
	var err [3]error
	r.Token, err[0] = readToken("token_file", c.TokenFile)
	r.PublishToken, err[1] = readToken("publish_token_file", c.PublishTokenFile)
	r.DeviceTokens, err[2] = readDeviceTokens(c.DeviceTokensFile)
	if err := errors.Join(err[:]...); err != nil {
		return nil, err
	}
	r.Status, r.Log = func() any { return s.Status() }, log
	r.Metrics = observe.ServerMetrics(Version(), func() []relay.Metric { return s.relay.Metrics() })
	var failed error
	if s.relay, failed = relay.New(r); failed != nil {
		return nil, failed
	}
	return s, s.relay.Listen()
}

// readDeviceTokens reads the trackers' file of tokens; none without a file.
func readDeviceTokens(path string) (map[string][]string, error) {
	if path == "" {
		return nil, nil
	}
	bad := func(cause string, err error) error {
		return &problem.Problem{Code: relay.CodeTokenInvalid, Key: "device_tokens_file", Cause: cause,
			Fix: "name a file with a device ID and its token a line", Err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bad(err.Error(), err)
	}
	defer f.Close()
	tokens, err := relay.ReadDeviceTokens(f)
	if err == nil && len(tokens) == 0 {
		return nil, bad(path+" has no token", nil)
	}
	return tokens, err
}

// Run serves until ctx ends; then every member is told 1001, going away.
func (s *Server) Run(ctx context.Context) error { return s.relay.Serve(ctx) }

// Addr returns host:port.
func (s *Server) Addr() string { return s.relay.Addr().String() }

// URL returns where the page is.
func (s *Server) URL() string { return s.relay.URL() }

// Fingerprint returns the SHA-256 of the certificate as browsers show it, "" without TLS.
func (s *Server) Fingerprint() string { return s.relay.Fingerprint() }

// Status returns the state of the groups.
func (s *Server) Status() observe.ServerStatus {
	rs := s.relay.Status()
	rs.Problem = rs.Problem.In("relay")
	return observe.ServerStatus{Role: "server", Version: Version(), Started: s.started, Now: time.Now(), Relay: rs}
}
