package layer

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/realtest"
)

const (
	// faultLasts is for how long a master is cut off, gone or stopped: longer than Sentinel needs to replace it.
	faultLasts = 9 * time.Second
	// sendEvery is the pause between two messages, and so the shortest gap that is seen.
	sendEvery = 100 * time.Millisecond
	// stale is the age from which a message does not end a gap: what the old master still has for a subscriber comes when its cable is plugged in again.
	stale = time.Second
	// failoverDevice is the device of whose group the subscribers are, and failoverChannel the channel of that.
	failoverDevice  = "van_7"
	failoverChannel = "asgi__group__gps_tracking_" + failoverDevice
	// subscriberEnv holds what a process of [TestSubscriber] is to subscribe with, and the URL of the Sentinels.
	subscriberEnv = "TEST_GPSBRIDGE_SUBSCRIBER"
)

// BenchmarkFailover is for how long subscribers of a channel receive nothing when its master is cut off, killed or stopped for nine seconds: one of this package,
// one with rueidis alone and one with redis-py, each in a process of its own beside three Redis and three Sentinels, on hosts of a network. A message is
// sent ten times a second to the master that two Sentinels name. Of Sentinel's own time, until two name another master, and of each one's longest gap it
// reports the mean and the most, and of the gap beyond Sentinel's own time the most; of each failover a line.
func BenchmarkFailover(b *testing.B) {
	realtest.Need(b, realtest.Namespaces, realtest.RedisServer, realtest.ChannelsRedis)
	for _, fault := range []struct {
		name       string
		begin, end func(*realtest.Host, *realtest.RedisStore)
	}{
		{"cut", func(h *realtest.Host, _ *realtest.RedisStore) { h.Cut() }, func(h *realtest.Host, _ *realtest.RedisStore) { h.Plug() }},
		{"killed", func(_ *realtest.Host, r *realtest.RedisStore) { r.Kill() }, func(_ *realtest.Host, r *realtest.RedisStore) { r.Restart() }},
		{"stopped", func(_ *realtest.Host, r *realtest.RedisStore) { r.Hang() }, func(_ *realtest.Host, r *realtest.RedisStore) { r.Wake() }},
	} {
		b.Run(fault.name, func(b *testing.B) {
			s := newStage(b)
			took, beyond := map[string][]time.Duration{}, map[string]time.Duration{}
			for b.Loop() {
				master := s.settle()
				host := s.network.Host(slices.Index(s.redis.Redis, master))
				began := time.Now()
				fault.begin(host, master)
				await(b, "the Sentinels name another master", func() bool { return s.named.Load() != master })
				elected := time.Since(began)
				<-time.After(faultLasts - elected)
				fault.end(host, master)
				s.settle()
				report := fmt.Sprintf("another master after %.1f s; gaps:", elected.Seconds())
				took["sentinel"] = append(took["sentinel"], elected)
				for _, one := range s.subscribers {
					gap := one.longest()
					took[one.name] = append(took[one.name], gap)
					beyond[one.name] = max(beyond[one.name], gap-elected)
					report += fmt.Sprintf(" %s %.1f s", one.name, gap.Seconds())
				}
				b.Log(report)
			}
			b.ReportMetric(0, "ns/op")
			for name, all := range took {
				var sum time.Duration
				for _, one := range all {
					sum += one
				}
				b.ReportMetric(sum.Seconds()/float64(len(all)), name+"-s/op")
				b.ReportMetric(slices.Max(all).Seconds(), name+"-most-s")
			}
			for name, most := range beyond {
				b.ReportMetric(most.Seconds(), name+"-beyond-most-s")
			}
		})
	}
}

// stage is what a failover happens on. The Redis and Sentinels are on the first three hosts of its network, the subscribers on the fourth.
type stage struct {
	b           *testing.B
	network     *realtest.Network
	redis       *realtest.Replicated
	subscribers []*subscriber
	named       atomic.Pointer[realtest.RedisStore] // the master that two Sentinels name; nil while they are divided
}

