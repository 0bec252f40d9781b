package layer

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

// CodeDurable is of a durable that this Redis cannot give.
const CodeDurable problem.Code = "layer-durable"

// The values of Config.Durable that store something.
const (
	memory     = "memory"
	replicated = "replicated"
	fsync      = "fsync"
)

const (
	// partitions is into how many streams fixes are divided by their device: that many workers can read them.
	partitions = 16
	// seenBits is how many fixes of a run share a key that marks the stored ones: 512 B, over an hour at 1 Hz.
	seenBits = 4096
	// seenFor is for how long a repeat is recognised at least. Trackers keep what was acknowledged for 10 minutes (uplink.retain), and most
	// come back from where there is no network within the hour.
	seenFor = time.Hour
	// checkEvery is how often the epoch is looked at, trimEvery how often streams are trimmed.
	checkEvery = time.Second
	trimEvery  = 10 * time.Second
)

var (
	//go:embed history.lua
	historyText   string
	historyScript = rueidis.NewLuaScript(historyText)
	//go:embed trim.lua
	trimText   string
	trimScript = rueidis.NewLuaScript(trimText)
	// forgetScript removes the epoch if it is the known one.
	forgetScript = rueidis.NewLuaScript("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 0")
)

// streams is the store that keeps fixes in Redis streams. Of the keys, which begin with Config.Stream, partition P of 16 has
//
//	P             a stream with the members device_id, run, seq, previous, message; previous is the ID of the device's entry before
//	P:last        a hash by device: what commit.lua describes; nothing removes it
//	P:DEVICE:RUN:N  bits of the fixes of a run that are stored, 4096 each
//
// and each host has one key epoch. All keys of a partition are on one host.
type streams struct {
	shards []*shard // as the hosts of a session
}

// newStreams makes the store. lost is called each time a host turns out to have lost what was stored.
func newStreams(c Config, lost func()) *streams {
	st := &streams{}
	for range c.URLs {
		st.shards = append(st.shards, &shard{durable: c.Durable, prefix: c.Stream, keep: c.Keep, log: c.Log, lost: lost, requests: make(chan *request),
			untrimmed: rate.Sometimes{Interval: time.Minute}})
	}
	return st
}

func partition(device string) int { return int(crc32.ChecksumIEEE([]byte(device)) % partitions) }

// at is where the fixes of a device are.
func (st *streams) at(device string) int { return partition(device) % len(st.shards) }

func (st *streams) begin(ctx context.Context, s *session) error {
	for i, h := range s.hosts {
		if err := st.shards[i].begin(ctx, h); err != nil {
			return s.check(err)
		}
	}
	return nil
}

func (st *streams) run(ctx context.Context, s *session) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, h := range s.hosts {
		g.Go(func() error { return st.shards[i].serve(ctx, s, h) })
		g.Go(func() error { return s.check(st.shards[i].attend(ctx, i, len(s.hosts), h)) })
	}
	return g.Wait()
}

func (st *streams) commit(ctx context.Context, s *session, device string, messages []group.Message) error {
	i := st.at(device)
	return st.shards[i].commit(ctx, s, s.hosts[i], device, messages)
}

func (st *streams) history(ctx context.Context, s *session, device string, after group.Key, most int) ([]group.Message, bool, error) {
	i, seq := st.at(device), ""
	if after != (group.Key{}) {
		seq = strconv.FormatUint(after.Seq, 10)
	}
	stream := fmt.Sprintf("%s:%d", st.shards[i].prefix, partition(device))
	answer, err := historyScript.Exec(ctx, s.hosts[i].client, []string{stream, stream + ":last"}, []string{device, after.Run, seq, strconv.Itoa(most)}).ToArray()
	if err != nil {
		return nil, false, s.check(err)
	}
	complete, err := answer[0].AsInt64()
	if err != nil {
		return nil, false, err
	}
	var messages []group.Message
	for fix := range slices.Chunk(answer[1:], 3) {
		m, err := storedMessage(fix)
		if err != nil {
			return nil, false, err
		}
		messages = append(messages, m)
	}
	slices.Reverse(messages)
	return messages, complete == 1, nil
}

func (st *streams) epoch(device string) string {
	epoch, _ := st.shards[st.at(device)].epoch.Load().(string) // not known before the first session
	return epoch
}

