package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func TestThrottle(t *testing.T) {
	h := newRemotes(64, 1024, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")})
	now := time.Unix(0, 0)
	// used asks until the answer is no, and wants it after n requests.
	used := func(remote string, n int) {
		t.Helper()
		for i := range n {
			if !h.allow(remote, 1, now) {
				t.Fatalf("%s: request %d of %d is refused", remote, i+1, n)
			}
		}
		if h.allow(remote, 1, now) {
			t.Errorf("%s: request %d is allowed", remote, n+1)
		}
	}
	used("192.0.2.1:1000", requestBurst)
	used("192.0.2.1:1001", 0)                                                      // another port of the same
	used("[::ffff:192.0.2.1]:1002", 0)                                             // the same, written as IPv6
	used("192.0.2.2:1000", requestBurst)                                           // another
	used("[2001:db8::1]:1", requestBurst)                                          // a subscriber
	used("[2001:db8::ffff:1]:1", 0)                                                // with another address
	used("[2001:db8:0:1::1]:1", requestBurst)                                      // another subscriber
	for _, remote := range []string{"127.0.0.1:1", "[::1]:1", "@", "10.0.0.9:1"} { // this machine, what is not from a network, and a proxy
		for range requestBurst + 1 {
			if !h.allow(remote, 1, now) {
				t.Fatalf("%s is throttled", remote)
			}
		}
	}
	now = now.Add(time.Second)
	used("192.0.2.1:1000", requestRate)
	now = now.Add(time.Hour)
	used("192.0.2.1:1000", requestBurst)
	for i := range 3 * maxRemotes {
		h.allow(fmt.Sprintf("198.51.%d.%d:1", i/256, i%256), 1, now)
		if len(h.of) > maxRemotes {
			t.Fatalf("%d addresses are remembered, want %d at most", len(h.of), maxRemotes)
		}
	}
}

// TestWhatIsSentBeforeItIsReadIsBounded by the kernel for each connection, or with cgroup v2 a few hundred clients that send at once
// use up what MemoryMax= allows.
func TestWhatIsSentBeforeItIsReadIsBounded(t *testing.T) {
	r, err := New(Config{Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	defer r.Serve(ended)
	c, err := net.Dial("tcp", r.Addr().String()) // the kernel accepts it
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const own = 4 << 10 // of the client's side, doubled
	if err := errors.Join(c.(*net.TCPConn).SetWriteBuffer(own), c.SetWriteDeadline(time.Now().Add(time.Second))); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(make([]byte, 1<<20)); n == 0 || n > 2*requestBuffer+4*own || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were taken of a client (%v), want %d at most", n, err, 2*requestBuffer+4*own)
	}
}

// remotely is a listener whose connections come from an address of the network.
type remotely struct {
	net.Listener
	from net.Addr
}

type remoteConn struct {
	net.Conn
	from net.Addr
}

func (c remoteConn) RemoteAddr() net.Addr { return c.from }

func (l remotely) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return remoteConn{c, l.from}, nil
}

// serveRemotely serves c in memory to clients that all come from one address of the network. In the bubble time stands still while
// they are answered, so that a slow machine forgives no request.
func serveRemotely(t *testing.T, c Config, test func(t *testing.T, r *Relay, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}
		go func() { done <- r.serve(ctx, boundedListener{remotely{p, from}, r.hub, r.remotes}) }()
		test(t, r, func() net.Conn {
			here, there := net.Pipe()
			p.conns <- there
			return here
		})
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestTooManyRequests(t *testing.T) {
	serveRemotely(t, Config{}, func(t *testing.T, r *Relay, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		const sent = requestBurst + 20
		go func() {
			io.WriteString(conn, strings.Repeat("GET /api/v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", sent)+
				"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		}()
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		text := string(answer)
		if n := strings.Count(text, " 404 "); n != requestBurst-1 { // one for the connection
			t.Errorf("%d requests of %d were answered, want %d", n, sent, requestBurst-1)
		}
		if n := strings.Count(text, " 429 "); n != sent+2-(requestBurst-1) || !strings.Contains(text, "Retry-After") || !strings.Contains(text, `{"error":"too many requests`) {
			t.Errorf("%d requests were refused, want %d:\n%.2000s", n, sent+2-(requestBurst-1), text)
		}
		if r.Status().Refused == 0 {
			t.Error("refusals are not counted")
		}
	})
}

// One address cannot take every place.
func TestPlacesOfOneAddress(t *testing.T) {
	l := newRemotes(64, 1<<20, nil)
	var leave func()
	for i := range l.each {
		var ok bool
		if leave, ok = l.enter(fmt.Sprintf("192.0.2.1:%d", i)); !ok {
			t.Fatalf("connection %d was refused", i)
		}
	}
	if _, ok := l.enter("192.0.2.1:9"); ok || l.each >= l.all {
		t.Errorf("one address had %d of %d places and more", l.each, l.all)
	}
	if _, ok := l.enter("192.0.2.2:9"); !ok {
		t.Error("another address found no place")
	}
	leave()
	if _, ok := l.enter("192.0.2.1:9"); !ok {
		t.Error("a place that was given back is not free")
	}
	for i := 0; l.open < l.all; i++ {
		l.enter(fmt.Sprintf("198.51.100.%d:1", i))
	}
	if _, ok := l.enter("203.0.113.1:1"); ok {
		t.Error("there were more places than all")
	}
	for range localPlaces {
		if _, ok := l.enter("127.0.0.1:1"); !ok {
			t.Fatal("this machine found no place")
		}
	}
	if _, ok := l.enter("127.0.0.1:1"); ok {
		t.Error("this machine has as many places as it likes")
	}
}

// Connections leave file descriptors to the rest of the program.
func TestPlacesLeaveDescriptors(t *testing.T) {
	for _, c := range []struct{ conns, descriptors, want int }{
		{4096, 524288, 4096 + 256}, {4096, 1024, 1024 - otherFiles - localPlaces}, {4, 1024, 260}, {4096, 20, 16},
	} {
		if got := newRemotes(c.conns, c.descriptors, nil).all; got != c.want {
			t.Errorf("%d WebSockets and %d descriptors: %d places, want %d", c.conns, c.descriptors, got, c.want)
		}
	}
}

// slowReader is a client's connection that reads only once read is closed.
type slowReader struct {
	net.Conn
	read chan struct{}
}

func (c slowReader) Read(p []byte) (int, error) {
	<-c.read
	return c.Conn.Read(p)
}

// TLS handshakes that come while as many are computed as may be wait, as no member does. One that has waited for too long is closed before anything is
// computed for it.
func TestHandshakesWaitForEachOther(t *testing.T) {
	dir := t.TempDir()
	c := Config{PublishToken: "pub", CertFile: dir + "/relay.pem", KeyFile: dir + "/relay.key", SelfSigned: true}
	synctest.Test(t, func(t *testing.T) {
		r, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		own, err := r.config.openCertificate(true)
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- r.serve(ctx, tls.NewListener(boundedListener{p, r.hub, r.remotes}, own.config())) }()

		always := make(chan struct{})
		close(always)
		connect := func(read chan struct{}) *tls.Conn {
			here, there := net.Pipe()
			p.conns <- there
			return tls.Client(slowReader{here, read}, &tls.Config{InsecureSkipVerify: true})
		}
		shake := func(read chan struct{}) chan error {
			ended := make(chan error, 1)
			go func() {
				conn := connect(read)
				ended <- conn.Handshake()
				conn.NetConn().Close()
			}()
			return ended
		}
		d := websocket.Dialer{NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) { return connect(always), nil }}
		member, _, err := d.Dial("wss://localhost"+group7, bearer("pub"))
		if err != nil {
			t.Fatal(err)
		}
		echoes := readTexts(member)

		// A pipe takes nothing that is not read, so that the answer to these is on its way until then.
		read := make(chan struct{})
		var first, more []chan error
		for range cap(r.hub.handshakes) {
			first = append(first, shake(read))
		}
		synctest.Wait()
		for range 10 {
			more = append(more, shake(always))
		}
		synctest.Wait()
		began := time.Now()
		write(member, tpv(1))
		synctest.Wait()
		echoes.want(t, "the member", tpv(1))
		for _, one := range more {
			if err := <-one; !errors.Is(err, io.EOF) {
				t.Errorf("a handshake above the bound ended so: %v", err)
			}
		}
		if waited := time.Since(began); waited != handshakeWait {
			t.Errorf("handshakes above the bound ended after %v, want %v", waited, handshakeWait)
		}
		if n := r.Status().Refused; n != 10 {
			t.Errorf("%d refusals are counted, want 10", n)
		}

		last := shake(always)
		synctest.Wait()
		close(read)
		for _, one := range append(first, last) {
			if err := <-one; err != nil {
				t.Errorf("a handshake within the bound: %v", err)
			}
		}
		stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}
