package layer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

// Codes of what Examine finds beside the problems of a session.
const (
	CodeSentinelsDivided problem.Code = "layer-sentinels-divided" // a Sentinel names another master than most do
	CodeNoQuorum         problem.Code = "layer-no-quorum"         // the Sentinels could not replace the master
	CodeNoSentinel       problem.Code = "layer-no-sentinel"       // there are replicas, and nothing follows a failover
	CodeNoReplica        problem.Code = "layer-no-replica"        // fixes are in the memory of one machine
	CodeReplicaLost      problem.Code = "layer-replica-lost"      // a replica does not follow the master
	CodeReplicaPriority  problem.Code = "layer-replica-priority"  // a replica that has confirmed a fix may be passed over
	CodeEviction         problem.Code = "layer-eviction"          // Redis removes keys when its memory is full
	CodeNearlyFull       problem.Code = "layer-nearly-full"       // its memory is
	CodeClock            problem.Code = "layer-clock"             // the clock of a server differs
	CodeProbe            problem.Code = "layer-probe"             // what is sent to a group does not come back
	CodeQueueFull        problem.Code = "layer-queue-full"        // a queue of the application takes no more messages
	CodeStaleMember      problem.Code = "layer-stale-member"      // a process of the application does not read its queue
)

const (
	// clockOff is a difference of clocks that is reported. Members of groups and messages expire by them, after a minute at the least.
	clockOff = 2 * time.Second
	// nearlyFull is the part of maxmemory in use that is reported.
	nearlyFull = 0.9
	// unread is the age of a message that a living process of the application has long read.
	unread = 10 * time.Second
	// probeWait bounds the way of the doctor's message through a group, from connecting on.
	probeWait = 10 * time.Second
)

// Finding is what Examine found about one thing.
type Finding struct {
	Name    string           // such as "redis 10.0.0.1:6379"
	Seen    string           // what was found, in half a line
	Problem *problem.Problem // nil where all is well
	Broken  bool             // it keeps fixes from being carried or acknowledged; otherwise a problem is one of later
	Skipped bool             // it cannot be examined, and Seen is why
}

// Examine looks at the servers of a configuration, and sends a message through a group of its own. It calls found with each finding, and
// ends early when ctx ends.
func Examine(ctx context.Context, c Config, found func(Finding)) {
	x := &examination{config: c.defaults(), found: found}
	if err := c.Check(); err != nil {
		for _, p := range problem.All(err) {
			x.broken("configuration "+p.Key, p)
		}
		return
	}
	c = x.config
	s, err := c.newSession(ctx)
	if err != nil {
		x.broken("configuration", err)
		return
	}
	defer s.close(closed)
	defer context.AfterFunc(ctx, func() { s.end(closed) })()
	reached := true
	for _, h := range s.hosts {
		if h.target.master != "" && !x.sentinels(ctx, s, h.target) {
			x.skipped("redis", "no Sentinel names a master")
			reached = false
			continue
		}
		if err := h.connect(s); err != nil {
			x.broken("redis "+h.address, err)
			reached = false
			continue
		}
		x.host(ctx, s, h)
	}
	if !reached {
		x.skipped("kind", "a Redis is broken")
		x.skipped("probe", "a Redis is broken")
		return
	}
	x.kind(ctx, s)
}

// examination is one run of Examine.
type examination struct {
	config Config
	found  func(Finding)
}

func (x *examination) ok(name, seen string) { x.found(Finding{Name: name, Seen: seen}) }
func (x *examination) skipped(name, why string) {
	x.found(Finding{Name: name, Seen: "not checked: " + why, Skipped: true})
}
func (x *examination) broken(name string, err error) {
	p := fault("", err)
	x.found(Finding{Name: name, Seen: p.Cause, Problem: p, Broken: true})
}
func (x *examination) warn(name string, p *problem.Problem) {
	x.found(Finding{Name: name, Seen: p.Cause, Problem: p})
}