// storedMessage is the message in run, seq and data.
func storedMessage(fix []rueidis.RedisMessage) (m group.Message, err error) {
	if m.Key.Run, err = fix[0].ToString(); err != nil {
		return m, err
	}
	if m.Key.Seq, err = fix[1].AsUint64(); err != nil {
		return m, err
	}
	m.Data, err = fix[2].AsBytes()
	return m, err
}

// shard is the streams of one host, and what is remembered of it from session to session.
type shard struct {
	// Set once.
	durable string // as it is configured
	prefix  string
	keep    time.Duration
	log     *slog.Logger
	lost    func()

	requests chan *request // unbuffered: publishers wait in it

	sha    string // of the script for commits, from begin on
	proof  atomic.Pointer[proof]
	newest atomic.Pointer[entry] // the last entry of this node that was acknowledged

	verifying sync.Mutex   // one at a time, so that a loss is reported once
	epoch     atomic.Value // string, from begin on

	untrimmed rate.Sometimes
	slow      string // the consumer group that keeps a stream from being trimmed; attend's
}

// entry is where a fix was stored.
type entry struct {
	stream, id string
	at         time.Time
}

// begin learns what the host can prove and whether it still has what was stored.
func (sh *shard) begin(ctx context.Context, h *host) error {
	if err := sh.learn(ctx, h); err != nil {
		return err
	}
	if err := sh.load(ctx, h); err != nil {
		return err
	}
	if err := sh.verify(ctx, h); err != nil {
		return err
	}
	return sh.compare(ctx, h)
}

func (sh *shard) load(ctx context.Context, h *host) (err error) {
	sh.sha, err = h.client.Do(ctx, h.client.B().ScriptLoad().Script(commitText).Build()).ToString()
	return err
}

// verify compares the epoch of the host with the known one. Where it is missing or another one, the host has lost its data, or its
// place was given to one without them.
func (sh *shard) verify(ctx context.Context, h *host) error {
	sh.verifying.Lock()
	defer sh.verifying.Unlock()
	key := sh.prefix + ":epoch"
	get := func() (string, error) { return h.client.Do(ctx, h.client.B().Get().Key(key).Build()).ToString() }
	epoch, err := get()
	if rueidis.IsRedisNil(err) {
		err = h.client.Do(ctx, h.client.B().Set().Key(key).Value(rand.Text()).Nx().Build()).Error()
		if err == nil || rueidis.IsRedisNil(err) { // another node's, if it was quicker
			epoch, err = get()
		}
	}
	if err != nil {
		return err
	}
	if known := sh.epoch.Swap(epoch); known != nil && known != epoch {
		sh.newest.Store(nil)
		sh.log.Warn("Redis has lost stored fixes: trackers are asked to send again", "host", h.address)
		sh.lost()
	}
	return nil
}

// compare looks for the last entry that was acknowledged to this node. A server that came back with older data, such as a snapshot, has
// its epoch and not that.
func (sh *shard) compare(ctx context.Context, h *host) error {
	newest := sh.newest.Load()
	if newest == nil || time.Since(newest.at) > sh.keep/2 { // it may have been trimmed
		return nil
	}
	found, err := h.client.Do(ctx, h.client.B().Xrange().Key(newest.stream).Start(newest.id).End(newest.id).Build()).AsXRange()
	if err != nil || len(found) > 0 {
		return err
	}
	// Other nodes, and trackers that are not connected now, learn of it by another epoch, of which there is one however many nodes see this.
	if err := forgetScript.Exec(ctx, h.client, []string{sh.prefix + ":epoch"}, []string{sh.epoch.Load().(string)}).Error(); err != nil {
		return err
	}
	return sh.verify(ctx, h)
}

