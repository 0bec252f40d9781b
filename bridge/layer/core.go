package layer

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/problem"
)

// What channels_redis.core does by default. Nothing here needs the application's own values: with others nodes wait for its queues a
// little earlier or later, and forget what is left of a dead process after a day all the same.
const (
	queueCapacity = 100            // messages in a queue
	queueExpiry   = time.Minute    // of a message in its queue
	memberExpiry  = 24 * time.Hour // of a member, from its joining
)

const (
	// queues is the number of this node's queues: the capacity counts for each one, and a group has its queue by the checksum of its name. From
	// 2,000 messages a second of two Django processes one queue lost 1 % on a busy machine, 16 none. To wait for one more costs Redis 0.7 us.
	queues = 64
	// popMost is the number of messages taken from a queue at once: what it may hold.
	popMost = queueCapacity
	// renewInterval is the time between two renewals of membership: a Redis that has lost it gets it back within that.
	renewInterval = 30 * time.Second
	// nodeExpiry is the age from which the membership of a node counts as left over from a process that was killed: it has missed four renewals.
	nodeExpiry = 4 * renewInterval
	// waitMost is for how long a full queue of the application is waited for, in pauses of pauseLeast to pauseMost. Daphne empties a queue
	// in a tenth of a second.
	waitMost   = time.Second
	pauseLeast = 10 * time.Millisecond
	pauseMost  = 200 * time.Millisecond
	// fullMemory is for how long a queue that stayed full is not waited for again. What is left of a dead process is full once a minute, because
	// its messages expire.
	fullMemory = 2 * time.Minute
	// headerBytes is the length of what comes before an event in a queue.
	headerBytes = 12
)

var (
	//go:embed enter.lua
	enterText string
	//go:embed enqueue.lua
	enqueueText string
	//go:embed expire.lua
	expireText string

	enterScript   = rueidis.NewLuaScript(enterText)
	enqueueScript = rueidis.NewLuaScript(enqueueText)
	expireScript  = rueidis.NewLuaScript(expireText)
)

// nodeMark begins the names of the channels of nodes, which is how they recognise each other. The UUIDs that channels_redis puts there have a 4
// in the place of its 13th digit.
var nodeMark = "specific." + hex.EncodeToString([]byte("gpsbridg"))

// core is channels_redis.core: each process of the application has a queue, to which a sender writes for the members of a group that are
// there. The nodes send each other messages over channels as pubsub does, and write to the application's queues beside that. From the application a node
// gets messages through queues of its own.
type core struct {
	prefix      string
	application *event.Application
	crypter     *event.Crypter // nil without encryption
	counters    *counters
	node        string        // nodeMark and the digits of this node
	written     atomic.Uint64 // messages to queues

	change sync.Mutex // held while the membership in Redis is changed

	mu      sync.Mutex
	session *session             // in which groups are joined
	groups  map[string]string    // by the part of their channel's name after "!"
	full    map[string]time.Time // queues that stayed full, and when

	renewNow chan struct{} // holds one value when the membership may be lost
}

func newCore(c Config, n *counters) *core {
	var digits [7]byte
	rand.Read(digits[:])
	return &core{
		prefix: c.Prefix, application: c.application(), crypter: event.NewCrypter(c.Keys), counters: n,
		node: nodeMark + hex.EncodeToString(digits[:]), groups: map[string]string{}, full: map[string]time.Time{},
		renewNow: make(chan struct{}, 1),
	}
}

// channel is one that channels_redis does not know: it has the groups of nodes.
func (k *core) channel(group string) string { return k.prefix + "__nodes__" + group }

// encode refuses what the application's members could not get.
func (k *core) encode(data []byte) ([]byte, error) {
	if _, err := k.event(data); err != nil {
		return nil, err
	}
	if k.crypter != nil {
		return k.crypter.Encrypt(nil, data, time.Now()), nil
	}
	return data, nil
}

func (k *core) decode(data []byte) ([]byte, error) {
	if k.crypter != nil {
		plain, ok := k.crypter.Decrypt(nil, data, time.Now(), 0)
		if !ok {
			return nil, wrongKeys
		}
		data = plain
	}
	if !json.Valid(data) {
		return nil, errNoJSON
	}
	return data, nil
}

