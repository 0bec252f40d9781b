package bridge

import (
	"context"
	"log/slog"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/relay"

	"golang.org/x/sync/errgroup"
)

// Server is a tracking server: groups, publishers and viewers, no receiver.
type Server struct {
	relay   *relay.Relay
	tokens  tokenFiles
	log     *slog.Logger
	started time.Time
}

// NewServer puts a tracking server together and listens. Its errors are problems with the keys of [relay]. With one of listening
// the server is returned too.
func NewServer(c config.Server, log *slog.Logger) (*Server, error) {
	s := &Server{log: log, started: time.Now()}
	s.tokens = tokenFiles{c.TokenFile, c.PublishTokenFile, c.DeviceTokensFile}
	r := c.Config
	if err := s.tokens.read(&r); err != nil {
		return nil, err
	}
	r.Status, r.Log, r.Compress = func() any { return s.Status() }, log, true
	r.Metrics = observe.ServerMetrics(Version(), func() []relay.Metric { return s.relay.Metrics() })
	var failed error
	if s.relay, failed = relay.New(r); failed != nil {
		return nil, failed
	}
	return s, s.relay.Listen()
}

// Run serves until ctx ends; then every member's connection is closed with 1001, going away.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.tokens.watch(ctx, s.Reload, s.log) })
	g.Go(func() error { return s.relay.Serve(ctx) })
	return g.Wait()
}

// Reload reads the files of tokens again, and closes what was opened with a token that is not in them any more. An error
// leaves the tokens as they were.
func (s *Server) Reload() error { return s.tokens.apply(s.relay) }

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
