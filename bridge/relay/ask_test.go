package relay

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// application decides about clients: van_7 may be published to with the token "tracker-of-van_7", and watched with the cookie or the token of ann.
type application struct {
	*httptest.Server

	mu    sync.Mutex
	asked []string // role, device, credentials and origin of each question
	code  int      // in place of a decision
}

func startApplication(t *testing.T) *application {
	a := &application{}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	device, role, token := q.Header.Get("X-Gpsbridge-Device"), q.Header.Get("X-Gpsbridge-Role"), q.Header.Get("Authorization")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, strings.Join([]string{role, device, q.Header.Get("Cookie"), token, q.Header.Get("Origin")}, "|"))
	switch {
	case a.code != 0:
		w.WriteHeader(a.code)
	case role == "publish" && token == "Bearer tracker-of-"+device, role == "view" && (q.Header.Get("Cookie") == "session=ann" || token == "Bearer ann"):
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

// questions are those since the last call.
func (a *application) questions() (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all, a.asked = a.asked, nil
	return all
}

func (a *application) answer(code int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.code = code
}

func TestApplicationDecides(t *testing.T) {
	a := startApplication(t)
	r := start(t, Config{AuthURL: a.URL + "/relay/auth/", PublishToken: "a-token-of-the-relay", Origins: []string{"https://map.example"}})
	join := func(device string, header http.Header) (*websocket.Conn, int) {
		t.Helper()
		conn, answer, err := websocket.DefaultDialer.Dial(r.url("ws", "/ws/gps-tracking/"+device+"/"), header)
		if answer == nil {
			t.Fatal(err)
		}
		if conn != nil {
			t.Cleanup(func() { conn.Close() })
		}
		return conn, answer.StatusCode
	}
	cookie := http.Header{"Cookie": {"session=ann"}, "Origin": {"https://map.example"}}
	for _, c := range []struct {
		what   string
		device string
		header http.Header
		want   int
		asked  string
	}{
		{"a token of the relay", "van_7", bearer("a-token-of-the-relay"), 101, ""},
		{"a tracker", "van_7", bearer("tracker-of-van_7"), 101, "publish|van_7||Bearer tracker-of-van_7|"},
		{"the same again", "van_7", bearer("tracker-of-van_7"), 101, ""},
		{"of another device", "van_8", bearer("tracker-of-van_7"), 401, "publish|van_8||Bearer tracker-of-van_7| view|van_8||Bearer tracker-of-van_7|"},
		{"a page", "van_7", cookie, 101, "view|van_7|session=ann||https://map.example"},
		{"the same of another device", "van_8", cookie, 101, "view|van_8|session=ann||https://map.example"},
		{"the page of another site", "van_7", http.Header{"Cookie": {"session=ann"}, "Origin": {"https://evil.example"}}, 403, ""},
		{"a page with a token", "van_7", http.Header{"Sec-WebSocket-Protocol": {"gpsbridge.v1, gpsbridge.token.ann"}}, 101, "view|van_7||Bearer ann|"},
		{"a program that watches", "van_7", bearer("ann"), 101, "publish|van_7||Bearer ann|"}, // as a viewer it is known
		{"nothing", "van_7", nil, 401, "view|van_7|||"},
		{"nothing again", "van_7", nil, 401, ""},
	} {
		_, code := join(c.device, c.header)
		if asked := strings.Join(a.questions(), " "); code != c.want || asked != c.asked {
			t.Errorf("%s: answered %d after %q, want %d after %q", c.what, code, asked, c.want, c.asked)
		}
	}
	answer, err := http.Get(r.url("http", "/api/v1/devices"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if asked := a.questions(); answer.StatusCode != http.StatusUnauthorized || len(asked) != 1 || asked[0] != "view||||" {
		t.Errorf("the API is answered %d after %q", answer.StatusCode, asked)
	}

	// What does not answer as it should admits no client that is not known, and closes none.
	viewer, _ := join("van_7", cookie)
	tracker, _ := join("van_7", bearer("tracker-of-van_7"))
	for _, code := range []int{http.StatusInternalServerError, http.StatusNotFound, http.StatusTooManyRequests} {
		a.answer(code)
		if _, got := join("van_9", cookie); got != http.StatusServiceUnavailable {
			t.Errorf("when the application answers %d a client is answered %d", code, got)
		}
	}
	a.answer(http.StatusFound) // to the login
	if _, got := join("van_9", cookie); got != http.StatusUnauthorized {
		t.Errorf("when the application redirects a client is answered %d", got)
	}
	a.Close()
	if _, got := join("van_6", cookie); got != http.StatusServiceUnavailable {
		t.Errorf("without the application a client is answered %d", got)
	}
	if _, got := join("van_7", cookie); got != http.StatusSwitchingProtocols {
		t.Errorf("without the application one that is known is answered %d", got)
	}
	if err := r.SetTokens("", "another-token-of-the-relay", nil); err != nil {
		t.Fatal(err)
	}
	member{t, tracker}.send(tpv(1))
	if got := (member{t, viewer}).next(); got != tpv(1) {
		t.Errorf("the viewer gets %s", got)
	}
}

func TestAuthURLIsChecked(t *testing.T) {
	for _, address := range []string{"tracking.example.org/auth", "ftp://a/", "http://", "http://user:secret@a/"} {
		_, err := New(Config{AuthURL: address})
		if err == nil || !strings.HasPrefix(err.Error(), "auth_url: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// transport is a round tripper in a bubble.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

func newAskerIn(f transport) *asker {
	a := newAsker("http://application/", slog.New(slog.DiscardHandler))
	a.client.Transport = f
	return a
}

func of(token string) *http.Request {
	return &http.Request{Header: bearer(token)}
}

// An answer holds for a minute, a refusal for ten seconds, and one question is asked once for all that wait for it. An application that hangs is given up.
func TestAnswersHoldForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, hangs := 0, false
		a := newAskerIn(func(q *http.Request) (*http.Response, error) {
			asked++
			if hangs {
				<-q.Context().Done()
				return nil, q.Context().Err()
			}
			time.Sleep(100 * time.Millisecond)
			code := http.StatusNoContent
			if q.Header.Get("Authorization") != "Bearer good" {
				code = http.StatusForbidden
			}
			return &http.Response{StatusCode: code, Body: http.NoBody}, nil
		})
		var waiting sync.WaitGroup
		for range 100 {
			waiting.Go(func() {
				if g, err := a.grant(of("good"), "van_7", sender); err != nil || g.role != sender {
					t.Errorf("%+v %v", g, err)
				}
			})
		}
		waiting.Wait()
		if asked != 1 {
			t.Errorf("%d questions for 100 clients with the same credentials", asked)
		}
		expect := func(what, token string, questions int, want error) {
			t.Helper()
			before := asked
			if _, err := a.grant(of(token), "van_7", sender); err != want || asked-before != questions {
				t.Errorf("%s: %v after %d questions, want %v after %d", what, err, asked-before, want, questions)
			}
		}
		expect("bad", "bad", 2, errNotAllowed)
		expect("bad again", "bad", 0, errNotAllowed)
		time.Sleep(refusedFor)
		expect("bad later", "bad", 2, errNotAllowed)
		hangs = true
		expect("known, and the application hangs", "good", 0, nil)
		time.Sleep(allowedFor)
		begin := time.Now()
		expect("known no more, and the application hangs", "good", 1, errNoAnswer)
		if took := time.Since(begin); took != askTimeout {
			t.Errorf("given up after %s", took)
		}
		hangs = false
		expect("the application is back", "good", 1, nil)
	})
}

// Clients without end that have credentials of their own take no more memory than some thousand, and what is allowed stays known.
func TestManyCredentialsTakeNoMoreMemory(t *testing.T) {
	a := newAskerIn(func(q *http.Request) (*http.Response, error) {
		code := http.StatusForbidden
		if q.Header.Get("Authorization") == "Bearer good" {
			code = http.StatusOK
		}
		return &http.Response{StatusCode: code, Body: http.NoBody}, nil
	})
	if _, err := a.grant(of("good"), "van_7", watcher); err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := a.grant(of(fmt.Sprint(i)), "van_7", watcher); err != errNotAllowed {
				t.Fatal(err)
			}
		}
	}
	flood(0, maxAnswers)
	before := heap()
	flood(maxAnswers, 5*maxAnswers)
	// As many again would take 1 MiB each time; a map of one size takes up to 1.5 MiB more or less, as its hashes fall.
	if grown := int64(heap()) - int64(before); grown > 3<<20 {
		t.Errorf("%d KiB more after five times as many", grown>>10)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known[0]) > maxAnswers || len(a.known[1]) != 1 {
		t.Errorf("%d refusals and %d permissions are known", len(a.known[0]), len(a.known[1]))
	}
}
