package layer

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

// grace is for how long a layer without a session still counts as ready: a failover that Redis' Sentinels do quickly is not reported.
const grace = 3 * time.Second

// retryMost is the longest pause between two attempts to begin a session: thousands of trackers wait.
const retryMost = time.Second

// farewell bounds what is done at the end of Run: leaving 100,000 groups of channels_redis.core takes two seconds.
const farewell = 3 * time.Second

// Layer is a group.Layer on Redis.
type Layer struct {
	config   Config
	node     string // names this process on its own channel
	seed     maphash.Seed
	members  *memberships
	workers  []*worker
	store    store
	counters counters

	kind     kind           // set before the first session carries anything
	receiver group.Receiver // set by Run
	session  atomic.Pointer[session]

	mu      sync.Mutex
	trouble *problem.Problem // why there is no session
	since   time.Time        // since when; zero is before the first one
	begun   chan struct{}    // closed while there is a session
}

var _ group.Layer = (*Layer)(nil)

// Open returns a layer that connects to Redis when Run is called. It fails where Config.Check does.
func Open(c Config) (*Layer, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c = c.defaults()
	l := &Layer{config: c, node: rand.Text(), seed: maphash.MakeSeed(), members: newMemberships(c), counters: counters{log: c.Log}, trouble: starting,
		begun: make(chan struct{})}
	l.store = newStore(c, func() {
		l.counters.losses.Add(1)
		l.kind.restore()
		l.receiver.Lost()
	})
	for range runtime.GOMAXPROCS(0) {
		l.workers = append(l.workers, newWorker())
	}
	return l, nil
}