func newStage(b *testing.B) *stage {
	s := &stage{b: b, network: realtest.StartNetwork(b, 4)}
	host := s.network.Host
	s.redis = realtest.StartReplicatedWith(b, realtest.ReplicatedOptions{Replicas: 2, Hosts: []*realtest.Host{host(0), host(1), host(2)}})
	for _, one := range s.redis.Sentinels { // back to their own periods: a master that comes back becomes a replica after four announcements
		one.Do("SENTINEL", "DEBUG", "publish-period", "2000", "info-period", "10000", "tilt-period", "30000")
	}
	for _, name := range []string{"layer", "rueidis"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSubscriber$", "-test.timeout=0")
		cmd.Env = append(os.Environ(), subscriberEnv+"="+name+" "+s.redis.URL())
		s.subscribe(name, cmd)
	}
	s.subscribe("redis-py", realtest.Python(b, redisPy, s.redis.URL(), failoverChannel))
	var sending sync.WaitGroup
	b.Cleanup(sending.Wait)
	s.each(&sending, func() { s.named.Store(s.redis.Named()) })
	for _, one := range s.redis.Redis { // each for itself: one that is stopped keeps its sender waiting
		s.each(&sending, func() {
			if s.named.Load() == one {
				// A message that does not arrive is what is measured.
				_, _ = one.Command("PUBLISH", failoverChannel, fmt.Sprintf(`{"type":"gps_update","data":{"sent":%d}}`, time.Now().UnixMilli()))
			}
		})
	}
	return s
}

// each calls f again and again until the benchmark ends.
func (s *stage) each(running *sync.WaitGroup, f func()) {
	running.Go(func() { every(s.b.Context(), sendEvery, f) })
}

// settle waits until there are a master and two replicas and each subscriber receives what is sent from then on, and returns the master.
func (s *stage) settle() *realtest.RedisStore {
	s.b.Helper()
	s.redis.AwaitReplicas(2)
	now := time.Now()
	for _, one := range s.subscribers {
		await(s.b, one.name+" receives", func() bool { return one.newest().After(now) })
	}
	return s.redis.AwaitMaster(nil)
}

// subscriber is a process that prints each message of the channel as a line.
type subscriber struct {
	name string

	mu   sync.Mutex
	sent time.Time // when the last message was sent
	came time.Time // when it came
	gap  time.Duration
}

// subscribe starts a subscriber.
func (s *stage) subscribe(name string, cmd *exec.Cmd) {
	s.b.Helper()
	one := &subscriber{name: name, came: time.Now()}
	cmd = s.network.Host(3).Command(cmd)
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.b.Fatal(err)
	}
	var reading sync.WaitGroup
	s.b.Cleanup(reading.Wait) // after the process has been ended
	realtest.Start(s.b, name, cmd)
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			one.receive(lines.Text())
		}
	})
	s.subscribers = append(s.subscribers, one)
}

// receive notes a line, in which there are no digits but those of the time at which it was sent.
func (s *subscriber) receive(line string) {
	ms, err := strconv.ParseInt(strings.TrimFunc(line, func(r rune) bool { return r < '0' || r > '9' }), 10, 64)
	sent, now := time.UnixMilli(ms), time.Now()
	if err != nil || now.Sub(sent) > stale {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gap = max(s.gap, now.Sub(s.came))
	s.sent, s.came = sent, now
}

func (s *subscriber) newest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// longest returns the longest gap since the last call.
func (s *subscriber) longest() (gap time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gap, s.gap = s.gap, 0
	return gap
}

// TestSubscriber is what the benchmark's other processes do.
func TestSubscriber(t *testing.T) {
	kind, at, is := strings.Cut(os.Getenv(subscriberEnv), " ")
	if !is {
		t.Skip("part of BenchmarkFailover")
	}
	if kind == "layer" {
		c := pubsubAt(at)
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
		l, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = l.Join(t.Context(), failoverDevice) }()
		t.Fatal(l.Run(t.Context(), printed{}))
	}
	where, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: strings.Split(where.Host, ","),
		Sentinel:    rueidis.SentinelOption{MasterSet: strings.TrimPrefix(where.Path, "/")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		err := client.Receive(context.Background(), client.B().Subscribe().Channel(failoverChannel).Build(), func(m rueidis.PubSubMessage) { fmt.Println(m.Message) })
		fmt.Fprintln(os.Stderr, "rueidis:", err)
		time.Sleep(sendEvery)
	}
}

// printed prints what it receives.
type printed struct{}

func (printed) Receive(_ string, m group.Message) { fmt.Println(string(m.Data)) }

func (printed) Missed() {}

func (printed) Lost() {}

// redisPy subscribes with redis-py. As in channels_redis, only the Sentinels have a timeout: on a subscription it would end each pause between two
// messages that is as long.
const redisPy = `
import sys, time
from urllib.parse import urlsplit
from redis.sentinel import Sentinel

url, channel = urlsplit(sys.argv[1]), sys.argv[2]
sentinel = Sentinel([tuple(at.split(":")) for at in url.netloc.split(",")], sentinel_kwargs={"socket_timeout": 1})
while True:
    try:
        pubsub = sentinel.master_for(url.path[1:]).pubsub()
        pubsub.subscribe(channel)
        for message in pubsub.listen():
            if message["type"] == "message":
                print(message["data"].decode(), flush=True)
    except Exception as e:
        print("redis-py:", repr(e), file=sys.stderr, flush=True)
        time.sleep(0.1)
`
