package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// rawClient is a client below gorilla's: it sends whatever bytes it likes.
type rawClient struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dialRaw(t testing.TB, r *Relay, header string) rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := rawClient{t, conn, bufio.NewReader(conn)}
	fmt.Fprintf(conn, "GET /ws/gps-tracking/van_7/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", header)
	c.SetReadDeadline(time.Now().Add(patience))
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", answer, err)
	}
	return c
}

// frame is what one frame of the server holds.
func (c rawClient) frame() (opcode byte, data []byte, err error) {
	c.SetReadDeadline(time.Now().Add(patience))
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	n := int64(head[1] & 0x7f)
	if n == length16 {
		var long [2]byte
		if _, err := io.ReadFull(c.in, long[:]); err != nil {
			return 0, nil, err
		}
		n = int64(binary.BigEndian.Uint16(long[:]))
	} else if n == length64 {
		var long [8]byte
		if _, err := io.ReadFull(c.in, long[:]); err != nil {
			return 0, nil, err
		}
		n = int64(binary.BigEndian.Uint64(long[:]))
	}
	data = make([]byte, n)
	_, err = io.ReadFull(c.in, data)
	return head[0] & 0x0f, data, err
}

// closeCode reads up to the close frame; 0 when there is none.
func (c rawClient) closeCode() int {
	for {
		opcode, data, err := c.frame()
		if err != nil {
			return 0
		}
		if opcode == websocket.CloseMessage && len(data) < 2 {
			return websocket.CloseNoStatusReceived
		}
		if opcode == websocket.CloseMessage {
			return int(binary.BigEndian.Uint16(data))
		}
	}
}

// masked is a client's frame, masked with zeros: final and opcode in first.
func masked(first byte, data string) string {
	switch n := len(data); {
	case n < length16:
		return string([]byte{first, 0x80 | byte(n), 0, 0, 0, 0}) + data
	default:
		return string(append(binary.BigEndian.AppendUint16([]byte{first, 0x80 | length16}, uint16(n)), 0, 0, 0, 0)) + data
	}
}

// What breaks the protocol is answered with the code that RFC 6455, section
// 7.4.1, has for it.
func TestCloseCodes(t *testing.T) {
	r := start(t, Config{PublishToken: "pub"})
	closing := func(code int, reason string) string {
		return masked(0x88, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
	}
	for _, c := range []struct {
		name, bytes string
		want        int
	}{
		{"reserved opcode", masked(0x83, "x"), 1002},
		{"reserved bit", masked(0xc1, "x"), 1002},
		{"not masked", "\x81\x01x", 1002},
		{"ping in fragments", masked(0x09, "x"), 1002},
		{"ping of 126 bytes", masked(0x89, strings.Repeat("x", 126)), 1002},
		{"continuation of nothing", masked(0x80, "x"), 1002},
		{"message within a message", masked(0x01, "x") + masked(0x81, "x"), 1002},
		{"close of one byte", masked(0x88, "x"), 1002},
		{"close of none", masked(0x88, ""), websocket.CloseNoStatusReceived},
		{"close with 1005", closing(1005, ""), 1002},
		{"close with 999", closing(999, ""), 1002},
		{"binary", masked(0x82, "x"), 1003},
		{"text that is not UTF-8", masked(0x81, "\xff"), 1007},
		{"a length of 2^63", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1009},
		{"a length of 100 MB", "\x81\xff\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00", 1009},
		{"fragments that are too much together", masked(0x01, strings.Repeat("x", 2048)) +
			masked(0x00, strings.Repeat("x", 2048)) + masked(0x00, "x"), 1009},
		{"pings without end", strings.Repeat(masked(0x89, ""), 40_000), 1008},
		{"fragments of nothing without end", masked(0x01, "") + strings.Repeat(masked(0x00, ""), 40_000), 1008},
		{"text without end", strings.Repeat(masked(0x81, strings.Repeat("x", 1000)), 200), 1008},
		{"goodbye", closing(1000, "bye"), 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			bystander := dial(t, r, "", nil)
			raw := dialRaw(t, r, "")
			go io.WriteString(raw, c.bytes) // ends with the connection at the latest
			if got := raw.closeCode(); got != c.want {
				t.Errorf("close code %d, want %d", got, c.want)
			}
			raw.Close()
			until(t, "it is gone", func() bool { return r.Status().Viewers == 1 })
			r.Publish("van_7", "NOTE", []byte(tpv(1)))
			bystander.want(tpv(1))
			bystander.Close()
			until(t, "the bystander too", func() bool { return r.Status().Viewers == 0 })
		})
	}
}

