package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gpsbridge/bridge/realtest/django"
)

// wireServer is a tracking server that serves TLS itself.
type wireServer struct {
	name     string // for --servers
	title    string // in the table
	missing  func() error
	short    bool // it acknowledges in short to those that ask
	declines bool // it does not compress
	start    func(ctx context.Context, n *network, dir string) (*wireServing, error)
}

// wireServerNames are what --servers may name: "other" are the other protocols.
var wireServerNames = []string{"uvicorn", "uvicorn-ack", "hypercorn", "daphne", "relay", "other"}

func wireServers(gpsbridge string) []wireServer {
	const host, port = serverAddr, serverPort
	uvicorn := func(cert, key string) []string {
		return []string{"uvicorn", "--ws", "websockets", "--host", host, "--port", port, "--ssl-certfile", cert, "--ssl-keyfile", key}
	}
	lacksUvicorn := lacks("uvicorn python3-websockets", "django", "channels", "uvicorn", "websockets")
	return []wireServer{
		{name: "uvicorn", title: "Uvicorn", missing: lacksUvicorn, start: asgi(uvicorn)},
		{name: "uvicorn-ack", title: "Uvicorn, short acks", missing: lacksUvicorn, short: true, start: asgi(uvicorn, "TRACKING_SHORT_ACKS=1")},
		{name: "hypercorn", title: "Hypercorn", missing: lacks("python3-hypercorn", "django", "channels", "hypercorn"), start: asgi(func(cert, key string) []string {
			return []string{"hypercorn", "--bind", net.JoinHostPort(host, port), "--certfile", cert, "--keyfile", key}
		})},
		{name: "daphne", title: "Daphne", declines: true,
			missing: lacks("daphne python3-openssl python3-service-identity", "django", "channels", "daphne", "OpenSSL", "service_identity"),
			start: asgi(func(cert, key string) []string {
				return []string{"daphne", "-e", "ssl:" + port + ":interface=" + host + ":certKey=" + cert + ":privateKey=" + key}
			})},
		{name: "relay", title: "gpsbridge relay", missing: func() error { return nil }, short: true,
			start: func(ctx context.Context, n *network, dir string) (*wireServing, error) {
				return startWireRelay(ctx, gpsbridge, n, dir)
			}},
	}
}

// lacks returns what finds out whether Python lacks modules, and names the packages that bring them.
func lacks(packages string, modules ...string) func() error {
	return func() error {
		if django.Lacks(modules...) != nil {
			return fmt.Errorf("not installed: %spython3-django python3-django-channels %s", apt, packages)
		}
		return nil
	}
}

// asgi returns what starts the project in bridge/django with its plain consumer, by a Python module with arguments, and with further settings.
func asgi(module func(cert, key string) []string, settings ...string) func(ctx context.Context, n *network, dir string) (*wireServing, error) {
	return func(ctx context.Context, n *network, dir string) (*wireServing, error) {
		cmd, err := django.Run(dir, append(append([]string{"-m"}, module(n.cert, n.key)...), "tracking.asgi:application")...)
		if err != nil {
			return nil, err
		}
		cmd.Env = append(append(cmd.Env, "TRACKING_CONSUMER=tracking.consumers.TrackingConsumer"), settings...)
		return serveWire(ctx, n, cmd)
	}
}

func startWireRelay(ctx context.Context, path string, n *network, dir string) (*wireServing, error) {
	trackers, viewers := filepath.Join(dir, "trackers"), filepath.Join(dir, "viewers")
	cmd := exec.Command(path, "relay", "--listen", net.JoinHostPort(serverAddr, serverPort), "--publish-token-file", trackers,
		"--token-file", viewers, "--tls-cert-file", n.cert, "--tls-key-file", n.key)
	cmd.Env = cleanEnvironment()
	s, err := serveWire(ctx, n, cmd)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(viewers)
	if err != nil {
		s.end()
		return nil, fmt.Errorf("read the relay's token: %w", err)
	}
	s.uplink = fmt.Sprintf("token_file = %q", trackers)
	s.viewer = http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}}
	return s, nil
}

// serveWire starts a server at the server's host, and returns when it listens.
func serveWire(ctx context.Context, n *network, cmd *exec.Cmd) (*wireServing, error) {
	p, err := start("server", n.server.Command(cmd))
	if err != nil {
		return nil, err
	}
	s := &wireServing{end: func() { stop(p) }}
	if err := p.Await(ctx, startTimeout, n.listens); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}
