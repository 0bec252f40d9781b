package realtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A server is given up after checkFall checks without a good answer, as HAProxy does with inter 1s fall 3.
const (
	checkEvery   = time.Second
	checkTimeout = time.Second
	checkFall    = 3
)

// StartBalancer returns a [Proxy] on a port of this machine that passes each connection on to the next of several tracking servers, each
// host:port as the host sees it (nil for this machine), that answers GET /healthz with 200, as HAProxy does with option httpchk. The connections
// to one that does not any more are closed (on-marked-down shutdown-sessions). It ends with the test.
func StartBalancer(t testing.TB, from *Host, targets ...string) *Proxy {
	t.Helper()
	dial := new(net.Dialer).DialContext
	if from != nil {
		dial = from.Dial
	}
	b := &balancer{dial: dial}
	for _, target := range targets {
		b.servers = append(b.servers, &balanced{target: target})
	}
	l, err := net.Listen("tcp", hostPort(FreePort(t)))
	if err != nil {
		t.Fatalf("start a balancer: %v", err)
	}
	p := proxyOn(t, l, b.next)
	for _, s := range b.servers {
		p.running.Go(func() { b.watch(p.ctx, s) })
	}
	return p
}

type balancer struct {
	servers []*balanced
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	last    atomic.Uint64
}

// balanced is one of the servers.
type balanced struct {
	target string

	mu      sync.Mutex
	healthy bool
	open    []net.Conn // since it was healthy; closed ones are among them
}

// watch asks a server for its health until ctx ends.
func (b *balancer) watch(ctx context.Context, s *balanced) {
	transport := &http.Transport{DialContext: b.dial, DisableKeepAlives: true}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for failed := 0; ctx.Err() == nil; {
		if b.check(ctx, transport, s.target) == nil {
			failed = 0
		} else {
			failed++
		}
		s.judge(failed)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// judge takes how many of the last checks have failed.
func (s *balanced) judge(failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case failed == 0:
		s.healthy = true
	case failed >= checkFall:
		s.healthy = false
		for _, c := range s.open {
			_ = c.Close()
		}
		s.open = nil
	}
}

// take notes a connection to the server.
func (s *balanced) take(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, c)
}

func (s *balanced) isHealthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.healthy
}

func (b *balancer) check(ctx context.Context, transport *http.Transport, target string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(ask)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", target, answer.Status)
	}
	return nil
}

// next connects to the next server that is healthy and accepts.
func (b *balancer) next(ctx context.Context) (net.Conn, error) {
	err := errors.New("no server is healthy")
	for range b.servers {
		s := b.servers[b.last.Add(1)%uint64(len(b.servers))]
		if !s.isHealthy() {
			continue
		}
		var c net.Conn
		if c, err = b.connect(ctx, s.target); err == nil {
			s.take(c)
			return c, nil
		}
	}
	return nil, err
}

func (b *balancer) connect(ctx context.Context, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return b.dial(ctx, "tcp", target)
}
