package relay

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/realtest"
)

// compressing is a relay that offers compression to viewers on this machine too.
func compressing(t testing.TB, c Config, change ...func(*limits)) *Relay {
	c.Compress = true
	return start(t, c, append(change, func(l *limits) { l.far = 0 })...)
}

// peer is a member with compression that is not this project's.
type peer struct {
	t testing.TB
	*websocket.Conn
	extensions string // as the relay answered
}

func dialPeer(t testing.TB, r *Relay, token string, subprotocols ...string) peer {
	t.Helper()
	o := &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover, CompressionThreshold: 1, Subprotocols: subprotocols}
	if token != "" {
		o.HTTPHeader = bearer(token)
	}
	conn, answer, err := websocket.Dial(t.Context(), r.url("ws", "/ws/gps-tracking/van_7/"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return peer{t, conn, answer.Header.Get("Sec-WebSocket-Extensions")}
}

func (p peer) send(text string) {
	p.t.Helper()
	if err := p.Write(p.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p peer) want(texts ...string) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.t.Context(), patience)
	defer stop()
	for _, text := range texts {
		_, got, err := p.Read(ctx)
		if err != nil || string(got) != text {
			p.t.Fatalf("got %q, %v, want %q", got, err, text)
		}
	}
}

// What a tracker sends compressed comes to all members as it was, compressed to those that have it, and back to itself.
func TestCompression(t *testing.T) {
	r := compressing(t, Config{PublishToken: "pub"})
	tracker, far, plain := dialPeer(t, r, "pub"), dialPeer(t, r, ""), dial(t, r, "", nil)
	if !strings.HasPrefix(tracker.extensions, "permessage-deflate") || strings.Contains(tracker.extensions, "takeover") {
		t.Errorf("a tracker is answered %q, want compression with a window that is kept", tracker.extensions)
	}
	if !strings.HasPrefix(far.extensions, "permessage-deflate") || strings.Contains(far.extensions, "server_no") {
		t.Errorf("a viewer is answered %q, want compression with a window that is kept", far.extensions)
	}
	until(t, "all joined", func() bool { s := r.Status(); return s.Viewers == 2 && s.Publishers == 1 })
	var all []string
	for seq := 1; seq <= 100; seq++ {
		all = append(all, tpv(seq))
	}
	all = append(all, `"`+strings.Repeat("x", 20_000)+`"`, tpv(101))
	for _, text := range all {
		tracker.send(text)
	}
	tracker.want(all...)
	far.want(all...)
	plain.want(all...)

	size := 0.0
	for _, text := range all {
		size += float64(len(text))
	}
	m := metricsOf(r)
	if m["compressed_members"] != 2 {
		t.Errorf("%v members with compression, want 2", m["compressed_members"])
	}
	for direction, factor := range map[string]float64{"in": 1, "out": 2} { // to the tracker itself and one viewer
		inflated, compressed := m["inflated_bytes_total"+"direction "+direction], m["compressed_bytes_total"+"direction "+direction]
		if inflated < factor*size || inflated > 1.1*factor*size || compressed <= 0 || compressed > inflated/3 {
			t.Errorf("%s: %v bytes of messages of %v, inflated %v", direction, compressed, factor*size, inflated)
		}
	}
	tracker.CloseNow()
	until(t, "the tracker has left", func() bool { return metricsOf(r)["compressed_members"] == 1 })
}

// python sends its arguments to a group with Python's websockets, which offers compression, and prints the number of extensions and
// what comes back.
const python = `
import asyncio, sys, websockets
async def main(url, *texts):
    async with websockets.connect(url, subprotocols=["gpsbridge.v1", "gpsbridge.token.pub"]) as ws:
        print(len(getattr(ws, "extensions", None) or ws.protocol.extensions))
        for text in texts:
            await ws.send(text)
            print(await ws.recv())
asyncio.run(main(*sys.argv[1:]))
`

