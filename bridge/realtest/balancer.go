package realtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

const (
	checkEvery   = 500 * time.Millisecond
	checkTimeout = 2 * time.Second
)

// StartBalancer returns a [Proxy] on a port of this machine that passes each connection on to the next of several tracking servers, each
// host:port as the host sees it (nil for this machine), that answers GET /healthz with 200, as HAProxy does with option httpchk. What is open
// stays open. It ends with the test.
func StartBalancer(t testing.TB, from *Host, targets ...string) *Proxy {
	t.Helper()
	dial := new(net.Dialer).DialContext
	if from != nil {
		dial = from.Dial
	}
	b := &balancer{targets: targets, healthy: make([]atomic.Bool, len(targets)), dial: dial}
	l, err := net.Listen("tcp", hostPort(FreePort(t)))
	if err != nil {
		t.Fatalf("start a balancer: %v", err)
	}
	p := proxyOn(t, l, b.next)
	for i := range targets {
		p.running.Go(func() { b.watch(p.ctx, i) })
	}
	return p
}

type balancer struct {
	targets []string
	healthy []atomic.Bool
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	last    atomic.Uint64
}

// watch asks a server for its health until ctx ends.
func (b *balancer) watch(ctx context.Context, i int) {
	transport := &http.Transport{DialContext: b.dial, DisableKeepAlives: true}
	for ctx.Err() == nil {
		b.healthy[i].Store(b.check(ctx, transport, b.targets[i]) == nil)
		select {
		case <-time.After(checkEvery):
		case <-ctx.Done():
		}
	}
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
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := errors.New("no server is healthy")
	for range b.targets {
		i := b.last.Add(1) % uint64(len(b.targets))
		if !b.healthy[i].Load() {
			continue
		}
		var c net.Conn
		if c, err = b.dial(ctx, "tcp", b.targets[i]); err == nil {
			return c, nil
		}
	}
	return nil, err
}