// sentinels asks each Sentinel of a target for the master, and whether it could be replaced. It returns whether one names a master.
func (x *examination) sentinels(ctx context.Context, s *session, t target) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	h := &host{target: t}
	h.addSentinels(s)
	named, faults := make([]string, len(h.sentinels)), make([]error, len(h.sentinels))
	for i, n := range h.sentinels {
		named[i], _, faults[i] = n.ask(ctx, t.master)
		defer n.client().Close()
	}
	master, votes := most(named)
	for i, n := range h.sentinels {
		name := "sentinel " + n.address
		switch {
		case faults[i] != nil && votes > 0:
			x.warn(name, fault(n.address, faults[i]))
		case faults[i] != nil:
			x.broken(name, fault(n.address, faults[i]))
		case named[i] != master:
			x.warn(name, &problem.Problem{Code: CodeSentinelsDivided, Cause: fmt.Sprintf("names %s the master, others %s", named[i], master),
				Fix: "wait for a failover to end, else look whether it reaches the others"})
		default:
			x.quorum(ctx, n, t.master, master)
		}
	}
	return votes > 0
}

// quorum asks a Sentinel whether enough others are there to replace the master.
func (x *examination) quorum(ctx context.Context, n sentinel, name, address string) {
	link, client := "sentinel "+n.address, n.client()
	_, err := client.Do(ctx, client.B().Arbitrary("SENTINEL", "CKQUORUM", name).Build()).ToString()
	switch refusal, is := rueidis.IsRedisErr(err); {
	case is && reply(err) == "NOQUORUM":
		x.warn(link, &problem.Problem{Code: CodeNoQuorum, Cause: "it could not replace the master: " + strings.TrimPrefix(refusal.Error(), "NOQUORUM "),
			Fix: "start the other Sentinels, three at least, and see that they reach each other"})
	case err != nil && !is:
		x.warn(link, fault(n.address, err))
	default:
		x.ok(link, "names "+address)
	}
}

// host examines a master and its replicas.
func (x *examination) host(ctx context.Context, s *session, h *host) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	info, err := information(ctx, h.client)
	if err != nil {
		x.broken("redis "+h.address, fault(h.address, err))
		return
	}
	x.ok("redis "+h.address, cmp.Or(valkey(info), "Redis")+" "+info["redis_version"]+", master")
	x.durable(ctx, h)
	x.server(ctx, h.address, h.client, info)
	x.replicas(ctx, s, h, info)
}

func valkey(info map[string]string) string {
	if info["server_name"] == "valkey" {
		return "Valkey, as Redis"
	}
	return ""
}

// information is what a server answers to INFO, by name.
func information(ctx context.Context, client rueidis.Client) (map[string]string, error) {
	text, err := client.Do(ctx, client.B().Info().Build()).ToString()
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), ":"); is {
			all[name] = value
		}
	}
	return all, err
}

// durable finds out what the host can prove.
func (x *examination) durable(ctx context.Context, h *host) {
	name := "durable " + h.address
	if x.config.Durable == "none" {
		x.ok(name, "nothing is stored")
		return
	}
	sh := &shard{durable: x.config.Durable, log: x.config.Log}
	if err := sh.learn(ctx, h); err != nil {
		x.broken(name, fault(h.address, err))
		return
	}
	switch sh.proof.Load().mode {
	case memory:
		x.warn(name, &problem.Problem{Code: CodeNoReplica, Key: "durable", Cause: "a fix counts as stored in the memory of this one server",
			Fix: "give it a replica, or write appendonly yes and durable = \"fsync\""})
	default:
		x.ok(name, sh.proof.Load().mode)
	}
}