var errNoJSON = errors.New("the message of another node is not JSON")

func (k *core) event(data []byte) ([]byte, error) {
	return k.application.Format().Append(make([]byte, 0, len(data)+eventOverhead), data)
}

// queue returns the name of one of this node's queues: what the names of the channels behind it begin with.
func (k *core) queue(i uint32) string { return fmt.Sprintf("%s%02x!", k.node, i) }

// member returns the name of the channel by which this node is a member of a group, and its part after "!".
func (k *core) member(group string) (name, local string) {
	sum := sha256.Sum256([]byte(group))
	local = hex.EncodeToString(sum[:16])
	return k.queue(crc32.ChecksumIEEE([]byte(group))%queues) + local, local
}

func (k *core) groupKey(group string) string { return k.prefix + ":group:" + group }

func (k *core) join(ctx context.Context, s *session, groups []string) error {
	k.change.Lock()
	defer k.change.Unlock()
	k.mu.Lock()
	if k.session != s {
		k.session, k.groups = s, map[string]string{}
	}
	for _, name := range groups {
		_, local := k.member(name)
		k.groups[local] = name
	}
	k.mu.Unlock()
	return k.enter(ctx, s, groups)
}

// enter writes this node's membership, up to a batch of groups at a time.
func (k *core) enter(ctx context.Context, s *session, groups []string) error {
	for h, names := range byHost(s, groups, func(name string) string { return name }) {
		for part := range slices.Chunk(names, batch) {
			var keys, args []string
			for _, name := range part {
				member, _ := k.member(name)
				keys, args = append(keys, k.groupKey(name)), append(args, member)
			}
			args = append(args, nodeMark, seconds(memberExpiry), seconds(nodeExpiry))
			if err := s.check(enterScript.Exec(ctx, h.client, keys, args).Error()); err != nil {
				return err
			}
		}
	}
	return nil
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// byHost returns things by the hosts that their names belong to.
func byHost[T any](s *session, all []T, name func(T) string) map[*host][]T {
	hosts := map[*host][]T{}
	for _, one := range all {
		h := s.host(name(one))
		hosts[h] = append(hosts[h], one)
	}
	return hosts
}

func (k *core) leave(ctx context.Context, s *session, groups []string) error {
	k.change.Lock()
	defer k.change.Unlock()
	k.mu.Lock()
	for _, name := range groups {
		_, local := k.member(name)
		delete(k.groups, local)
	}
	k.mu.Unlock()
	for h, names := range byHost(s, groups, func(name string) string { return name }) {
		commands := make(rueidis.Commands, len(names))
		for i, name := range names {
			member, _ := k.member(name)
			commands[i] = h.client.B().Zrem().Key(k.groupKey(name)).Member(member).Build()
		}
		for _, result := range h.client.DoMulti(ctx, commands...) {
			if err := s.check(result.Error()); err != nil && problem.CodeOf(err) != CodeForeignKey { // which enter.lua has left as it is
				return err
			}
		}
	}
	return nil
}

// receive takes what the application sends from this node's queues, one connection for each host, and renews the membership.
func (k *core) receive(ctx context.Context, s *session, deliver func(string, []byte)) error {
	all := make([]string, queues)
	for i := range all {
		all[i] = k.queue(uint32(i))
	}
	parts, inner := errgroup.WithContext(ctx)
	for h, names := range byHost(s, all, func(name string) string { return name }) {
		for i := range names {
			names[i] = k.prefix + names[i]
		}
		parts.Go(func() error { return k.receiveFrom(inner, s, h, names, deliver) })
	}
	parts.Go(func() error { return k.renewAll(inner, s) })
	if err := parts.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// renewAll renews the membership until ctx ends.
func (k *core) renewAll(ctx context.Context, s *session) error {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-k.renewNow:
		case <-ctx.Done():
			return nil
		}
		if err := k.renew(ctx, s); err != nil {
			return err
		}
	}
}

func (k *core) restore() { signal(k.renewNow) }

// renew enters all groups again.
func (k *core) renew(ctx context.Context, s *session) error {
	k.change.Lock()
	defer k.change.Unlock()
	k.mu.Lock()
	groups := slices.Collect(maps.Values(k.groups))
	maps.DeleteFunc(k.full, func(_ string, at time.Time) bool { return time.Since(at) > fullMemory })
	k.mu.Unlock()
	return k.enter(ctx, s, groups)
}