func TestCompressionWithPython(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	realtest.Need(t, realtest.Websockets)
	r := compressing(t, Config{PublishToken: "pub"})
	args, want := []string{r.url("ws", "/ws/gps-tracking/van_7/")}, "1\n"
	for seq := 1; seq <= 50; seq++ {
		args, want = append(args, tpv(seq)), want+tpv(seq)+"\n"
	}
	if got, err := realtest.Python(t, python, args...).Output(); err != nil || string(got) != want {
		t.Errorf("%v, got %s, want %s", err, got, want)
	}
}

// A short acknowledgement is compressed too.
func TestCompressedShortAcknowledgement(t *testing.T) {
	r := compressing(t, Config{PublishToken: "pub"})
	tracker := dialPeer(t, r, "pub", ackProtocol)
	tracker.send(tpv(1))
	tracker.want(`{"ack":{"run":"5f1c09ae77b2d041","seq":1}}`)
	for seq := 2; seq <= 5; seq++ {
		tracker.send(tpv(seq))
	}
	tracker.want(`{"ack":{"run":"5f1c09ae77b2d041","seq":5}}`)
}

// A viewer in the vehicle, or on this machine, has none, and no member where it is not configured, as in the daemon.
func TestWhoGetsCompression(t *testing.T) {
	near := start(t, Config{PublishToken: "pub", Compress: true}, func(l *limits) { l.far = time.Hour })
	far := start(t, Config{PublishToken: "pub", Compress: true}, func(l *limits) { l.far = time.Nanosecond })
	daemon := start(t, Config{PublishToken: "pub"}, func(l *limits) { l.far = 0 })
	for _, c := range []struct {
		name string
		p    peer
		want bool
	}{
		{"a viewer that is near", dialPeer(t, near, ""), false},
		{"a tracker that is near", dialPeer(t, near, "pub"), true},
		{"a viewer that is farther than the limit", dialPeer(t, far, ""), true},
		{"a viewer of the daemon", dialPeer(t, daemon, ""), false},
		{"a tracker of the daemon", dialPeer(t, daemon, "pub"), false},
	} {
		if c.p.extensions != "" != c.want {
			t.Errorf("%s is answered %q", c.name, c.p.extensions)
		}
		for _, r := range []*Relay{near, far, daemon} {
			r.tpv(1)
		}
		c.p.want(tpv(1))
	}
}

// Above the limit members go without, and one that leaves makes room.
func TestCompressionIsBounded(t *testing.T) {
	r := compressing(t, Config{}, func(l *limits) { l.packed = 1 })
	first, second := dialPeer(t, r, ""), dialPeer(t, r, "")
	if first.extensions == "" || second.extensions != "" {
		t.Fatalf("answered %q and %q, want compression for the first only", first.extensions, second.extensions)
	}
	r.tpv(1)
	first.want(tpv(1))
	second.want(tpv(1))
	first.CloseNow()
	until(t, "the first has left", func() bool { return r.Status().Viewers == 1 })
	if third := dialPeer(t, r, ""); third.extensions == "" {
		t.Error("no compression after one has left")
	}
}

