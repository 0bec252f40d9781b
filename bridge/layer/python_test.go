package layer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/realtest"
)

// membersProcess is a Python process with members of groups on channels_redis: each has a channel layer of its own, as a process of the application
// has. It reads one JSON object from each line, answers one that has a "call", and prints what members receive.
const membersProcess = `
import asyncio, importlib, json, sys

options = json.loads(sys.argv[1])
module, name = options.pop("BACKEND").rsplit(".", 1)
backend = getattr(importlib.import_module(module), name)
layers, channels, readers = {}, {}, {}

def report(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()

def layer(member):
    if member not in layers:
        layers[member] = backend(**options)
    return layers[member]

async def read(member):
    while True:
        event = await layer(member).receive(channels[member])
        report(member=member, message=json.dumps(event["data"]))

async def join(member, group):
    if member not in channels:
        channels[member] = await layer(member).new_channel()
    await layer(member).group_add(group, channels[member])

async def listen(member):
    readers[member] = asyncio.ensure_future(read(member))

async def leave(member, group):
    await layer(member).group_discard(group, channels[member])

async def send(member, group, text):
    await layer(member).group_send(group, {"type": "gps_update", "data": json.loads(text)})

async def flood(member, group, text, count):
    for _ in range(count):
        await send(member, group, text)

async def main():
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        call = command.pop("call")
        try:
            await globals()[command.pop("do")](**command)
            report(call=call)
        except Exception as e:
            report(call=call, error=repr(e))

asyncio.run(main())
`

// pythonMembers are members of groups in a Python process.
type pythonMembers struct {
	t testing.TB

	write sync.Mutex
	in    io.Writer
	calls int

	mu       sync.Mutex
	received map[string][]string // by member
	answers  map[int]string      // errors of calls that have ended
	changed  chan struct{}       // closed when one of them grows
	ended    bool
}

// startPython starts a process with one backend and its options, as in CHANNEL_LAYERS.
func startPython(t testing.TB, backend string, options map[string]any) *pythonMembers {
	t.Helper()
	realtest.Need(t, realtest.ChannelsRedis)
	config := map[string]any{"BACKEND": backend}
	for name, value := range options {
		config[name] = value
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	cmd := realtest.Python(t, membersProcess, string(text))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	process := realtest.Start(t, "Python", cmd)
	d := &pythonMembers{t: t, in: in, received: map[string][]string{}, answers: map[int]string{}, changed: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		d.read(out)
	}()
	t.Cleanup(func() {
		process.Kill()
		<-read
	})
	return d
}

// read takes what the process prints.
func (d *pythonMembers) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var printed struct {
			Member, Message, Error string
			Call                   int
		}
		if err == nil {
			err = json.Unmarshal(line, &printed)
		}
		d.mu.Lock()
		switch {
		case err != nil:
			d.ended = true
		case printed.Call > 0:
			d.answers[printed.Call] = printed.Error
		default:
			d.received[printed.Member] = append(d.received[printed.Member], printed.Message)
		}
		close(d.changed)
		d.changed = make(chan struct{})
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// until waits until done returns true, which is called with d.mu held.
func (d *pythonMembers) until(what string, done func() bool) {
	d.t.Helper()
	deadline := time.After(patience)
	for {
		d.mu.Lock()
		ok, ended, changed := done(), d.ended, d.changed
		d.mu.Unlock()
		switch {
		case ok:
			return
		case ended:
			d.t.Fatalf("Python ended before %s", what)
		}
		select {
		case <-changed:
		case <-deadline:
			d.t.Fatalf("no %s", what)
		}
	}
}

// do lets the process do something and waits until it has.
func (d *pythonMembers) do(name string, args map[string]any) {
	d.t.Helper()
	d.write.Lock()
	d.calls++
	call := d.calls
	args["do"], args["call"] = name, call
	line, err := json.Marshal(args)
	if err == nil {
		_, err = d.in.Write(append(line, '\n'))
	}
	d.write.Unlock()
	if err != nil {
		d.t.Fatal(err)
	}
	d.until(name, func() bool { _, done := d.answers[call]; return done })
	d.mu.Lock()
	failure := d.answers[call]
	d.mu.Unlock()
	if failure != "" {
		d.t.Fatalf("%s: %s", name, failure)
	}
}

// join makes a member one of a group, where it receives after listen.
func (d *pythonMembers) join(member, group string) {
	d.t.Helper()
	d.do("join", map[string]any{"member": member, "group": group})
}

func (d *pythonMembers) listen(member string) {
	d.t.Helper()
	d.do("listen", map[string]any{"member": member})
}

func (d *pythonMembers) leave(member, group string) {
	d.t.Helper()
	d.do("leave", map[string]any{"member": member, "group": group})
}

func (d *pythonMembers) send(member, group, text string) {
	d.t.Helper()
	d.do("send", map[string]any{"member": member, "group": group, "text": text})
}

// await returns what a member has received when that is as much as count.
func (d *pythonMembers) await(member string, count int) (messages []string) {
	d.t.Helper()
	d.until(fmt.Sprintf("%d messages at %s", count, member), func() bool {
		messages = d.received[member]
		return len(messages) >= count
	})
	return messages
}
