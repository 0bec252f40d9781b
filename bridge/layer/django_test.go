package layer

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/realtest"
)

// django is a process of a Django application with channels_redis.pubsub. It obeys lines: "join GROUP", "send GROUP TEXT", the text in
// base64. It prints "joined GROUP", and "got GROUP TEXT" for each event of a group that it has joined.
const django = `
import asyncio, base64, json, sys
from channels_redis.pubsub import RedisPubSubChannelLayer

def answer(*words):
    print(*words, flush=True)

async def member(layer, group):
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    answer("joined", group)
    while True:
        answer("got", group, json.dumps(await layer.receive(channel), separators=(",", ":")))
        answer("got", group, base64.b64encode(json.dumps(event, separators=(",", ":")).encode()).decode())

async def main():
    layer = RedisPubSubChannelLayer(hosts=sys.argv[1:])
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    members = []
    while line := (await lines.readline()).decode().split():
        if line[0] == "join":
            members.append(asyncio.create_task(member(layer, line[1])))
        else:
            await layer.group_send(line[1], {"type": "gps_update", "data": json.loads(base64.b64decode(line[2]))})

asyncio.run(main())
`

// application is a running django.
type application struct {
	t     *testing.T
	in    io.Writer
	lines chan string // what it prints
}

func startApplication(t *testing.T, urls ...string) *application {
	t.Helper()
	realtest.Need(t, realtest.ChannelsRedis)
	cmd := realtest.Python(t, django, urls...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var failures strings.Builder
	cmd.Stderr = &failures
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &application{t: t, in: in, lines: make(chan string, 10_000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			a.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		cmd.Wait()
		if t.Failed() {
			t.Logf("Django: %s", failures.String())
		}
	})
	return a
}

// next returns the rest of the next line that begins with a word.
func (a *application) next(word string) (words []string) {
	a.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line := <-a.lines:
			if words = strings.Fields(line); words[0] == word {
				return words[1:]
			}
		case <-deadline:
			a.t.Fatalf("Django has not printed %q", word)
		}
	}
}

func (a *application) join(group string) {
	a.t.Helper()
	fmt.Fprintln(a.in, "join", group)
	a.next("joined")
}

func (a *application) send(group, text string) {
	a.t.Helper()
	fmt.Fprintln(a.in, "send", group, base64.StdEncoding.EncodeToString([]byte(text)))
}

// TestDjangoSharesTheGroups: what a node sends is byte for byte what Django sends for the same message, and each gets the other's.
func TestDjangoSharesTheGroups(t *testing.T) {
	t.Parallel()
	hosts := []*realtest.RedisStore{realtest.StartRedis(t), realtest.StartRedis(t)}
	urls := []string{hosts[0].URL(), hosts[1].URL()}
	app := startApplication(t, urls...)
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
		app.join(name)
		eventually(t, func() error { // Django does not wait for the confirmation
			if got := hosts[at].Do("PUBSUB", "NUMSUB", channel); got != channel+"\n3" {
				return fmt.Errorf("subscriptions at host %d: %q", at, got)
			}
			return nil
		})
		n.publish(device, text)
		if got := app.next("got"); got[0] != name || got[1] != `{"type":"gps_update","data":`+text+`}` {
			t.Errorf("Django got %v", got)
		}
		app.send(name, text)
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
