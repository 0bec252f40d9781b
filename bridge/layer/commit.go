package layer

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

// Codes of the problems that keep a fix from being acknowledged.
const (
	CodeNotReplicated problem.Code = "layer-not-replicated"
	CodeNotOnDisk     problem.Code = "layer-not-on-disk"
	CodeFull          problem.Code = "layer-full"
	CodeCannotSave    problem.Code = "layer-cannot-save"
	CodeDataLost      problem.Code = "layer-data-lost"
)

const (
	// scriptFixes is how many fixes one call of the script stores: other commands of Redis wait for it, some 2 ms.
	scriptFixes = 256
	// commitBytes bounds what one commit holds beside its first request: 12,000 fixes of 335 B, which are what comes while WAITAOF waits
	// for a disk that is written to once a second.
	commitBytes = 4 << 20
	// runBytes is the longest run in the name of a key; of longer ones the hash is. Trackers' have 16, and what a publisher makes up would fill the
	// memory of Redis for an hour.
	runBytes = 64
	// proofWait bounds the wait for replicas and disks: as long as a relay lets its publishers wait. What is stored lacks only their confirmation, and
	// what comes after it needs one too: to refuse it sooner would have all publishers connect again where a machine is short of CPU.
	proofWait = 10 * time.Second
	// answerWait bounds the time in which Redis answers, beside that. One that hangs is found sooner by the probe.
	answerWait = 5 * time.Second
)

// The keys and arguments that a fix has in a call of the script.
const (
	keysOfFix = 3
	argsOfFix = 6
)

//go:embed commit.lua
var commitText string

// request is fixes of one device that are stored together, as the script takes them.
type request struct {
	keys, args []string
	bytes      int
	done       chan error // takes one error without blocking
}

// newRequest makes a request of those messages that have a key; nil when none has.
func (sh *shard) newRequest(device string, messages []group.Message) *request {
	p := strconv.Itoa(partition(device))
	stream, last, seen := sh.prefix+":"+p, sh.prefix+":"+p+":last", sh.prefix+":"+p+":"+device+":"
	r := &request{done: make(chan error, 1), keys: make([]string, 0, keysOfFix*len(messages)), args: make([]string, 0, argsOfFix*len(messages))}
	for _, m := range messages {
		if m.Key == (group.Key{}) {
			continue
		}
		backlog := ""
		if m.Backlog {
			backlog = "1"
		}
		run := m.Key.Run
		if len(run) > runBytes {
			run = fmt.Sprintf("%x", sha256.Sum256([]byte(run)))
		}
		r.keys = append(r.keys, stream, last, seen+run+":"+strconv.FormatUint(m.Key.Seq/seenBits, 10))
		r.args = append(r.args, device, m.Key.Run, strconv.FormatUint(m.Key.Seq, 10), strconv.FormatUint(m.Key.Seq%seenBits, 10), backlog,
			rueidis.BinaryString(m.Data))
		r.bytes += len(m.Data)
	}
	if len(r.keys) == 0 {
		return nil
	}
	return r
}

// commit returns when the messages of a device are stored as durably as is configured, or the time that ctx gives is over.
func (sh *shard) commit(ctx context.Context, s *session, h *host, device string, messages []group.Message) error {
	r := sh.newRequest(device, messages)
	if r == nil {
		return nil
	}
	select {
	case sh.requests <- r:
	case <-ctx.Done():
		return sh.proof.Load().late(ctx.Err(), h)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return sh.proof.Load().late(ctx.Err(), h)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// serve commits what comes until ctx ends. It has one commit on its way and collects for the next one meanwhile: a lone request waits for
// no other, and the more there are the larger are the commits.
func (sh *shard) serve(ctx context.Context, s *session, h *host) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case first := <-sh.requests:
			if err := sh.store(ctx, s, h, sh.collect(first)); err != nil {
				return err
			}
		}
	}
}

// collect returns first and the requests that wait beside it, in the order in which they came, divided into calls of the script.
func (sh *shard) collect(first *request) [][]*request {
	runtime.Gosched() // to the publishers that the last commit has woken
	calls, fixes, size := [][]*request{{first}}, len(first.keys)/keysOfFix, first.bytes
	for size < commitBytes {
		select {
		case r := <-sh.requests:
			if fixes += len(r.keys) / keysOfFix; fixes > scriptFixes {
				calls, fixes = append(calls, nil), len(r.keys)/keysOfFix
			}
			calls[len(calls)-1] = append(calls[len(calls)-1], r)
			size += r.bytes
		default:
			return calls
		}
	}
	return calls
}

