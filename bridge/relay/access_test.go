package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

const (
	oldToken = "aaaaaaaaaaaaaaaa"
	newToken = "bbbbbbbbbbbbbbbb"
)

// joining is the code of the answer to a member that presents tokens in a header and as subprotocols.
func joining(t *testing.T, r *Relay, header string, protocols ...string) int {
	t.Helper()
	h := http.Header{}
	if header != "" {
		h.Set("Authorization", header)
	}
	if len(protocols) > 0 {
		h.Set("Sec-WebSocket-Protocol", subprotocol+", "+subprotocolToken+strings.Join(protocols, ", "+subprotocolToken))
	}
	conn, answer, err := websocket.DefaultDialer.Dial(r.url("ws", "/ws/gps-tracking/van_7/"), h)
	if err == nil {
		conn.Close()
		return http.StatusSwitchingProtocols
	}
	if answer == nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

func TestTokensOfARequest(t *testing.T) {
	r := start(t, Config{Token: newToken, PublishToken: oldToken})
	for _, c := range []struct {
		name, header string
		protocols    []string
		want         int
	}{
		{"lower case", "bearer " + newToken, nil, 101},
		{"upper case", "BEARER " + newToken, nil, 101},
		{"another scheme", "Basic " + newToken, nil, 401},
		{"one subprotocol", "", []string{newToken}, 101},
		{"two subprotocols", "", []string{"wrong", newToken}, 401},
		{"many subprotocols", "", strings.Split(strings.Repeat("guess,", 300)+newToken, ","), 401},
		{"both", "Bearer " + newToken, []string{newToken}, 101},
		{"nothing after the scheme", "Bearer ", nil, 401},
		{"none", "Bearer none", nil, 401},
	} {
		if got := joining(t, r, c.header, c.protocols...); got != c.want {
			t.Errorf("%s: answered %d, want %d", c.name, got, c.want)
		}
	}
}

// A guess is counted by its tokens, not by its request.
func TestGuessesAreCounted(t *testing.T) {
	serveRemotely(t, Config{Token: newToken}, func(t *testing.T, _ *Relay, dial func() net.Conn) {
		client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil }}}
		defer client.CloseIdleConnections()
		first := 0
		for i := range requestBurst {
			q, err := http.NewRequest("GET", "http://localhost/api/v1/status", nil)
			if err != nil {
				t.Fatal(err)
			}
			q.Header.Set("Authorization", fmt.Sprintf("Bearer guess-%d", i))
			answer, err := client.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body) // the connection is used again
			answer.Body.Close()
			if answer.StatusCode == 429 {
				first = i
				break
			}
			if answer.StatusCode != 401 {
				t.Fatalf("guess %d is answered %d", i, answer.StatusCode)
			}
		}
		if want := requestBurst / 2; first < want-1 || first > want+1 {
			t.Errorf("the first refusal came after %d guesses, want %d", first, want)
		}
	})
}

func TestSetTokensClosesWhatTheOldOnesOpened(t *testing.T) {
	r := start(t, Config{Token: oldToken, PublishToken: oldToken + "p", DeviceTokens: map[string][]string{"van_7": {oldToken + "d", newToken + "d"}}})
	viewer := dial(t, r, "", bearer(oldToken))
	publisher := dial(t, r, "", bearer(oldToken+"p"))
	revoked := dial(t, r, "", bearer(oldToken+"d"))
	kept := dial(t, r, "", bearer(newToken+"d"))
	err := r.SetTokens(newToken, newToken+"p", map[string][]string{"van_7": {newToken + "d"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]member{"viewer": viewer, "publisher": publisher, "tracker": revoked} {
		if code := m.closed(); code != websocket.ClosePolicyViolation {
			t.Errorf("%s: closed with %d, want 1008", name, code)
		}
	}
	kept.send(tpv(1))
	if got := kept.next(); got != tpv(1) {
		t.Errorf("a token that is still valid got %s", got)
	}
	if got := joining(t, r, "Bearer "+oldToken); got != 401 {
		t.Errorf("the old token is answered %d", got)
	}
	if got := joining(t, r, "Bearer "+newToken); got != 101 {
		t.Errorf("the new token is answered %d", got)
	}
	// What is wrong changes nothing.
	if err := r.SetTokens("with space", newToken+"p", nil); err == nil {
		t.Error("a token that is not valid was taken")
	}
	if got := joining(t, r, "Bearer "+newToken); got != 101 {
		t.Errorf("after an error the token is answered %d", got)
	}
	// Without a viewers' token everyone may watch; with one again, those are closed that came without.
	if err := r.SetTokens("", newToken+"p", nil); err != nil {
		t.Fatal(err)
	}
	if code := kept.closed(); code != websocket.ClosePolicyViolation {
		t.Errorf("the device's token: closed with %d, want 1008", code)
	}
	open := dial(t, r, "", nil)
	if err := r.SetTokens(newToken, newToken+"p", nil); err != nil {
		t.Fatal(err)
	}
	if code := open.closed(); code != websocket.ClosePolicyViolation {
		t.Errorf("a viewer without a token: closed with %d, want 1008", code)
	}
}

// Why the program is not healthy names ports and servers: strangers only learn that it is not.
func TestHealthTellsStrangersNothing(t *testing.T) {
	c := Config{Token: newToken, Ready: func() error { return errors.New("receiver /dev/ttyACM0, server wss://fleet.example") }}
	r := start(t, c)
	code, body, _ := get(t, r, "/healthz", "", nil)
	if code != 503 || strings.Contains(body, "ttyACM0") || strings.Contains(body, "fleet") {
		t.Errorf("a stranger is answered %d %q", code, body)
	}
	code, body, _ = get(t, r, "/healthz", "", bearer(newToken))
	if code != 503 || !strings.Contains(body, "ttyACM0") {
		t.Errorf("a viewer is answered %d %q", code, body)
	}
}

func TestSecurityHeaders(t *testing.T) {
	_, _, h := get(t, start(t, Config{}), "/", "", nil)
	for name, want := range map[string]string{
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy": "geolocation=()", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "frame-ancestors 'none'",
	} {
		if !strings.Contains(h.Get(name), want) {
			t.Errorf("%s is %q, want %q in it", name, h.Get(name), want)
		}
	}
	_, _, h = get(t, start(t, Config{Listen: "0.0.0.0:0", Open: true}), "/", "", nil)
	if policy := h.Get("Cross-Origin-Opener-Policy"); policy != "" {
		t.Errorf("without TLS a browser in the network is given the policy %q, of which it complains", policy)
	}
}
