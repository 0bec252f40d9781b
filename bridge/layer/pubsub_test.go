package layer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/realtest"
)

// TestPubsubWithDjango: what a node sends is byte for byte what Django sends for the same message, and each gets the other's.
func TestPubsubWithDjango(t *testing.T) {
	t.Parallel()
	hosts := []*realtest.RedisStore{realtest.StartRedis(t), realtest.StartRedis(t)}
	urls := []string{hosts[0].URL(), hosts[1].URL()}
	django := startPython(t, "channels_redis.pubsub.RedisPubSubChannelLayer", map[string]any{"hosts": urls})
	n := open(t, pubsubAt(urls...))
	used := map[int]bool{}
	for i := range 8 {
		device, text := fmt.Sprintf("van_%d", 3*i), fix(i) // of which both hosts have some
		name := "gps_tracking_" + device
		channel := "asgi__group__" + name
		at := event.Host(channel, len(hosts))
		used[at] = true
		wires := eavesdrop(t, urls[at], channel)
		n.join(device)
		django.join(device, name)
		django.listen(device)
		eventually(t, func() error { // Django does not wait for the confirmation
			if got := hosts[at].Do("PUBSUB", "NUMSUB", channel); got != channel+"\n3" {
				return fmt.Errorf("subscriptions at host %d: %q", at, got)
			}
			return nil
		})
		n.publish(device, text)
		if got := django.await(device, 1)[0]; !sameJSON(t, got, text) {
			t.Errorf("Django got %s, not %s", got, text)
		}
		django.send(device, name, text)
		if messages := n.await(device, 2); string(messages[1].Data) != text || messages[1].From != nil {
			t.Errorf("the node got %s from %v", messages[1].Data, messages[1].From)
		}
		if fromNode, fromDjango := <-wires, <-wires; fromNode != fromDjango {
			t.Errorf("the node sends\n%q, Django\n%q", fromNode, fromDjango)
		}
	}
	if len(used) != len(hosts) {
		t.Error("all groups are at one host")
	}
}

// TestPubsubKeys: the first key encrypts, each decrypts, and what none decrypts is counted.
func TestPubsubKeys(t *testing.T) {
	t.Parallel()
	c := pubsubAt(realtest.StartRedis(t).URL())
	with := func(keys ...string) *node {
		c.Keys = keys
		return open(t, c).join("van_7")
	}
	wires := eavesdrop(t, c.URLs[0], "asgi__group__gps_tracking_van_7")
	one, two, other := with("old"), with("new", "old"), with("other")
	one.publish("van_7", fix(1))
	if got := two.await("van_7", 1)[0]; string(got.Data) != fix(1) {
		t.Errorf("got %s", got.Data)
	}
	if wire := <-wires; strings.Contains(wire, "TPV") {
		t.Errorf("%q is not encrypted", wire)
	}
	eventually(t, func() error {
		if s := other.Stats(); s.Undecodable != 1 || s.Received != 0 {
			return fmt.Errorf("with another key: %+v", s)
		}
		return nil
	})
}

// eavesdrop returns what goes over a channel.
func eavesdrop(t *testing.T, url, channel string) <-chan string {
	t.Helper()
	s, err := pubsubAt(url).newSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(closed) })
	if err := s.connect(); err != nil {
		t.Fatal(err)
	}
	wires := make(chan string, 100)
	bus := s.hosts[0].bus
	bus.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { wires <- m.Message }})
	if err := bus.Do(t.Context(), bus.B().Subscribe().Channel(channel).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	return wires
}
