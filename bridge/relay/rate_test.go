package relay

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	h := newThrottle()
	h.rate, h.burst, h.remotes = 2, 3, 10
	now := time.Unix(0, 0)
	take := func(remote string, want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := h.allow(remote, now); got != w {
				t.Errorf("%s, request %d: allowed is %v, want %v", remote, i+1, got, w)
			}
		}
	}
	take("192.0.2.1:1000", true, true, true, false)
	take("192.0.2.1:1001", false)                 // another port of the same
	take("[::ffff:192.0.2.1]:1002", false)        // the same in other words
	take("192.0.2.2:1000", true)                  // another
	take("[2001:db8::1]:1", true, true, true)     // a subscriber
	take("[2001:db8::ffff:1]:1", false)           // with another address
	take("[2001:db8:0:1::1]:1", true)             // another subscriber
	take("127.0.0.1:1", true, true, true, true)   // this machine
	take("[::1]:1", true, true, true, true, true) // too
	take("@", true, true, true, true)             // no network
	now = now.Add(500 * time.Millisecond)
	take("192.0.2.1:1000", true, false)
	now = now.Add(time.Hour)
	take("192.0.2.1:1000", true, true, true, false)
	for i := range 100 {
		h.allow(fmt.Sprintf("198.51.100.%d:1", i), now)
		if len(h.buckets) > h.remotes {
			t.Fatalf("%d addresses are remembered, want %d at most", len(h.buckets), h.remotes)
		}
	}
}

func TestTooManyRequests(t *testing.T) {
	r, err := New(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	r.throttle.loopback, r.throttle.rate = true, 0
	r.throttle.burst = 3 // one for the connection
	serve(t, r)
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, strings.Repeat("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 2)+
		"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(answer); strings.Count(text, " 200 OK") != 2 || strings.Count(text, " 429 ") != 1 ||
		!strings.Contains(text, "Retry-After") || !strings.Contains(text, `{"error":"too many requests`) {
		t.Errorf("answers:\n%s", text)
	}
	// The next connection is not even heard.
	next, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	next.SetReadDeadline(time.Now().Add(patience))
	if n, err := next.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
		t.Errorf("%d bytes, %v; want the connection closed", n, err)
	}
	if n := r.Status().Refused; n != 2 {
		t.Errorf("%d refusals are counted, want 2", n)
	}
}

// One address cannot take every place.
func TestPlacesOfOneAddress(t *testing.T) {
	h := newHub(Config{MaxConns: 64}.limits(), nil)
	throttle := newThrottle()
	throttle.loopback = true
	l := boundListener(nil, h, throttle)
	for i := range l.each {
		if _, ok := l.enter(fmt.Sprintf("192.0.2.1:%d", i)); !ok {
			t.Fatalf("connection %d was refused", i)
		}
	}
	who, ok := l.enter("192.0.2.1:9")
	if ok || l.each >= l.all {
		t.Errorf("one address had %d of %d places and more", l.each, l.all)
	}
	if _, ok := l.enter("192.0.2.2:9"); !ok {
		t.Error("another address found no place")
	}
	l.leave(who)
	if _, ok := l.enter("192.0.2.1:9"); !ok {
		t.Error("a place that was given back is not free")
	}
	for i := 0; l.open < l.all; i++ {
		l.enter(fmt.Sprintf("198.51.100.%d:1", i))
	}
	if _, ok := l.enter("203.0.113.1:1"); ok {
		t.Error("there were more places than all")
	}
}
