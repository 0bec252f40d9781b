package layer

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

const (
	probeInterval = time.Second // a dead connection is noticed after three of them
	probesMissed  = 3
)

// probeChannel is the channel over which this node sends to itself.
func (l *Layer) probeChannel() string { return l.config.Prefix + "__node__" + l.node }

// listen begins to receive from a host: at first from the node's own channel alone.
func (l *Layer) listen(s *session, h *host) error {
	own := l.probeChannel()
	broken := h.bus.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) {
		if m.Channel == own {
			h.probes.Add(1)
			return
		}
		l.arrive(arrival{channel: m.Channel, wire: m.Message})
	}})
	go func() {
		if err := <-broken; err != nil {
			s.check(err)
		}
	}()
	return s.check(h.bus.Do(s.ctx, h.bus.B().Subscribe().Channel(own).Build()).Error())
}

// arrive moves what came to the worker of its group. It is called by the goroutine that reads from Redis.
func (l *Layer) arrive(a arrival) {
	w := l.workers[maphash.String(l.seed, a.channel)%uint64(len(l.workers))]
	if !w.put(a) {
		l.counters.dropped.Add(1)
		l.members.receiver(a.channel, a.wire) // if it is this node's, it does not come any more
	}
}

// handle gives an arrival to the receiver. It is called by the group's worker.
func (l *Layer) handle(a arrival) {
	device, message, ok := l.members.receiver(a.channel, a.wire)
	switch {
	case !ok:
		return
	case a.event != nil:
		message = group.Message{Data: a.event}
	case message.Data == nil:
		data, err := l.decode(a.wire)
		if err != nil {
			l.counters.unread(err)
			return
		}
		message = group.Message{Data: data}
	}
	l.counters.received.Add(1)
	l.receiver.Receive(device, message)
}

func (l *Layer) decode(wire string) ([]byte, error) {
	if len(wire) > eventBytes {
		return nil, tooLarge
	}
	return l.kind.decode([]byte(wire))
}

// deliver takes what Django sent to a group beside its channel.
func (l *Layer) deliver(group string, data []byte) {
	l.arrive(arrival{channel: l.kind.channel(group), event: data})
}

// watch sends a message to this node's own channel each second, and ends the session when none came back three times, or when the server
// is no longer the master. It returns with ctx.
func (l *Layer) watch(ctx context.Context, s *session, h *host) {
	missed, back := 0, h.probes.Load()
	every(ctx, probeInterval, func() {
		l.probe(ctx, s, h)
		if now := h.probes.Load(); now != back {
			missed, back = 0, now
		} else if missed++; missed == probesMissed {
			s.end(&problem.Problem{Code: CodeLost, Cause: fmt.Sprintf("Redis at %s has not answered for %v", h.address, probesMissed*probeInterval)})
		}
	})
}

// probe sends one message to this node's own channel, and looks whether the server is still the master.
func (l *Layer) probe(ctx context.Context, s *session, h *host) {
	ctx, cancel := context.WithTimeout(ctx, probeInterval)
	defer cancel()
	receivers, err := h.client.Do(ctx, h.client.B().Publish().Channel(l.probeChannel()).Message("").Build()).AsInt64()
	if s.check(err) == nil && receivers == 0 {
		s.end(unsubscribed(h))
	}
	s.check(h.checkRole(ctx))
}

// unsubscribed is the problem of a host that has no receiver on a channel to which this node is subscribed: the subscription is at a server
// that is no longer the master.
func unsubscribed(h *host) *problem.Problem {
	return &problem.Problem{Code: CodeLost, Cause: fmt.Sprintf("Redis at %s does not know this node's subscriptions any more", h.address)}
}

// keepMembership joins and leaves groups as the memberships ask for it, until ctx ends.
func (l *Layer) keepMembership(ctx context.Context, s *session) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		joined, err := l.joinSome(ctx, s)
		if err != nil {
			return err
		}
		if len(joined) > 0 {
			l.members.confirm(joined)
			continue
		}
		if err := l.leaveIdle(ctx, s, time.Now()); err != nil {
			return err
		}
		select {
		case <-l.members.wake:
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// joinSome joins a batch of the groups that wait for it, and returns them.
func (l *Layer) joinSome(ctx context.Context, s *session) ([]*membership, error) {
	taken := l.members.takeJoins(l.kind.channel)
	if len(taken) == 0 {
		return nil, nil
	}
	for h, channels := range s.spread(taken) {
		if err := s.check(h.bus.Do(ctx, h.bus.B().Subscribe().Channel(channels...).Build()).Error()); err != nil {
			return nil, err
		}
	}
	if err := l.kind.join(ctx, s, names(taken)); err != nil {
		return nil, err
	}
	l.members.enter(taken)
	return taken, nil
}

// leaveIdle leaves the groups that have been without a member for long enough at a time now.
func (l *Layer) leaveIdle(ctx context.Context, s *session, now time.Time) error {
	for {
		taken := l.members.takeLeaves(now)
		if len(taken) == 0 {
			return nil
		}
		if err := l.kind.leave(ctx, s, names(taken)); err != nil {
			return err
		}
		for h, channels := range s.spread(taken) {
			if err := s.check(h.bus.Do(ctx, h.bus.B().Unsubscribe().Channel(channels...).Build()).Error()); err != nil {
				return err
			}
		}
	}
}

// spread returns the channels of memberships by their hosts.
func (s *session) spread(all []*membership) map[*host][]string {
	channels := map[*host][]string{}
	for _, m := range all {
		h := s.host(m.channel)
		channels[h] = append(channels[h], m.channel)
	}
	return channels
}

// names returns the groups of memberships.
func names(all []*membership) (groups []string) {
	for _, m := range all {
		groups = append(groups, m.group)
	}
	return groups
}

// encode returns messages as they go over a channel.
func (l *Layer) encode(messages []group.Message) (wires [][]byte, err error) {
	wires = make([][]byte, len(messages))
	for i, m := range messages {
		if wires[i], err = l.kind.encode(m.Data); err != nil {
			return nil, err
		}
	}
	return wires, nil
}

// send publishes messages of a device, and wires made of them, on its group's channel, and then as the kind does beside it.
func (l *Layer) send(ctx context.Context, s *session, device string, messages []group.Message, wires [][]byte) error {
	call, joined := l.members.expect(device, wires, messages)
	err := l.put(ctx, s, device, wires, joined)
	if err != nil && joined {
		l.members.forget(device, call)
	}
	if err != nil {
		return err
	}
	return l.kind.publish(ctx, s, l.config.group(device), messages)
}

// put publishes wires on the channel of a device's group. Where the node has joined it, there is a receiver, or the session ends.
func (l *Layer) put(ctx context.Context, s *session, device string, wires [][]byte, joined bool) error {
	channel := l.kind.channel(l.config.group(device))
	h := s.host(channel)
	commands := make(rueidis.Commands, len(wires))
	for i, wire := range wires {
		commands[i] = h.client.B().Publish().Channel(channel).Message(rueidis.BinaryString(wire)).Build()
	}
	for _, result := range h.client.DoMulti(ctx, commands...) {
		receivers, err := result.AsInt64()
		if err := s.check(err); err != nil {
			return err
		}
		if receivers == 0 && joined && l.members.joinedTo(device) {
			s.end(unsubscribed(h))
			return s.check(context.Cause(s.ctx))
		}
	}
	return nil
}
