package deflate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"gpsbridge/bridge/problem"
)

// drive is messages like those of a receiver at 1 Hz.
func drive(n int) (all [][]byte) {
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for i := range n {
		turn := float64(i) / 60
		all = append(all, fmt.Appendf(nil, `{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":%d,"mode":3,"status":1,"time":%q,"lat":%.8f,"lon":%.8f,"altMSL":%.1f,"altHAE":%.1f,"geoidSep":46.7,"speed":%.3f,"track":%.2f,"hdop":0.8,"vdop":1.1,"pdop":1.36,"uSat":%d}`,
			i+1, start.Add(time.Duration(i)*time.Second).Format("2006-01-02T15:04:05.000Z"), 51.5+math.Sin(turn)/100, -0.12+math.Cos(turn)/100, 11+math.Sin(turn), 57.7+math.Sin(turn), 13+math.Sin(9*turn), 180+170*math.Cos(turn), 9+i/40%4))
	}
	return all
}

// gorillaOn is a client's connection that reads from r.
func gorillaOn(t *testing.T, r io.Reader) *gorilla.Conn {
	t.Helper()
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	conn := &scripted{in: r, answer: answer}
	dialer := gorilla.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	c, _, err := dialer.DialContext(t.Context(), "ws://tracking.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// accepting has a coder server echo, with a mode of compression.
func accepting(t *testing.T, mode websocket.CompressionMode) (addr string, offers chan string) {
	offers = make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offers <- strings.Join(r.Header.Values(Header), ",")
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), offers
}

// dial connects gorilla through a Handshake.
func dial(t *testing.T, addr string) (*gorilla.Conn, *Handshake, error) {
	var h *Handshake
	dialer := gorilla.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { c.Close() })
		h = NewHandshake(c)
		return h, nil
	}}
	conn, _, err := dialer.DialContext(t.Context(), "ws://"+addr+"/", http.Header{Header: {Offer}})
	return conn, h, err
}

// Through another implementation and back, messages are byte for byte the same: with the window kept on both sides, on neither, and
// with a server that declines.
func TestClientWithAnother(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode websocket.CompressionMode
		want *Params
	}{
		"takeover":    {websocket.CompressionContextTakeover, &Params{}},
		"no takeover": {websocket.CompressionNoContextTakeover, &Params{ServerNoTakeover: true, ClientNoTakeover: true}},
		"declined":    {websocket.CompressionDisabled, nil},
	} {
		addr, _ := accepting(t, tc.mode)
		conn, h, err := dial(t, addr)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := h.Params(); (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
			t.Errorf("%s: agreed on %+v, want %+v", name, got, tc.want)
		}
		w := NewWriter(Client, h.Params())
		var frames []byte
		all := append(drive(50), []byte("x"), bytes.Repeat([]byte("0123456789"), 20_000), []byte("é"))
		all = append(all, drive(10)...)
		sent := 0
		for _, message := range all {
			sent += len(message)
			frames = w.AppendText(frames, message)
		}
		if compressed := len(frames) < sent/3; compressed != (tc.want != nil && !tc.want.ClientNoTakeover) && name != "no takeover" {
			t.Errorf("%s: %d bytes for %d", name, len(frames), sent)
		}
		go h.Write(frames)
		for i, want := range all {
			_, got, err := conn.ReadMessage()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: message %d is %q, %v, want %q", name, i, got, err, want)
			}
		}
	}
}

// hijacking hands gorilla a connection that inflates what a client sends.
type hijacking struct {
	http.ResponseWriter
	p *Params
}

type inflating struct {
	net.Conn
	r io.Reader
}

func (c inflating) Read(p []byte) (int, error) { return c.r.Read(p) }

func (h hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := h.ResponseWriter.(http.Hijacker).Hijack()
	if err == nil && h.p != nil {
		c = inflating{c, NewReader(c, Server, *h.p)}
	}
	return c, rw, err
}