// learn finds out what proves that a fix is durable. A host that has had a replica is asked for one from then on: a master that is cut off
// from its replicas looks like one that has none.
func (sh *shard) learn(ctx context.Context, h *host) error {
	known, p := sh.proof.Load(), proof{mode: sh.durable}
	info, err := h.client.Do(ctx, h.client.B().Info().Section("replication").Build()).ToString()
	if err != nil {
		return err
	}
	if known != nil && known.replicas > 0 || !strings.Contains(info, "connected_slaves:0\r\n") {
		p.replicas = 1
	}
	switch p.mode {
	case "":
		if p.mode = memory; p.replicas > 0 {
			p.mode = replicated
		}
	case replicated:
		p.replicas = 1
	case fsync:
		if p.waitAOF, err = writesDisk(ctx, h); err != nil {
			return err
		}
	}
	if p.mode == memory {
		p.replicas = 0
	}
	if known == nil || *known != p {
		sh.proof.Store(&p)
		sh.log.Info("fixes are stored in Redis", "host", h.address, "durable", p.mode, "replicas", p.replicas)
	}
	return nil
}

// writesDisk checks that the host acknowledges what is on its disk: by WAITAOF where that is there, else with every answer.
func writesDisk(ctx context.Context, h *host) (waitAOF bool, err error) {
	commands, err := h.client.Do(ctx, h.client.B().CommandInfo().CommandName("WAITAOF").Build()).ToArray()
	if err != nil {
		return false, err
	}
	waitAOF = len(commands) == 1 && !commands[0].IsNil()
	settings, err := h.client.Do(ctx, h.client.B().ConfigGet().Parameter("append*").Build()).AsStrMap()
	if _, refused := rueidis.IsRedisErr(err); refused && waitAOF { // hosted ones allow no CONFIG; WAITAOF fails without appendonly
		return true, nil
	} else if err != nil && !refused {
		return false, err
	}
	switch {
	case settings["appendonly"] != "yes":
		return false, &problem.Problem{Code: CodeDurable, Key: "durable", Cause: h.address + " does not write what it stores to disk at once",
			Fix: "set appendonly yes in the redis.conf of every Redis"}
	case !waitAOF && settings["appendfsync"] != "always":
		return false, &problem.Problem{Code: CodeDurable, Key: "durable", Cause: h.address + " cannot tell when a fix is on disk, as Redis before 7.2",
			Fix: "set appendfsync always in the redis.conf of every Redis, or durable to replicated"}
	}
	return waitAOF, nil
}

// attend verifies the epoch and trims the streams, those of n hosts that are on host i, until ctx ends.
func (sh *shard) attend(ctx context.Context, i, n int, h *host) error {
	check, trim := time.NewTicker(checkEvery), time.NewTicker(trimEvery)
	defer check.Stop()
	defer trim.Stop()
	for {
		do := func(ctx context.Context) error { return sh.verify(ctx, h) }
		select {
		case <-ctx.Done():
			return nil
		case <-check.C:
		case <-trim.C:
			do = func(ctx context.Context) error {
				if err := sh.learn(ctx, h); err != nil { // replicas may have come
					return err
				}
				return sh.trim(ctx, i, n, h)
			}
		}
		bounded, cancel := context.WithTimeout(ctx, answerWait)
		err := do(bounded)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// trim removes what is older than keep and acknowledged by all consumer groups. All nodes do it, which does no harm.
func (sh *shard) trim(ctx context.Context, i, n int, h *host) error {
	slow, longest := "", int64(0)
	for p := i; p < partitions; p += n {
		keys, args := []string{fmt.Sprintf("%s:%d", sh.prefix, p)}, []string{strconv.FormatInt(sh.keep.Milliseconds(), 10)}
		answer, err := trimScript.Exec(ctx, h.client, keys, args).ToArray()
		if err != nil && !ends(err) { // a stream that cannot be trimmed must not end the session of all groups
			sh.untrimmed.Do(func() { sh.log.Warn("a stream is not trimmed", "key", keys[0], "err", fault(h.address, err)) })
			continue
		}
		if err != nil {
			return err
		}
		name, err := answer[0].ToString()
		if err != nil {
			return err
		}
		lag, err := answer[1].AsInt64()
		if err != nil {
			return err
		}
		if lag > longest {
			slow, longest = name, lag
		}
	}
	if slow != sh.slow && slow != "" {
		sh.log.Warn("fixes older than keep stay until a consumer group acknowledges them: see that its worker runs, or remove it with XGROUP DESTROY",
			"group", slow, "host", h.address, "lag", (time.Duration(longest) * time.Millisecond).Round(time.Second).String())
	}
	sh.slow = slow
	return nil
}
