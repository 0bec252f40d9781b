package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
)

// ServerConfig is what the relay needs to be a tracking server of its own.
type ServerConfig struct {
	Listen       string   // host:port
	Open         bool     // serve viewers without a token on an address that is not loopback
	ViewerToken  string   // file with the viewers' token, "" for none
	PublishToken string   // the token that trackers present, "" for those of DeviceTokens alone
	DeviceTokens string   // file with a device ID and its token a line, "" for none; see relay.ReadDeviceTokens
	Origins      []string // further origins that pages may come from
	History      int      // messages kept a device
	MaxConns     int      // WebSockets at a time; 0: package relay's default
	Basemap      string   // a .pmtiles file for the page's map, "" for none
	Cert, Key    string   // files of a certificate for TLS, "" for none
	SelfSigned   bool     // they are made when they are not there
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
	viewers, err := config.ReadSecret(c.ViewerToken)
	if err != nil {
		return nil, fmt.Errorf("relay.token_file: %w", err)
	}
	tokens, err := readDeviceTokens(c.DeviceTokens)
	if err != nil {
		return nil, inSection("relay", err)
	}
	s.relay, err = relay.New(relay.Config{
		Listen: c.Listen, Open: c.Open, Token: viewers, PublishToken: c.PublishToken, DeviceTokens: tokens, Origins: c.Origins,
		History: kept(c.History), MaxConns: c.MaxConns, Basemap: c.Basemap,
		CertFile: c.Cert, KeyFile: c.Key, SelfSigned: c.SelfSigned,
		Status: func() any { return s.Status() }, Metrics: observe.ServerMetrics(Version(), func() []relay.Metric { return s.relay.Metrics() }), Log: log,
	})
	if err != nil {
		return nil, inSection("relay", err)
	}
	return s, inSection("relay", s.relay.Listen())
}

// readDeviceTokens reads a file of tokens; none when there is no file to read.
func readDeviceTokens(path string) (map[string][]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, deviceTokensProblem(err.Error(), err)
	}
	defer f.Close()
	tokens, err := relay.ReadDeviceTokens(f)
	switch {
	case err != nil:
		return nil, err
	case len(tokens) == 0:
		return nil, deviceTokensProblem(path+" has no token", nil)
	}
	return tokens, nil
}

func deviceTokensProblem(cause string, err error) *problem.Problem {
	return &problem.Problem{Code: relay.CodeTokenInvalid, Key: "device_tokens_file", Cause: cause,
		Fix: "name a file with a device ID and its token a line", Err: err}
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

// Token reads a token from a file, and makes both when the file is not there: 128 random bits, readable by the owner alone.
func Token(path string) (string, error) {
	token, err := config.ReadSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	token = rand.Text()
	return token, os.WriteFile(path, []byte(token+"\n"), 0o600)
}