// receiveFrom takes events from the queues that are on one host. Redis answers with the first queue that holds something: each is
// asked first in rotation.
func (k *core) receiveFrom(ctx context.Context, s *session, h *host, names []string, deliver func(string, []byte)) error {
	pop, first := popSeveral, 0
	order := append(names, names...)
	for ctx.Err() == nil {
		rotated := order[first : first+len(names)]
		queue, events, err := pop(ctx, h, rotated)
		if reply(err) == replyError { // Redis before 7.0 does not know the command
			pop = popOne
			queue, events, err = pop(ctx, h, rotated)
		}
		if rueidis.IsRedisNil(err) {
			continue
		}
		if err := s.check(err); err != nil {
			return err
		}
		for _, e := range events {
			k.receiveEvent(e, deliver)
		}
		first = (slices.Index(names, queue) + 1) % len(names)
	}
	return nil
}

// popTimeout is for how long Redis holds back its answer, in seconds.
const popTimeout = 5

// popSeveral takes up to popMost events from the first queue that holds one.
func popSeveral(ctx context.Context, h *host, names []string) (queue string, events []string, err error) {
	popped, err := h.client.Do(ctx, h.client.B().Bzmpop().Timeout(popTimeout).Numkeys(int64(len(names))).Key(names...).Min().Count(popMost).Build()).AsZMPop()
	for _, v := range popped.Values {
		events = append(events, v.Member)
	}
	return popped.Key, events, err
}

// popOne takes one event from the first queue that holds one.
func popOne(ctx context.Context, h *host, names []string) (queue string, events []string, err error) {
	popped, err := h.client.Do(ctx, h.client.B().Bzpopmin().Key(names...).Timeout(popTimeout).Build()).ToArray()
	if err != nil || len(popped) < 2 {
		return "", nil, err
	}
	queue, err = popped[0].ToString()
	if err != nil {
		return "", nil, err
	}
	member, err := popped[1].ToString()
	return queue, []string{member}, err
}

// receiveEvent delivers an event to the groups whose members it is addressed to.
func (k *core) receiveEvent(queued string, deliver func(string, []byte)) {
	message, channels, err := k.open(queued)
	if err != nil {
		k.counters.unread(err)
		return
	}
	for _, name := range channels {
		_, local, _ := bytes.Cut(name, []byte("!"))
		k.mu.Lock()
		group, joined := k.groups[string(local)]
		k.mu.Unlock()
		if joined && bytes.HasPrefix(name, []byte(k.node)) {
			deliver(group, message)
		}
	}
}

func (k *core) open(queued string) (message []byte, channels [][]byte, err error) {
	switch {
	case len(queued) < headerBytes:
		return nil, nil, errShort
	case len(queued) > eventBytes:
		return nil, nil, tooLarge
	}
	data := []byte(queued[headerBytes:])
	if k.crypter != nil {
		// As long as the application takes it.
		plain, ok := k.crypter.Decrypt(nil, data, time.Now(), queueExpiry+10*time.Second)
		if !ok {
			return nil, nil, wrongKeys
		}
		data = plain
	}
	return k.application.Open(make([]byte, 0, len(data)+eventOverhead), data)
}

var errShort = errors.New("an event in a queue is too short")

// delivery is what a queue of the application is to get: one event for each message, in their order.
type delivery struct {
	queue  string   // its name, without the prefix
	to     []string // the names of the channels behind it
	events []string // what it has not got yet
}

// publish writes messages to the queues of the application's members.
func (k *core) publish(ctx context.Context, s *session, group string, messages []group.Message) error {
	h := s.host(group)
	members, err := h.client.Do(ctx, h.client.B().Zrange().Key(k.groupKey(group)).Min("0").Max("-1").Build()).AsStrSlice()
	if err := s.check(err); err != nil {
		return err
	}
	deliveries := deliveriesTo(members)
	if len(deliveries) == 0 {
		return nil
	}
	for _, m := range messages {
		e, err := k.event(m.Data)
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			d.events = append(d.events, k.seal(e, d.to))
		}
	}
	return k.write(ctx, s, group, deliveries)
}