// Run is that of group.Layer. It returns nil when ctx ends.
func (l *Layer) Run(ctx context.Context, r group.Receiver) error {
	l.receiver = r
	if p := l.config.eventUnset(); p != nil {
		l.config.Log.Warn("events of the application are to be learnt", "err", p)
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	for _, w := range l.workers {
		parts.Go(func() { w.run(ctx, l.handle) })
	}
	pause := backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: retryMost}
	pause.Reset()
	for ctx.Err() == nil {
		next := time.After(pause.NextBackOff()) // from the beginning of an attempt: what waits for an answer that long needs no pause
		if l.runSession(ctx) > retryMost {
			pause.Reset()
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
	return nil
}

// runSession begins a session and serves until it or ctx has ended, and returns for how long it stood.
func (l *Layer) runSession(ctx context.Context) time.Duration {
	s, err := l.config.newSession(ctx)
	if err != nil {
		l.down(err)
		return 0
	}
	joined, err := l.begin(ctx, s)
	if err != nil {
		s.close(err)
		l.down(err)
		return 0
	}
	began := time.Now()
	l.up(s, joined)
	l.serve(ctx, s)
	l.down(context.Cause(s.ctx))
	s.close(closed)
	return time.Since(began)
}

// begin makes a session ready to carry messages: connected, and all groups joined, which it returns.
func (l *Layer) begin(ctx context.Context, s *session) ([]*membership, error) {
	defer context.AfterFunc(ctx, func() { s.end(closed) })()
	if err := s.connect(); err != nil {
		return nil, err
	}
	if err := l.chooseKind(s); err != nil {
		return nil, err
	}
	for _, h := range s.hosts {
		if err := l.listen(s, h); err != nil {
			return nil, err
		}
	}
	if err := l.store.begin(s.ctx, s); err != nil {
		return nil, err
	}
	if l.counters.sessions.Load() > 0 {
		l.receiver.Missed()
	}
	var joined []*membership
	for {
		some, err := l.joinSome(s.ctx, s)
		if err != nil || len(some) == 0 {
			return joined, err
		}
		joined = append(joined, some...)
	}
}

// serve runs what goes on during a session, until it or ctx has ended.
func (l *Layer) serve(ctx context.Context, s *session) {
	var parts sync.WaitGroup
	run := func(part func(context.Context, *session) error) {
		parts.Go(func() {
			if err := part(s.ctx, s); err != nil {
				s.end(fault(s.addresses(), err))
			}
		})
	}
	for _, h := range s.hosts {
		parts.Go(func() { l.watch(s.ctx, s, h) })
	}
	run(l.keepMembership)
	run(l.store.run)
	run(func(ctx context.Context, s *session) error { return l.kind.receive(ctx, s, l.deliver) })
	select {
	case <-s.ctx.Done():
	case <-ctx.Done():
		l.takeLeave(s)
	}
	parts.Wait()
}

// takeLeave leaves all groups and ends the session.
func (l *Layer) takeLeave(s *session) {
	ctx, cancel := context.WithTimeout(s.ctx, farewell)
	defer cancel()
	if err := l.kind.leave(ctx, s, l.members.all()); err != nil {
		l.config.Log.Warn("groups are not left", "err", err)
	}
	s.end(closed)
}

// up makes a session the one that carries messages, and then confirms what it has joined: those that wait for it may publish at once.
func (l *Layer) up(s *session, joined []*membership) {
	l.counters.sessions.Add(1)
	l.session.Store(s)
	l.mu.Lock()
	l.trouble = nil
	close(l.begun)
	l.mu.Unlock()
	l.members.confirm(joined)
	l.config.Log.Info("layer ready", "redis", s.addresses(), "groups", len(joined))
}

// down notes why there is no session: no group is joined then. It logs that where it is of another kind than before.
func (l *Layer) down(err error) {
	l.mu.Lock()
	if l.session.Swap(nil) != nil {
		l.begun = make(chan struct{})
	}
	l.mu.Unlock()
	l.members.restart()
	p := fault("", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble == nil {
		l.since = time.Now()
	}
	if (l.trouble == nil || p.Code != l.trouble.Code) && p != closed {
		l.config.Log.Warn("layer not ready", "err", p)
	}
	l.trouble = p
}

// Epoch is that of group.Layer.
func (l *Layer) Epoch(device string) string { return l.store.epoch(device) }

// Ready is that of group.Layer: a problem before the first session, and when there has been none for three seconds.
func (l *Layer) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble == nil || !l.since.IsZero() && time.Since(l.since) < grace {
		return nil
	}
	return l.trouble
}

// current returns the session, and a problem where there is none.
func (l *Layer) current() (*session, error) {
	if s := l.session.Load(); s != nil {
		return s, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble == nil { // down is about to note it
		return nil, starting
	}
	return nil, l.trouble
}

// await returns the session, for which it waits as long as ctx lets it.
func (l *Layer) await(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		begun := l.begun
		l.mu.Unlock()
		s, err := l.current()
		if err == nil {
			return s, nil
		}
		select {
		case <-begun:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Join is that of group.Layer. Each Join that returns nil is undone by one Leave. It waits for a session when there is none.
func (l *Layer) Join(ctx context.Context, device string) error {
	joined := l.members.join(device)
	select {
	case <-joined:
		return nil
	case <-ctx.Done():
		l.members.leave(device, time.Now())
		if _, err := l.current(); err != nil {
			return err
		}
		return ctx.Err()
	}
}

// Leave is that of group.Layer. The group is left half a minute after the last member.
func (l *Layer) Leave(device string) { l.members.leave(device, time.Now()) }

// Publish is that of group.Layer. It waits for a session when there is none, and tries nothing again that has failed: the publisher has what
// was not acknowledged.
func (l *Layer) Publish(ctx context.Context, device string, messages []group.Message) error {
	s, err := l.await(ctx)
	if err != nil {
		return err
	}
	wires, err := l.encode(messages) // before they are stored: what no event carries is refused
	if err != nil {
		return err
	}
	if err := l.store.commit(ctx, s, device, messages); err != nil {
		l.counters.refused.Add(uint64(len(messages)))
		return err
	}
	if err := l.send(ctx, s, device, messages, wires); err != nil {
		return err
	}
	l.counters.published.Add(uint64(len(messages)))
	return nil
}

// History is that of group.Layer.
func (l *Layer) History(ctx context.Context, device string, after group.Key, most int) ([]group.Message, bool, error) {
	s, err := l.current()
	if err != nil {
		return nil, false, err
	}
	return l.store.history(ctx, s, device, after, most)
}