// The same with the other implementation as the client.
func TestServerWithAnother(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := Accept(r.Header.Values(Header), WindowBits)
		answer := http.Header{}
		if p != nil {
			answer[Header] = []string{p.String()}
		}
		conn, err := new(gorilla.Upgrader).Upgrade(hijacking{w, p}, r, answer)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		writer := NewWriter(Server, p)
		for {
			_, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if _, err := conn.NetConn().Write(writer.AppendText(nil, data)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	for _, mode := range []websocket.CompressionMode{websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover, websocket.CompressionDisabled} {
		c, _, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(-1)
		for i, want := range append(drive(50), bytes.Repeat([]byte("0123456789"), 20_000), []byte("x")) {
			if err := c.Write(t.Context(), websocket.MessageText, want); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(t.Context()); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("mode %d: message %d is %q, %v, want %q", mode, i, got, err, want)
			}
		}
		c.CloseNow()
	}
}

// scripted is a connection on which in comes, after an answer to the handshake if that is stated.
type scripted struct {
	net.Conn
	in     io.Reader
	answer string
}

func (s *scripted) Read(p []byte) (int, error) { return s.in.Read(p) }
func (s *scripted) Close() error               { return nil }
func (s *scripted) Write(p []byte) (int, error) {
	if s.answer != "" {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p)))
		if err != nil {
			return 0, err
		}
		head := s.answer + acceptKey(req.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n"
		s.in, s.answer = io.MultiReader(strings.NewReader(head), s.in), ""
	}
	return len(p), nil
}
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

// The head of the answer comes out without the line of the extension, and any other answer as it is, whatever the sizes of the
// reads.
func TestHandshakeReadsTheHead(t *testing.T) {
	t.Parallel()
	const frames = "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
	const inflated = "\x81\x05Hello"
	for _, tc := range []struct {
		name, in, out string
		on            bool
		code          problem.Code
	}{
		{"accepted", "HTTP/1.1 101 OK\r\nA: b\r\nsec-websocket-extensions: permessage-deflate\r\nC: d\r\n\r\n" + frames, "HTTP/1.1 101 OK\r\nA: b\r\nC: d\r\n\r\n" + inflated, true, ""},
		{"two lines", "HTTP/1.1 101 OK\nSec-WebSocket-Extensions: permessage-deflate;\n  server_max_window_bits=9\nC: d\n\n" + frames, "HTTP/1.1 101 OK\nC: d\n\n" + inflated, true, ""},
		{"declined", "HTTP/1.1 101 OK\r\nA: b\r\n\r\n" + frames, "HTTP/1.1 101 OK\r\nA: b\r\n\r\n" + frames, false, ""},
		{"other answer", "HTTP/1.1 403 No\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\nbody", "HTTP/1.1 403 No\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\nbody", false, ""},
		{"not HTTP", "SSH-2.0-OpenSSH\r\n", "SSH-2.0-OpenSSH\r\n", false, ""},
		{"nothing", "", "", false, ""},
		{"cut", "HTTP/1.1 101 OK\r\nA", "HTTP/1.1 101 OK\r\nA", false, ""},
		{"wrong", "HTTP/1.1 101 OK\r\nSec-WebSocket-Extensions: x\r\n\r\n" + frames, "", false, BadAnswer},
	} {
		for step := 1; step < 40; step++ {
			h := NewHandshake(&scripted{in: &stepReader{strings.NewReader(tc.in), step}})
			got, err := io.ReadAll(&stepReader{h, step})
			if string(got) != tc.out || (h.Params() != nil) != tc.on || problem.CodeOf(err) != tc.code || (err != nil) != (tc.code != "") {
				t.Errorf("%s, %d bytes at a time: %q, %v, %+v", tc.name, step, got, err, h.Params())
				break
			}
		}
	}
	endless := io.MultiReader(strings.NewReader("HTTP/1.1 101 OK\r\nA: "), &repeat{'x'})
	if n, err := io.Copy(io.Discard, NewHandshake(&scripted{in: endless})); !errors.Is(err, errHead) || n > maxHead+1 {
		t.Errorf("endless head: %d bytes, %v", n, err)
	}
	failure := errors.New("failure")
	if _, err := io.ReadAll(NewHandshake(&scripted{in: iotest.ErrReader(failure)})); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}

// repeat is a byte without end.
type repeat struct{ b byte }

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.b
	}
	return len(p), nil
}

// acceptKey is the proof of a server that it has read the key (RFC 6455, 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