// server examines what every server should have that is the master or may become it.
func (x *examination) server(ctx context.Context, address string, client rueidis.Client, info map[string]string) {
	used, _ := strconv.ParseFloat(info["used_memory"], 64)
	limit, _ := strconv.ParseFloat(info["maxmemory"], 64)
	name, policy := "memory "+address, info["maxmemory_policy"]
	switch {
	case policy != "noeviction" && policy != "":
		x.warn(name, &problem.Problem{Code: CodeEviction, Cause: "maxmemory-policy is " + policy + ": stored fixes and members of groups may be removed",
			Fix: "set maxmemory-policy noeviction in redis.conf"})
	case limit > 0 && used > nearlyFull*limit:
		x.warn(name, &problem.Problem{Code: CodeNearlyFull, Cause: fmt.Sprintf("%.0f of %.0f MiB are in use", used/(1<<20), limit/(1<<20)),
			Fix: "raise maxmemory in redis.conf, or make keep shorter"})
	case limit > 0:
		x.ok(name, fmt.Sprintf("%.0f of %.0f MiB are in use", used/(1<<20), limit/(1<<20)))
	default:
		x.ok(name, fmt.Sprintf("%.0f MiB are in use, without a limit", used/(1<<20)))
	}
	x.clock(ctx, address, client)
}

// clock compares the clock of a server with this machine's.
func (x *examination) clock(ctx context.Context, address string, client rueidis.Client) {
	name, asked := "clock "+address, time.Now()
	answer, err := client.Do(ctx, client.B().Time().Build()).AsIntSlice()
	if err != nil || len(answer) != 2 {
		x.skipped(name, fmt.Sprintf("TIME: %v", err))
		return
	}
	way := time.Since(asked) / 2
	off := time.Unix(answer[0], answer[1]*1000).Sub(asked.Add(way)).Round(time.Millisecond)
	if off.Abs() > clockOff+way {
		x.warn(name, &problem.Problem{Code: CodeClock, Cause: fmt.Sprintf("it differs by %v from this machine's", off),
			Fix: "synchronise the clocks of all machines (NTP): members of groups and messages expire by them"})
		return
	}
	x.ok(name, fmt.Sprintf("it differs by %v from this machine's", off))
}

// replicas examines the replicas of a master.
func (x *examination) replicas(ctx context.Context, s *session, h *host, master map[string]string) {
	name := "replicas " + h.address
	var priorities []string
	for i := 0; master[fmt.Sprintf("slave%d", i)] != ""; i++ {
		at := fields(master[fmt.Sprintf("slave%d", i)])
		address := net.JoinHostPort(at["ip"], at["port"])
		if at["state"] != "online" {
			x.warn("replica "+address, &problem.Problem{Code: CodeReplicaLost, Cause: "it does not follow the master yet: " + at["state"],
				Fix: "wait, else see its log"})
			continue
		}
		if priority, is := x.replica(ctx, s, h, address); is {
			priorities = append(priorities, priority)
		}
	}
	different := len(slices.Compact(slices.Sorted(slices.Values(priorities)))) > 1
	switch {
	case master["connected_slaves"] == "0":
		if x.config.Durable == replicated {
			x.broken(name, &problem.Problem{Code: CodeNotReplicated, Key: "durable", Cause: "there is none: no fix is acknowledged",
				Fix: "start a replica, or set durable = \"memory\""})
		} else if h.target.master != "" {
			x.warn(name, &problem.Problem{Code: CodeReplicaLost, Cause: "there is none: the Sentinels cannot replace the master", Fix: "start the replicas"})
		}
	case different || slices.Contains(priorities, "0"):
		x.warn(name, &problem.Problem{Code: CodeReplicaPriority, Cause: "their replica-priority is " + strings.Join(priorities, ", ") +
			": a failover may pass over the one that has confirmed a fix", Fix: "set replica-priority 100 in the redis.conf of every Redis"})
	case h.target.master == "":
		x.warn(name, &problem.Problem{Code: CodeNoSentinel, Key: "url", Cause: "there are replicas, and the URL names one Redis: no failover is followed",
			Fix: "name the Sentinels: redis-sentinel://HOST:26379,HOST:26379/MASTER"})
	default:
		x.ok(name, master["connected_slaves"]+", with equal priority")
	}
}