// What a tracker sends compressed costs it what it grows to: a message of 60 KiB is 100 bytes on the wire, and as much work as one
// that is not compressed. The group has some at once, and then 1 MiB a second.
func TestCompressedMessagesCostWhatTheyGrowTo(t *testing.T) {
	inBubble(t, Config{PublishToken: "pub", Compress: true}, func(t *testing.T, r *Relay, p *pipes) {
		conn, there := net.Pipe()
		p.conns <- there
		fmt.Fprintf(conn, "GET /ws/gps-tracking/van_7/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer pub\r\n"+deflateOffer+"\r\n")
		in := bufio.NewReader(conn)
		if answer, err := http.ReadResponse(in, nil); err != nil || answer.Header.Get(deflate.Header) == "" {
			t.Fatalf("%v, %v", answer, err)
		}
		go io.Copy(io.Discard, in)
		frame := masked(0xc1, packed(t, `{"class":"NOTE","text":"`+strings.Repeat("x", 60<<10)+`"}`))
		go conn.Write([]byte(strings.Repeat(frame, 14)))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n := r.hub.messages.Load(); n > 4 {
			t.Errorf("%d messages of 60 KiB came in 0.1 s", n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := r.hub.messages.Load(); n != 14 {
			t.Errorf("%d messages came, want 14", n)
		}
		conn.Close()
	})
}

// deflateOffer is the header with which browsers offer compression.
const deflateOffer = deflate.Header + ": permessage-deflate; client_max_window_bits\r\n"

// packed is a text as the payload of a compressed message.
func packed(t testing.TB, text string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(text))
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// What breaks the compression ends as RFC 7692 and RFC 6455 have it, and costs the others nothing.
func TestCloseCodesWithCompression(t *testing.T) {
	r := compressing(t, Config{PublishToken: "pub"})
	const text, noFin, rsv1 = 0xc1, 0x41, 0x40
	zeros := strings.Repeat("0", 10*DefaultMaxMessage)
	largest := packed(t, `"`+strings.Repeat("x", DefaultMaxMessage-2)+`"`)
	for _, c := range []struct {
		name, bytes string
		publish     bool
		want        int
	}{
		{"not deflate", masked(text, "\xff\xff\xff"), true, 1007},
		{"cut off", masked(text, packed(t, tpv(1))[:20]), true, 1007},
		{"refers to before the beginning", masked(text, "\x02\x53\x00\x00"), true, 1007},
		{"not UTF-8", masked(text, packed(t, "\xff")), true, 1007},
		{"not JSON", masked(text, packed(t, "{")), true, 1007},
		{"a bomb", masked(text, packed(t, zeros)), true, 1009},
		{"a bomb in fragments", masked(noFin, packed(t, zeros)) + masked(0x00, "x"), true, 1009},
		{"a bomb from a viewer", masked(text, packed(t, zeros)), false, 1009},
		{"largest messages without end", strings.Repeat(masked(text, largest), 2000), true, 1009},
		{"compressed ping", masked(0x89|rsv1, "x"), true, 1002},
		{"compressed close", masked(0x88|rsv1, ""), true, 1002},
		{"compressed continuation", masked(noFin, packed(t, tpv(1))) + masked(0x80|rsv1, "x"), true, 1002},
		{"compressed message within a message", masked(noFin, packed(t, tpv(1))) + masked(text, packed(t, tpv(1))), true, 1002},
		{"another reserved bit", masked(0xa1, "x"), true, 1002},
		{"both bits", masked(0xe1, "x"), true, 1002},
		{"fragments of nothing without end", masked(noFin, "") + strings.Repeat(masked(0x00, ""), 40_000), false, 1008},
		{"close of none", masked(0x88, ""), false, 1005},
		{"close of none after a message", masked(text, packed(t, tpv(1))) + masked(0x88, ""), true, 1005},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && len(c.bytes) > DefaultMaxMessage {
				t.Skip("its sender is made to wait for a second")
			}
			header := deflateOffer
			if c.publish {
				header += "Authorization: Bearer pub\r\n"
			}
			bystander := dial(t, r, "", nil)
			raw := dialRaw(t, r, header)
			go raw.Write([]byte(c.bytes)) // ends with the connection at the latest
			if got := raw.closeCode(); got != c.want {
				t.Errorf("close code %d, want %d", got, c.want)
			}
			raw.Close()
			until(t, "it is gone", func() bool { s := r.Status(); return s.Viewers == 1 && s.Publishers == 0 })
			r.Publish("van_7", "NOTE", []byte(`"after"`))
			for bystander.next() != `"after"` {
			}
			bystander.Close()
			until(t, "the bystander too", func() bool { return r.Status().Viewers == 0 })
		})
	}
	if n := r.hub.packed.Load(); n != 0 {
		t.Errorf("%d members with compression are counted when all have left", n)
	}
}
