package layer

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/problem"
)

// dialTimeout bounds connecting, TLS and the login.
const dialTimeout = 2 * time.Second

// session is one set of connections to all hosts. When one of them is not what it was, the session ends and another one begins: no
// connection stays on a server that is no longer the master.
type session struct {
	hosts []*host // in Django's order
	// ctx ends with the session, and its cause is why. The connections are closed then, and so commands in flight fail.
	ctx context.Context
	end context.CancelCauseFunc

	tls      *tls.Config
	watching sync.WaitGroup // of Sentinels
}

// host is one master.
type host struct {
	target  target
	address string
	// client pipelines commands over one connection: those of one goroutine are done in order. Commands that block (WAIT, BZPOPMIN) go
	// over connections of their own, as does a DoMulti that holds one.
	client rueidis.Client
	// bus is the connection that subscribes.
	bus       rueidis.DedicatedClient
	probes    atomic.Uint64 // how many of this node's messages to itself have come back
	sentinels []sentinel
}

// newSession is a session that has not connected yet. It does not end with ctx, so that its owner can take leave.
func (c Config) newSession(ctx context.Context) (*session, error) {
	targets, err := c.targets()
	if err != nil {
		return nil, err
	}
	authorities, err := c.authorities()
	if err != nil {
		return nil, err
	}
	s := &session{tls: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}}
	s.ctx, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	for _, t := range targets {
		s.hosts = append(s.hosts, &host{target: t, address: t.addresses[0]})
	}
	return s, nil
}

// connect reaches every host, and makes sure that each is a master.
func (s *session) connect() error {
	var all errgroup.Group
	for _, h := range s.hosts {
		all.Go(func() error { return h.connect(s) })
	}
	return all.Wait()
}

// host returns the host that Django's ring gives for the name of a key or channel.
func (s *session) host(name string) *host { return s.hosts[event.Host(name, len(s.hosts))] }

// check takes the error of each command: nil, Redis' nil and the error of a context stay what they are. One which shows that the
// connection is broken, or that the server is no longer the master, ends the session. What it returns otherwise is a problem, which wraps
// the error.
func (s *session) check(err error) error {
	switch err { // as they are, for what wraps them has another origin
	case nil, rueidis.Nil, context.Canceled, context.DeadlineExceeded:
		return err
	}
	if why := context.Cause(s.ctx); why != nil {
		return fault("", why)
	}
	p := fault(s.addresses(), err)
	if ends(err) {
		s.end(p)
	}
	return p
}

// addresses names the hosts.
func (s *session) addresses() (names string) {
	for i, h := range s.hosts {
		if i > 0 {
			names += ", "
		}
		names += h.address
	}
	return names
}

// close ends the session and closes what it has opened. No command is given to it any more.
func (s *session) close(why error) {
	s.end(why)
	s.watching.Wait()
	for _, h := range s.hosts {
		if h.client != nil {
			h.client.Close()
		}
		if h.bus != nil {
			h.bus.Close()
		}
		for _, n := range h.sentinels {
			n.client().Close()
		}
	}
}

// connect finds the master of the host's target, connects to it and makes sure that it is one.
func (h *host) connect(s *session) error {
	if h.target.master != "" {
		h.addSentinels(s)
		address, err := h.askSentinels(s.ctx)
		if err != nil {
			return err
		}
		h.address = address
		s.watching.Go(func() { h.watchSentinels(s) }) // from now on: a server that is gone is not waited for when it was replaced
	}
	client, err := h.open(s, h.address, h.target)
	h.client = client
	if err != nil {
		return fault(h.address, err)
	}
	if err := h.checkRole(s.ctx); err != nil {
		return fault(h.address, err)
	}
	h.bus, _ = client.Dedicate()
	return nil
}

// checkRole finds out whether the server is a master that answers. An application's user may lack the right to ask for the role.
func (h *host) checkRole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	role, err := h.client.Do(ctx, h.client.B().Role().Build()).ToArray()
	if err != nil && reply(err) == "" {
		return err
	}
	if len(role) > 0 {
		switch name, _ := role[0].ToString(); name {
		case "master":
		case "sentinel":
			return &problem.Problem{Code: CodeNoMaster, Key: "url", Cause: h.address + " is a Sentinel, and the URL has it as a Redis",
				Fix: "write redis-sentinel://" + h.address + "/MASTER, with the name of its line `sentinel monitor`"}
		default:
			return notMaster(h.address, nil)
		}
	}
	return h.client.Do(ctx, h.client.B().Ping().Build()).Error()
}

// open connects to one server with the login and the database of as. Its connections are closed with the session, whatever it does then: a client that is closed by its own
// method waits for answers. The client is to be closed even after an error.
func (h *host) open(s *session, address string, as target) (rueidis.Client, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:   []string{address},
		Username:      as.user,
		Password:      as.password,
		SelectDB:      as.db,
		ClientName:    "gpsbridge",
		ClientSetInfo: rueidis.DisableClientSetInfo,
		DialCtxFn: func(ctx context.Context, address string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return h.dial(ctx, s, address)
		},
		Dialer:            net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second}, // and a PING after a second without an answer
		ConnWriteTimeout:  2 * time.Second,                                          // for that PING: a stopped Redis is noticed in three seconds
		ForceSingleClient: true,
		DisableCache:      true,
		DisableRetry:      true,
		AlwaysPipelining:  true,
		PipelineMultiplex: -1, // one connection, so that commands stay in order
		BlockingPipeline:  -1, // whatever the length of a DoMulti
		// A node has little memory: the defaults are 1 MiB for each connection.
		RingScaleEachConn:   8,
		ReadBufferEachConn:  32 << 10,
		WriteBufferEachConn: 32 << 10,
	})
	return client, err
}

// dial opens a connection that is closed with the session.
func (h *host) dial(ctx context.Context, s *session, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	raw, err := new(net.Dialer).DialContext(ctx, h.target.network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(s.ctx, func() { raw.Close() })
	if !h.target.tls {
		return raw, nil
	}
	config := s.tls.Clone()
	config.ServerName, _, _ = net.SplitHostPort(address)
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return secured, nil
}