// A viewer that sends little is never closed, however long it stays.
func TestViewerBudget(t *testing.T) {
	budget, now := newBudget(false), time.Unix(0, 0)
	for range 1000 {
		if !budget.AllowN(now, viewerRate) {
			t.Fatal("refused at the rate that is allowed")
		}
		now = now.Add(time.Second)
	}
	if !budget.AllowN(now, viewerBurst) || budget.AllowN(now, 1) {
		t.Error("a burst and no more must be allowed")
	}
}

// FuzzFrames sends any bytes where frames are expected, as a viewer and as a
// publisher. The relay must not panic (it would end the test), must end the
// connection or answer, and must go on serving a bystander.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(masked(0x81, tpv(1))), true, false)
	f.Add([]byte(masked(0x81, `{"class":"NMEA"}`)+masked(0x89, "x")+masked(0x88, "\x03\xe8")), true, false)
	f.Add([]byte(masked(0x01, `{"a":`)+masked(0x80, `1}`)), true, false)
	f.Add([]byte("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), false, false)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), false, false)
	f.Add([]byte(masked(0xc1, packed(f, tpv(1)))+masked(0xc1, packed(f, tpv(2)))), true, true)
	f.Add([]byte(masked(0x41, packed(f, tpv(1))[:9])+masked(0x89, "x")+masked(0x80, packed(f, tpv(1))[9:])), true, true)
	r := compressing(f, Config{PublishToken: "pub"})
	f.Fuzz(func(t *testing.T, data []byte, publish, compress bool) {
		header := ""
		if publish {
			header = "Authorization: Bearer pub\r\n"
		}
		if compress {
			header += deflateOffer
		}
		raw := dialRaw(t, r, header)
		raw.Write(data)
		// Whatever it was, the end of it is one for the relay too.
		raw.Conn.(*net.TCPConn).CloseWrite()
		raw.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, raw.in); isTimeout(err) {
			t.Errorf("%q left the connection open", data)
		}
		raw.Close()
		until(t, "it is gone", func() bool { return r.hub.conns.Load() == 0 })
	})
}

// FuzzHandshake sends any bytes where a request is expected.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte("GET /ws/gps-tracking/van_7/?history=9&sky=1&nmea=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: gpsbridge.v1, gpsbridge.token.x\r\n\r\n"))
	f.Add([]byte("GET /api/v1/devices/van_7/track.gpx HTTP/1.1\r\nHost: [::1\r\nAuthorization: Bearer \r\n\r\n"))
	f.Add([]byte("HEAD /ws/ HTTP/1.0\r\nOrigin: http://%zz\r\n\r\nGET /ws/x HTTP/1.1\r\n\r\n"))
	f.Add([]byte("POST /api/v1/status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"))
	r := start(f, Config{PublishToken: "pub", Origins: []string{"https://map.example"}})
	r.tpv(1)
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write(data)
		conn.(*net.TCPConn).CloseWrite()
		conn.SetReadDeadline(time.Now().Add(patience))
		answer, err := io.ReadAll(conn)
		if isTimeout(err) {
			t.Errorf("%q left the connection open", data)
		}
		if bytes.Contains(answer, []byte(" 500 ")) {
			t.Errorf("%q is answered with %q", data, answer)
		}
	})
}