// replica examines one, and returns its priority.
func (x *examination) replica(ctx context.Context, s *session, h *host, address string) (priority string, known bool) {
	client, err := h.open(s, address, h.target)
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	var info map[string]string
	if err == nil {
		info, err = information(ctx, client)
	}
	if err != nil {
		x.warn("replica "+address, fault(address, err))
		return "", false
	}
	x.ok("replica "+address, "Redis "+info["redis_version"])
	x.server(ctx, address, client, info)
	priority, known = info["slave_priority"]
	return priority, known
}

// fields reads ip=10.0.0.2,port=6379.
func fields(text string) map[string]string {
	all := map[string]string{}
	for one := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(one, "=")
		all[name] = value
	}
	return all
}

// kind finds out how the application's channel layer is written, and what it holds, and sends a message through a group.
func (x *examination) kind(ctx context.Context, s *session) {
	l, err := Open(x.config)
	if err != nil {
		x.broken("kind", err)
		return
	}
	name := x.config.Kind
	seen, err := l.recognise(s)
	switch {
	case name == "auto" && err != nil:
		x.broken("kind", err)
		x.skipped("probe", "the kind is unclear")
		return
	case name != "auto" && err == nil && seen != name:
		x.warn("kind", &problem.Problem{Code: CodeKindUnclear, Key: "kind", Cause: fmt.Sprintf("it is set to %s, and the groups in Redis are those of %s", name, seen),
			Fix: "see BACKEND in CHANNEL_LAYERS"})
	case name != "auto":
		x.ok("kind", name)
	default:
		x.ok("kind", seen+", seen in Redis")
	}
	if p := x.config.eventUnset(); p != nil {
		x.warn("event", p)
	}
	x.config.Kind = cmp.Or(map[bool]string{true: seen}[name == "auto"], name)
	if x.config.Kind == "core" {
		for _, h := range s.hosts {
			x.queues(ctx, s, h)
		}
	}
	x.probe(ctx)
}

// queues examines the queues of the application's processes that are members of groups on a host.
func (x *examination) queues(ctx context.Context, s *session, h *host) {
	name := "queues " + h.address
	all, err := x.config.applicationQueues(ctx, h)
	if err != nil {
		x.warn(name, fault(h.address, err))
		return
	}
	fullest, stale := int64(0), 0
	for _, queue := range all {
		at := s.host(queue)
		key := x.config.Prefix + queue
		n, err := at.client.Do(ctx, at.client.B().Zcard().Key(key).Build()).AsInt64()
		if err != nil {
			x.warn(name, fault(at.address, err))
			return
		}
		fullest = max(fullest, n)
		oldest, err := at.client.Do(ctx, at.client.B().Zrange().Key(key).Min("0").Max("0").Withscores().Build()).AsZScores()
		if err == nil && len(oldest) == 1 && time.Since(time.UnixMilli(int64(oldest[0].Score*1000))) > unread {
			stale++
		}
	}
	seen := fmt.Sprintf("%d processes of the application are members of groups; the fullest queue has %d messages", len(all), fullest)
	switch {
	case stale > 0:
		x.warn(name, &problem.Problem{Code: CodeStaleMember, Cause: fmt.Sprintf("%d of %d processes of the application have not read their queue for %v", stale, len(all), unread),
			Fix: "restart those that hang; what a dead one left goes within group_expiry, a day, and does no harm"})
	case fullest >= queueCapacity:
		x.warn(name, &problem.Problem{Code: CodeQueueFull, Cause: seen + ": it takes no more",
			Fix: "start more processes of the application, or raise capacity in CHANNEL_LAYERS"})
	default:
		x.ok(name, seen)
	}
}

