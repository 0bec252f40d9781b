package layer

import (
	"slices"
	"sync"
	"time"

	"gpsbridge/bridge/group"
)

// linger is for how long a group is kept after its last member has left: a browser that loads the page again finds it joined.
const linger = 30 * time.Second

// batch is the number of groups in one SUBSCRIBE: some 20 kB, which Redis reads at once and answers within milliseconds.
const batch = 512

// memberships are the groups that this node has joined or is to join. They stay over sessions.
type memberships struct {
	config Config

	mu        sync.Mutex
	devices   map[string]*membership
	channels  map[string]*membership // those joined in this session, or being joined
	toJoin    []*membership
	leaving   []departure   // in the order of time
	wake      chan struct{} // holds one value when there is something to join
	published uint64        // calls of expect
}

// membership is this node in one group.
type membership struct {
	device, group string
	channel       string // while it is in channels
	members       int    // calls of join that no leave has undone
	idle          time.Time
	in            bool          // it is joined
	joined        chan struct{} // closed when it is, and the session carries messages; another one in the next session
	confirmed     bool          // joined is closed
	expected      []expected    // what this node published and has not come back
}

// departure is a group whose last member left at a time.
type departure struct {
	*membership
	at time.Time
}

// expected is a message of this node as it goes over the channel. call is that of Publish.
type expected struct {
	wire    []byte
	message group.Message
	call    uint64
}

func newMemberships(c Config) *memberships {
	return &memberships{config: c, devices: map[string]*membership{}, channels: map[string]*membership{}, wake: make(chan struct{}, 1)}
}

// join counts a member, and returns a channel that is closed when the group is joined in this session or the next one.
func (t *memberships) join(device string) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.devices[device]
	if m == nil {
		m = &membership{device: device, group: t.config.group(device), joined: make(chan struct{})}
		t.devices[device] = m
		t.toJoin = append(t.toJoin, m)
		signal(t.wake)
	}
	m.members++
	return m.joined
}

// leave undoes one join at a time now.
func (t *memberships) leave(device string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.devices[device]
	if m == nil || m.members == 0 {
		return
	}
	if m.members--; m.members == 0 {
		m.idle = now
		t.leaving = append(t.leaving, departure{m, now})
	}
}

// restart forgets what was joined, and the groups without members, when a session has ended.
func (t *memberships) restart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.channels)
	t.leaving, t.toJoin = nil, t.toJoin[:0]
	for device, m := range t.devices {
		if m.members == 0 {
			delete(t.devices, device)
			continue
		}
		if m.confirmed {
			m.confirmed, m.joined = false, make(chan struct{})
		}
		m.in, m.expected = false, nil
		t.toJoin = append(t.toJoin, m)
	}
}

// takeJoins returns up to a batch of groups to subscribe. From now on what comes from their channels is theirs.
func (t *memberships) takeJoins(channel func(group string) string) []*membership {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(batch, len(t.toJoin))
	taken := append([]*membership(nil), t.toJoin[:n]...)
	t.toJoin = t.toJoin[n:]
	for _, m := range taken {
		m.channel = channel(m.group)
		t.channels[m.channel] = m
	}
	return taken
}

// enter marks groups as joined.
func (t *memberships) enter(joined []*membership) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range joined {
		m.in = true
	}
}

// confirm answers those that wait for a group to be joined. The session carries messages already.
func (t *memberships) confirm(joined []*membership) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range joined {
		m.confirmed = true
		close(m.joined)
	}
}

// takeLeaves returns up to a batch of groups whose last member left linger before now, and forgets them.
func (t *memberships) takeLeaves(now time.Time) (taken []*membership) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.leaving) > 0 && len(taken) < batch && now.Sub(t.leaving[0].at) >= linger {
		m := t.leaving[0]
		t.leaving = t.leaving[1:]
		if m.members == 0 && m.in && m.idle.Equal(m.at) {
			delete(t.devices, m.device)
			delete(t.channels, m.channel)
			taken = append(taken, m.membership)
		}
	}
	return taken
}

// all returns the groups that are joined.
func (t *memberships) all() (groups []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.devices {
		if m.in {
			groups = append(groups, m.group)
		}
	}
	return groups
}

// count is how many groups are joined or being joined.
func (t *memberships) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.channels)
}

// joinedTo reports whether the group of device is joined.
func (t *memberships) joinedTo(device string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.devices[device]
	return m != nil && m.in
}

// expect notes messages of one call of Publish that will come back, where the group is joined. wires are the messages as they go over
// the channel.
func (t *memberships) expect(device string, wires [][]byte, messages []group.Message) (call uint64, joined bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.devices[device]
	if m == nil || !m.in {
		return 0, false
	}
	t.published++
	for i, wire := range wires {
		m.expected = append(m.expected, expected{wire, messages[i], t.published})
	}
	return t.published, true
}

// forget is the opposite of expect, for a call that failed.
func (t *memberships) forget(device string, call uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.devices[device]
	if m == nil {
		return
	}
	m.expected = slices.DeleteFunc(m.expected, func(e expected) bool { return e.call == call })
}

// receiver returns the device whose group has a channel; ok is false when there is none. own is the message of this node that has
// come back as wire, without Data if it is none. Where two are equal, it does not matter which of them came first.
func (t *memberships) receiver(channel, wire string) (device string, own group.Message, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.channels[channel]
	if m == nil {
		return "", own, false
	}
	i := slices.IndexFunc(m.expected, func(e expected) bool { return string(e.wire) == wire })
	if i < 0 {
		return m.device, own, true
	}
	own = m.expected[i].message
	m.expected = slices.Delete(m.expected, i, i+1)
	return m.device, own, true
}

// signal puts a value into a channel of one, unless it holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