// FuzzMessage gives any bytes as a publisher's message.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{tpv(1), sky(2), `[1]`, `{"seq":-1}`, `{"class":7,"run":"r","seq":1e30}`, "\xff", `{"run":"r","seq":18446744073709551615}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		head, err := parseHeader(data)
		if err != nil {
			return
		}
		h := newHub(Config{History: 4, Queue: 4}.limits(), slog.New(slog.DiscardHandler), nil)
		if err := h.publish("van_7", newMessage(head, data), nil); err != nil {
			t.Error(err)
		}
		if kept := h.kept.Load(); kept < 0 || kept > 4*(maxKept+200) {
			t.Errorf("%d bytes kept of one message of %d", kept, len(data))
		}
		if g := h.lookup("van_7"); head.Class == classTPV && len(data) <= maxKept-maxFrameHeader && !bytes.Equal(g.lastFix(), data) {
			t.Errorf("the last fix is %q, published was %q", g.lastFix(), data)
		}
	})
}

// A hundred connections with one tracker's token send large messages and read no echoes. 20 would need more than the bound too.
func TestOneTrackersTokenCannotFillTheMemory(t *testing.T) {
	inBubble(t, Config{PublishToken: "pub"}, func(t *testing.T, r *Relay, p *pipes) {
		most := int64(0)
		quiet := p.join(t, "", bearer("pub"))
		echoes := read(quiet)
		text := []byte(fmt.Sprintf(`{"class":"NOTE","text":%q}`, strings.Repeat("x", DefaultMaxMessage-100)))
		conns := 100
		if testing.Short() {
			conns = 20
		}
		for range conns {
			conn := p.join(t, "", bearer("pub"))
			go func() {
				for range 100 { // 6 MB
					if conn.WriteMessage(websocket.TextMessage, text) != nil {
						return
					}
				}
			}()
			synctest.Wait()
			most = max(most, r.hub.queued.Load())
		}
		// Eight queues, and what the writers of those that are being closed have in hand.
		if most > 16<<20 {
			t.Errorf("%d bytes were queued", most)
		}
		// The tracker itself, which reads, has to come back: it was the oldest.
		synctest.Wait()
		<-echoes.done
		back := p.join(t, "", bearer("pub"))
		if err := back.WriteMessage(websocket.TextMessage, []byte(tpv(1))); err != nil {
			t.Fatal(err)
		}
		again := read(back)
		time.Sleep(time.Second) // after what the others have sent with the same token
		synctest.Wait()
		if got := again.got(); !slices.Contains(got, 1) {
			t.Errorf("the tracker that reads got %v back, want its message", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		back.Close()
	})
}

// Further connections with one tracker's token give it no more of the relay's time, and cost the tracker of another token none.
func TestConnectionsWithOneTokenShareItsPace(t *testing.T) {
	tokens := map[string][]string{"van_7": {"0123456789abcdef", "fedcba9876543210"}}
	inBubble(t, Config{DeviceTokens: tokens}, func(t *testing.T, r *Relay, p *pipes) {
		const conns, each = 4, 40 // messages
		text := jsonText(DefaultMaxMessage)
		var sending sync.WaitGroup
		began := time.Now()
		for range conns {
			conn := p.join(t, "", bearer(tokens["van_7"][0]))
			go io.Copy(io.Discard, conn.NetConn()) // ends with the connection
			sending.Go(func() {
				for range each {
					if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
						t.Error(err)
						break
					}
				}
				conn.Close()
			})
		}
		other := p.join(t, "", bearer(tokens["van_7"][1]))
		sent := time.Now()
		if err := other.WriteMessage(websocket.TextMessage, []byte(tpv(1))); err != nil {
			t.Fatal(err)
		}
		echoes := read(other)
		synctest.Wait()
		if got := echoes.got(); !slices.Contains(got, 1) || time.Since(sent) > 0 {
			t.Errorf("the tracker with another token got %v after %v, want its message at once", got, time.Since(sent))
		}
		sending.Wait()
		if least := time.Duration(float64(conns*each*len(text)-2*publisherBurst) / publisherRate * float64(time.Second)); time.Since(began) < least {
			t.Errorf("%d connections sent %d messages in %v, want %v at least", conns, conns*each, time.Since(began), least)
		}
		other.Close()
	})
}

// All that waits for members is bounded: the member with the most is closed first.
func TestTheHeaviestIsClosedFirst(t *testing.T) {
	inBubble(t, Config{Queue: 1000, SlowTimeout: time.Hour}, func(t *testing.T, r *Relay, p *pipes) {
		r.hub.limits.queuedBytes = 100 << 10
		heavy, light := p.join(t, "?nmea=1"), p.join(t, "")
		synctest.Wait()
		for range 200 {
			r.Publish("van_7", "NMEA", []byte(`{"class":"NMEA","text":"`+strings.Repeat("x", 1000)+`"}`))
			r.tpv(1)
			synctest.Wait()
			if n := r.hub.queued.Load(); n > 100<<10 {
				t.Fatalf("%d bytes are queued", n)
			}
			if r.Status().ClosedSlow > 0 {
				break
			}
		}
		got := read(heavy)
		<-got.done
		if !websocket.IsCloseError(got.err, websocket.CloseTryAgainLater) {
			t.Errorf("the heaviest ended with %v, want 1013", got.err)
		}
		synctest.Wait() // until it has left the group
		if s := r.Status(); s.Viewers != 1 || s.ClosedSlow != 1 {
			t.Errorf("%d viewers, %d closed; want the light one alone", s.Viewers, s.ClosedSlow)
		}
		light.Close()
		synctest.Wait()
		if n := r.hub.queued.Load(); n != 0 {
			t.Errorf("%d bytes are counted without a member", n)
		}
	})
}

// unread is the answer to a client that does not read: a write waits until the test ends.
type unread struct {
	header http.Header
	code   int
	until  chan struct{}
}

func (u *unread) Header() http.Header  { return u.header }
func (u *unread) WriteHeader(code int) { u.code = code }
func (u *unread) Write(b []byte) (int, error) {
	if u.code == 0 {
		<-u.until
	}
	return len(b), nil
}

// Large answers that clients do not read are bounded in all; one alone, and small ones, are always answered.
func TestUnreadAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		r.hub.limits.answers = 4 * largeAnswer
		until := make(chan struct{})
		ask := func(do answering) int {
			u := &unread{http.Header{}, 0, until}
			go r.explained(do).ServeHTTP(u, httptest.NewRequest("GET", "/api/v1/status", nil))
			synctest.Wait()
			return u.code
		}
		answered := func(size int) int {
			return ask(func(w http.ResponseWriter, _ *http.Request) error {
				return r.answer(w, "text/plain", make([]byte, size))
			})
		}
		if code := answered(6 * largeAnswer); code != 0 {
			t.Errorf("one alone is answered %d", code)
		}
		for range 10 {
			if code := answered(2 * largeAnswer); code != 503 {
				t.Errorf("one too many is answered %d, want 503", code)
			}
		}
		if code := answered(largeAnswer); code != 0 {
			t.Errorf("a small one is answered %d", code)
		}
		// The list of all devices is as long as the fleet is large, and is not made before it is read.
		fix := []byte(`{"class":"TPV","text":"` + strings.Repeat("x", maxKept/2) + `"}`)
		for i := range 100 {
			r.Publish(fmt.Sprintf("van_%d", i), "TPV", fix)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const lists = 30
		for range lists {
			if code := ask(r.serveDevices); code != 0 {
				t.Fatalf("a list of devices is answered %d", code)
			}
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > lists*int64(len(fix))*10 {
			t.Errorf("%d kB were made for %d lists that are not read", grown>>10, lists)
		}
		close(until)
		synctest.Wait()
		if n := r.answering.Load(); n != 0 {
			t.Errorf("%d bytes are counted after the last answer", n)
		}
	})
}