// deliveriesTo returns a delivery for each queue of the members that are not nodes, in the order of Redis.
func deliveriesTo(members []string) (all []*delivery) {
	for _, name := range members {
		if strings.HasPrefix(name, nodeMark) {
			continue
		}
		queue := name
		if i := strings.IndexByte(name, '!'); i >= 0 {
			queue = name[:i+1]
		}
		i := slices.IndexFunc(all, func(d *delivery) bool { return d.queue == queue })
		if i < 0 {
			i, all = len(all), append(all, &delivery{queue: queue})
		}
		all[i].to = append(all[i].to, name)
	}
	return all
}

// seal returns an event for channels as it goes into their queue. Redis orders what came at the same time by its bytes, and so they begin
// with a counter.
func (k *core) seal(e []byte, to []string) string {
	sealed := make([]byte, headerBytes, headerBytes+len(e)+len(to)*80+eventOverhead)
	binary.BigEndian.PutUint64(sealed, k.written.Add(1))
	rand.Read(sealed[8:])
	if k.crypter == nil {
		return rueidis.BinaryString(event.Address(sealed, e, to))
	}
	return rueidis.BinaryString(k.crypter.Encrypt(sealed, event.Address(nil, e, to), time.Now()))
}

// write writes events to queues. Those that are full are waited for, a second at the most in all, and get nothing more of these messages then.
func (k *core) write(ctx context.Context, s *session, group string, deliveries []*delivery) error {
	var unread []*delivery
	began := time.Now()
	for pause := pauseLeast; ; pause = min(2*pause, pauseMost) {
		full, idle, err := k.writeOnce(ctx, s, deliveries)
		if err != nil {
			return err
		}
		unread = append(unread, idle...)
		deliveries = k.worthWaiting(full, time.Since(began)+pause > waitMost)
		if len(deliveries) == 0 {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return s.check(context.Cause(s.ctx))
		}
	}
	return k.forget(ctx, s, group, unread)
}

// worthWaiting returns those of the deliveries to full queues that are to be tried again: none when the time is over. The others are dropped
// and counted.
func (k *core) worthWaiting(full []*delivery, over bool) (again []*delivery) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range full {
		if at, known := k.full[d.queue]; !over && (!known || now.Sub(at) > fullMemory) {
			again = append(again, d)
			continue
		}
		k.full[d.queue] = now
		k.counters.overCapacity.Add(uint64(len(d.events)))
	}
	return again
}

// writeOnce writes events to queues, and returns those that were too full for all of them, and those that nothing reads.
func (k *core) writeOnce(ctx context.Context, s *session, deliveries []*delivery) (full, unread []*delivery, err error) {
	for h, to := range byHost(s, deliveries, func(d *delivery) string { return d.queue }) {
		keys, args := make([]string, len(to)), []string{strconv.Itoa(queueCapacity), seconds(queueExpiry)}
		for i, d := range to {
			keys[i] = k.prefix + d.queue
			args = append(args, strconv.Itoa(len(d.events)))
		}
		for _, d := range to {
			args = append(args, d.events...)
		}
		taken, err := enqueueScript.Exec(ctx, h.client, keys, args).AsIntSlice()
		if err := s.check(err); err != nil {
			return nil, nil, err
		}
		for i, d := range to[:min(len(to), len(taken))] {
			n := taken[i]
			if n < 0 {
				n = -1 - n
				unread = append(unread, d)
			}
			if d.events = d.events[min(int(n), len(d.events)):]; len(d.events) > 0 {
				full = append(full, d)
			}
		}
	}
	return full, unread, nil
}

// forget takes members out of a group whose queue nothing reads and whose membership has expired, as the application does when it sends. Those that
// read stay: the application may have a longer expiry.
func (k *core) forget(ctx context.Context, s *session, group string, unread []*delivery) error {
	if len(unread) == 0 {
		return nil
	}
	args := []string{seconds(memberExpiry)}
	for _, d := range unread {
		args = append(args, d.to...)
	}
	return s.check(expireScript.Exec(ctx, s.host(group).client, []string{k.groupKey(group)}, args).Error())
}
