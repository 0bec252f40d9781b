package layer

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/problem"
)

// sentinelTimeout bounds one question to the Sentinels. They are asked once a second while a session stands.
const sentinelTimeout = time.Second

// sentinel is one Sentinel of a host.
type sentinel struct {
	address string
	client  func() rueidis.Client // connects at the first call
}

// addSentinels lists the Sentinels of the host. It does not connect to them.
func (h *host) addSentinels(s *session) {
	for _, address := range h.target.addresses {
		h.sentinels = append(h.sentinels, sentinel{address, sync.OnceValue(func() rueidis.Client { return h.openSentinel(s, address) })})
	}
}

// openSentinel connects to a Sentinel: with the login of Redis, unless it has no such user, as is usual.
func (h *host) openSentinel(s *session, address string) rueidis.Client {
	login := target{user: h.target.user, password: h.target.password}
	client, err := h.open(s, address, login)
	if reply(err) == replyWrongPass {
		client.Close()
		client, _ = h.open(s, address, target{})
	}
	return client
}

// answer is what the Sentinel of an index answered.
type answer struct {
	from    int
	address string
	epoch   int64 // of its configuration: each failover has a higher one, which Sentinels take over from each other. 0 where it may not be asked for
	err     error
}

// askSentinels returns the address of the master that more than half of the Sentinels name. It does not wait for the others then. Where there are not
// as many, or they are divided, it is the address of the newest failover: one in three is often cut off with the old master.
func (h *host) askSentinels(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sentinelTimeout)
	defer cancel()
	answers := make(chan answer, len(h.sentinels))
	for i, n := range h.sentinels {
		go func() {
			address, epoch, err := n.ask(ctx, h.target.master)
			answers <- answer{i, address, epoch, err}
		}()
	}
	return h.count(ctx, answers)
}

// count counts the answers of the host's Sentinels that come before ctx ends.
func (h *host) count(ctx context.Context, answers <-chan answer) (string, error) {
	named, newest := make([]string, len(h.sentinels)), answer{epoch: -1}
	err := error(fault(h.address, context.DeadlineExceeded))
	for range h.sentinels {
		select {
		case a := <-answers:
			named[a.from] = a.address
			err = cmp.Or(a.err, err)
			if a.err == nil && a.epoch > newest.epoch {
				newest = a
			}
		case <-ctx.Done():
		}
		if address, votes := most(named); votes > len(named)/2 {
			return address, nil
		}
	}
	if newest.address != "" {
		return newest.address, nil
	}
	return "", err
}

// most returns the name that occurs most often, the first of several, and how often; "" does not count.
func most(names []string) (name string, votes int) {
	count := map[string]int{}
	for _, n := range names {
		count[n]++
	}
	for _, n := range names {
		if n != "" && count[n] > votes {
			name, votes = n, count[n]
		}
	}
	return name, votes
}

// ask returns the address of the master as this Sentinel knows it, and the epoch of answer.
func (n sentinel) ask(ctx context.Context, master string) (address string, epoch int64, err error) {
	client := n.client()
	results := client.DoMulti(ctx, client.B().SentinelGetMasterAddrByName().Master(master).Build(), client.B().Arbitrary("SENTINEL", "MASTER", master).Build())
	at, err := results[0].AsStrSlice()
	if rueidis.IsRedisNil(err) || err == nil && len(at) != 2 {
		return "", 0, &problem.Problem{Code: CodeNoMaster, Key: "url", Cause: fmt.Sprintf("the Sentinel at %s does not know a master %q", n.address, master),
			Fix: "write the name of its line `sentinel monitor`"}
	}
	if reply(err) == replyError {
		return "", 0, &problem.Problem{Code: CodeNoMaster, Key: "url", Cause: n.address + " is no Sentinel",
			Fix: "write the addresses of Sentinels, whose usual port is 26379, or redis:// for a Redis alone", Err: err}
	}
	if err != nil {
		return "", 0, fault(n.address, err)
	}
	if known, err := results[1].AsStrMap(); err == nil {
		epoch, _ = strconv.ParseInt(known["config-epoch"], 10, 64)
	}
	return net.JoinHostPort(at[0], at[1]), epoch, nil
}

// watchSentinels ends the session when the Sentinels name another master. It returns with the session.
func (h *host) watchSentinels(s *session) {
	every(s.ctx, time.Second, func() {
		if address, err := h.askSentinels(s.ctx); err == nil && address != h.address {
			s.end(&problem.Problem{Code: CodeLost, Cause: fmt.Sprintf("Redis at %s is no longer the master: that is at %s", h.address, address)})
		}
	})
}

// every calls f again and again until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}