// store makes one commit and answers its requests. An error ends the session.
func (sh *shard) store(ctx context.Context, s *session, h *host, calls [][]*request) error {
	epoch, proof := sh.epoch.Load().(string), sh.proof.Load()
	answers := sh.send(ctx, h, calls, epoch, proof)
	for _, answer := range answers {
		if refusal, is := rueidis.IsRedisErr(answer.Error()); is && refusal.IsNoScript() { // another master, or SCRIPT FLUSH
			if err := sh.load(ctx, h); err != nil {
				return s.check(err)
			}
			answers = sh.send(ctx, h, calls, epoch, proof)
			break
		}
	}
	if single := apart(calls, answers); len(single) > len(calls) {
		calls, answers = single, sh.send(ctx, h, single, epoch, proof)
	}
	var unproven error
	if proof.mode != memory {
		unproven = proof.check(answers[len(calls)], h)
	}
	var broken error
	for i, requests := range calls {
		stored, err := answers[i].AsStrSlice()
		if err == nil {
			err = unproven
		}
		switch {
		case err == nil && stored[1] != "":
			sh.newest.Store(&entry{stream: stored[0], id: stored[1], at: time.Now()})
		case reply(err) == replyEpoch:
			broken = sh.verify(ctx, h)
		}
		if err = refused(err, h); err != nil && problem.CodeOf(err) == "" {
			if reply(err) == "" { // nothing that Redis answered
				broken = err
			}
			err = s.check(err)
		}
		for _, r := range requests {
			r.done <- err
		}
	}
	return s.check(broken)
}

// apart gives each request of a call that failed a call of its own: what a key of one device holds must not keep those of others from being
// stored. What such a call stored before it failed is recognised.
func apart(calls [][]*request, answers []rueidis.RedisResult) (single [][]*request) {
	for i, requests := range calls {
		switch reply(answers[i].Error()) {
		case replyWrongType, replyError:
			for r := range slices.Chunk(requests, 1) {
				single = append(single, r)
			}
		default:
			single = append(single, requests)
		}
	}
	return single
}

// send writes the calls of a commit and the proof that is asked for, all on one connection: WAIT waits for what its own has written.
func (sh *shard) send(ctx context.Context, h *host, calls [][]*request, epoch string, p *proof) []rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, proofWait+answerWait)
	defer cancel()
	commands := make([]rueidis.Completed, 0, len(calls)+1)
	ttl := strconv.FormatInt(max(sh.keep, seenFor).Milliseconds(), 10)
	for _, requests := range calls {
		keys, args := []string{sh.prefix + ":epoch"}, []string{epoch, ttl}
		for _, r := range requests {
			keys, args = append(keys, r.keys...), append(args, r.args...)
		}
		commands = append(commands, h.client.B().Evalsha().Sha1(sh.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build())
	}
	if p.mode != memory {
		commands = append(commands, p.command(h))
	}
	return h.client.DoMulti(ctx, commands...)
}

// proof is what shows that a commit is as durable as is asked for.
type proof struct {
	mode     string // memory, replicated or fsync
	replicas int64  // how many must have it
	waitAOF  bool   // Redis can tell what is on disk, as from 7.2 on
}

func (p *proof) command(h *host) rueidis.Completed {
	ms := proofWait.Milliseconds()
	if p.waitAOF {
		return h.client.B().Waitaof().Numlocal(1).Numreplicas(p.replicas).Timeout(ms).Build()
	}
	return h.client.B().Wait().Numreplicas(p.replicas).Timeout(ms).Build()
}

// check returns why the answer to command is no proof.
func (p *proof) check(answer rueidis.RedisResult, h *host) error {
	var disks, replicas int64
	if p.waitAOF {
		counts, err := answer.AsIntSlice()
		if err != nil {
			return err
		}
		disks, replicas = counts[0], counts[1]
	} else {
		count, err := answer.AsInt64()
		if err != nil {
			return err
		}
		disks, replicas = 1, count
	}
	if disks < 1 || replicas < p.replicas {
		return p.late(context.DeadlineExceeded, h)
	}
	return nil
}

// late is why a commit has not ended when err has ended the wait for it: where that is the end of its time, the proof has not come.
func (p *proof) late(err error, h *host) error {
	switch {
	case err != context.DeadlineExceeded || p.mode == memory:
		return err
	case p.mode == fsync:
		return &problem.Problem{Code: CodeNotOnDisk, Key: "durable", Cause: h.address + " and its replicas have not written to their disks in time",
			Fix: "look at its replicas (redis-cli info replication), at the disks, and at appendfsync in redis.conf"}
	}
	return &problem.Problem{Code: CodeNotReplicated, Key: "durable", Cause: "no replica of " + h.address + " has confirmed in time",
		Fix: "look at its replicas (redis-cli info replication)"}
}

// The first words of the errors with which Redis and commit.lua refuse a commit.
const (
	replyEpoch      = "EPOCH"
	replyFull       = "OOM"
	replyNoReplicas = "NOREPLICAS"
	replyCannotSave = "MISCONF"
)

// refused returns the problem in an error with which Redis refuses a commit, and any other error as it is.
func refused(err error, h *host) error {
	switch reply(err) {
	case replyEpoch:
		return &problem.Problem{Code: CodeDataLost, Cause: h.address + " has lost its data", Fix: "nothing: trackers send again what they still have", Err: err}
	case replyFull:
		return &problem.Problem{Code: CodeFull, Key: "keep", Cause: "the memory of " + h.address + " is full",
			Fix: "raise maxmemory in redis.conf, or make keep shorter", Err: err}
	case replyNoReplicas:
		return &problem.Problem{Code: CodeNotReplicated, Cause: h.address + " has fewer replicas than its min-replicas-to-write",
			Fix: "look at its replicas (redis-cli info replication)", Err: err}
	case replyCannotSave:
		return &problem.Problem{Code: CodeCannotSave, Cause: h.address + " cannot write its data to disk",
			Fix: "free space there, or set stop-writes-on-bgsave-error no in redis.conf", Err: err}
	}
	return err
}
