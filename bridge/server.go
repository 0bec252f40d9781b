package bridge

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/layer"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"

	"golang.org/x/sync/errgroup"
)

// Server is a tracking server: groups, publishers and viewers, no receiver.
type Server struct {
	relay   *relay.Relay
	layer   *layer.Layer // nil for a server alone
	drain   time.Duration
	tokens  tokenFiles
	log     *slog.Logger
	started time.Time
}

// NewServer puts a tracking server together and listens. Its errors are problems with the keys of [relay]. With one of listening
// the server is returned too.
func NewServer(c config.Server, log *slog.Logger) (*Server, error) {
	r := c.Config
	tokens := tokensOf(c)
	if err := tokens.read(&r); err != nil {
		return nil, err
	}
	s, err := buildServer(c, r, log)
	if err != nil {
		return nil, err
	}
	s.tokens = tokens
	return s, s.relay.Listen()
}

// CheckServer finds what is wrong with a configuration that NewServer would find, and opens nothing. A token that is made when the
// server starts is not missing, and a file that this process may not read counts as good.
func CheckServer(c config.Server) error {
	var errs []error
	r := c.Config
	for _, p := range problem.All(tokensOf(c).read(&r)) {
		if made := p.Key != "device_tokens_file" && errors.Is(p, fs.ErrNotExist); !made && !unseen(p) {
			errs = append(errs, p)
		}
	}
	if c.TokenFile != "" {
		r.Token = cmp.Or(r.Token, rand.Text())
	}
	_, err := buildServer(c, r, slog.New(slog.DiscardHandler))
	for _, p := range problem.All(err) {
		if !unseen(p) {
			errs = append(errs, p)
		}
	}
	return c.Explain("relay", errors.Join(errs...))
}

func tokensOf(c config.Server) tokenFiles {
	return tokenFiles{c.TokenFile, c.PublishTokenFile, c.DeviceTokensFile}
}

// buildServer makes a server of a configuration, with r for its relay.
func buildServer(c config.Server, r relay.Config, log *slog.Logger) (s *Server, err error) {
	s = &Server{log: log, started: time.Now(), drain: c.Drain}
	r.Status, r.Log, r.Compress = func() any { return s.Status() }, log, true
	r.Metrics = observe.ServerMetrics(Version(), func() []relay.Metric { return s.relay.Metrics() }, s.layerStatus)
	if err := s.join(c.Layer, &r); err != nil {
		return nil, err
	}
	s.relay, err = relay.New(r)
	return s, err
}

// join makes the layer that r is to serve groups of; none where c is nil.
func (s *Server) join(c *layer.Config, r *relay.Config) error {
	if c == nil {
		return nil
	}
	of := *c
	of.Log = s.log
	l, err := layer.Open(of)
	if err != nil {
		var all []error
		for _, p := range problem.All(err) {
			all = append(all, p.In("layer"))
		}
		return errors.Join(all...)
	}
	s.layer, r.Layer = l, l
	r.Ready = func() error {
		if p := s.layerStatus().Problem; p != nil {
			return p
		}
		return nil
	}
	if of.Durable != "none" {
		r.Retain = cmp.Or(of.Keep, layer.DefaultKeep)
	}
	return nil
}

// Run serves until ctx ends; then every member's connection is closed with 1001, going away: over the time that the configuration
// gives for that, while no client is admitted.
func (s *Server) Run(ctx context.Context) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.tokens.watch(ctx, s.Reload, s.log) })
	g.Go(func() error {
		defer stop()
		return s.relay.Serve(serving)
	})
	g.Go(func() error {
		defer stop()
		<-ctx.Done()
		s.relay.Drain(serving, s.drain)
		return nil
	})
	return g.Wait()
}

// Rebalance has all members connect again, a hundredth of them a second, so that a load balancer spreads them over the servers that
// there are now. It returns when it is done, or ctx ends.
func (s *Server) Rebalance(ctx context.Context) { s.relay.Rebalance(ctx) }

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
	return observe.ServerStatus{Role: "server", Version: Version(), Started: s.started, Now: time.Now(), Relay: rs, Layer: s.layerStatus()}
}

func (s *Server) layerStatus() *observe.LayerStatus {
	if s.layer == nil {
		return nil
	}
	return &observe.LayerStatus{Problem: problem.Of(s.layer.Ready()).In("relay.layer"), Stats: s.layer.Stats()}
}