// applicationQueues returns the names of the queues of the application whose members are in the groups of a host, of which it looks at as many as
// auto does.
func (c Config) applicationQueues(ctx context.Context, h *host) (queues []string, err error) {
	var at rueidis.ScanEntry
	for range scans {
		at, err = h.client.Do(ctx, h.client.B().Scan().Cursor(at.Cursor).Match(literal(c.Prefix)+":group:*").Count(1000).Type("zset").Build()).AsScanEntry()
		if err != nil {
			return nil, err
		}
		for _, key := range at.Elements {
			members, err := h.client.Do(ctx, h.client.B().Zrange().Key(key).Min("0").Max("-1").Build()).AsStrSlice()
			if err != nil {
				return nil, err
			}
			for _, d := range deliveriesTo(members) {
				queues = append(queues, d.queue)
			}
		}
		if at.Cursor == 0 {
			break
		}
	}
	slices.Sort(queues)
	return slices.Compact(queues), nil
}

// probe sends a message from one node to another.
func (x *examination) probe(ctx context.Context) {
	c := x.config
	c.Durable = "none"
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	device := "doctor_" + strings.ToLower(rand.Text()[:8])
	took, err := travel(ctx, c, device, func(from, _ *Layer, message []group.Message) error { return from.Publish(ctx, device, message) })
	if err == nil && c.Kind == "core" { // and as the application sends it
		_, err = travel(ctx, c, device, func(from, to *Layer, message []group.Message) error {
			return asApplication(ctx, from, to, device, message)
		})
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = &problem.Problem{Code: CodeProbe, Cause: fmt.Sprintf("a message to the group %s has not come back within %v", c.group(device), probeWait),
			Fix: "see the log of Redis", Err: err}
	}
	if err != nil {
		x.broken("probe", err)
		return
	}
	x.ok("probe", fmt.Sprintf("a message came back through the group %s after %.1f ms", c.group(device), float64(took.Microseconds())/1000))
}

// asApplication writes messages to the queue of a node, as channels_redis.core does.
func asApplication(ctx context.Context, from, to *Layer, device string, messages []group.Message) error {
	s, err := from.current()
	if err != nil {
		return err
	}
	name, k := from.config.group(device), from.kind.(*core)
	member, _ := to.kind.(*core).member(name)
	queue, _, _ := strings.Cut(member, "!")
	d := &delivery{queue: queue + "!", to: []string{member}}
	for _, m := range messages {
		e, err := k.event(m.Data)
		if err != nil {
			return err
		}
		d.events = append(d.events, k.seal(e, d.to))
	}
	return k.write(ctx, s, name, []*delivery{d})
}

// travel returns how long a message needs from one node to another, sent in some way.
func travel(ctx context.Context, c Config, device string, send func(from, to *Layer, message []group.Message) error) (took time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var nodes [2]*Layer
	got := make(arrivals, 1)
	ended := make(chan struct{})
	for i := range nodes {
		if nodes[i], err = Open(c); err != nil {
			cancel()
			return 0, err
		}
	}
	for i, node := range nodes {
		r := group.Receiver(arrivals(nil))
		if i == 1 {
			r = got
		}
		go func() {
			_ = node.Run(ctx, r)
			ended <- struct{}{}
		}()
	}
	defer func() {
		cancel()
		<-ended
		<-ended
	}()
	for _, node := range nodes {
		if err := node.Join(ctx, device); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if err := send(nodes[0], nodes[1], []group.Message{{Data: []byte(`{"class":"DOCTOR"}`)}}); err != nil {
		return 0, err
	}
	select {
	case <-got:
		return time.Since(began), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// arrivals is a receiver that reports each message; nil reports none.
type arrivals chan struct{}

func (a arrivals) Receive(string, group.Message) {
	select {
	case a <- struct{}{}:
	default:
	}
}

func (a arrivals) Missed() {}

func (a arrivals) Lost() {}
