package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"gpsbridge/bridge/problem"
)

// The headers of a question to Config.AuthURL, beside Cookie, Authorization and Origin as the client sent them. A token that comes as a
// subprotocol, as from a page, is in Authorization.
const (
	authDevice = "X-Gpsbridge-Device" // the device ID; empty for what concerns every device
	authRole   = "X-Gpsbridge-Role"   // "publish", or "view"
)

const (
	// askTimeout is for the whole answer: a view that looks into a session and a table takes some 10 ms.
	askTimeout = 5 * time.Second
	// allowedFor and refusedFor are how long answers hold. A client that is refused comes again and again; one that has just got its
	// token must not wait long.
	allowedFor = time.Minute
	refusedFor = 10 * time.Second
	// maxAsking is how many questions are asked at a time: an application with as many workers has no more.
	maxAsking = 32
	// maxAnswers bounds the answers that are remembered of each kind, at 100 bytes each: refused ones do not displace the others.
	maxAnswers = 16 << 10
)

// asker asks an application what a client may do.
type asker struct {
	url     string
	client  *http.Client
	log     *slog.Logger
	often   rate.Sometimes
	flights singleflight.Group // of the same question

	mu    sync.Mutex
	known [2]map[question]time.Time // until when: refused, allowed
}

// question is a hash of the credentials, the device and the role.
type question [sha256.Size]byte

// newAsker asks at an address; without one there is no asker.
func newAsker(address string, log *slog.Logger) *asker {
	if address == "" {
		return nil
	}
	a := &asker{url: address, log: log, often: rate.Sometimes{Interval: time.Minute}}
	a.known = [2]map[question]time.Time{{}, {}}
	a.client = &http.Client{
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: askTimeout}).DialContext, MaxConnsPerHost: maxAsking, MaxIdleConnsPerHost: maxAsking,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return a
}

// close ends the connections that are open for the next question.
func (a *asker) close() {
	if a != nil {
		a.client.CloseIdleConnections()
	}
}

// checkAuthURL refuses an address that cannot be asked.
func (c Config) checkAuthURL() error {
	u, err := url.Parse(c.AuthURL)
	if c.AuthURL == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil {
		return nil
	}
	return &problem.Problem{Code: CodeAuthURLInvalid, Key: "auth_url", Cause: "it is not the address of a view", Fix: "write a URL such as http://127.0.0.1:8000/relay/auth/"}
}

// Answers of an asker that allows nothing.
var (
	errNotAllowed = denied{http.StatusUnauthorized, "the application does not allow it: present its token in Authorization, or log in"}
	errNoAnswer   = busy{refusedAsk, 5 * time.Second, "the application that decides who may connect does not answer: come again"}
)

// grant is what the application allows a client in the group of device. Only one that presents a token in Authorization may become a
// publisher, which no page of a browser can: it may watch where it may not.
func (a *asker) grant(q *http.Request, device string, most role) (grant, error) {
	header := http.Header{}
	for _, name := range []string{"Cookie", "Authorization", "Origin"} {
		if values := q.Header.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	given, protocols := presented(q)
	if given == "" {
		most = min(most, watcher)
		if len(protocols) == 1 {
			header.Set("Authorization", "Bearer "+protocols[0])
		}
	}
	header.Set(authDevice, device)
	credentials := sha256.Sum256(fmt.Appendf(nil, "%q", [][]string{header["Cookie"], header["Authorization"], header["Origin"]}))
	for as := most; as > stranger; as-- {
		header.Set(authRole, map[role]string{sender: "publish", watcher: "view"}[as])
		allowed, err := a.allows(question(sha256.Sum256(fmt.Appendf(credentials[:], " %d %s", as, device))), header)
		if err != nil {
			return grant{}, err
		}
		if allowed {
			return grant{role: as, token: hex.EncodeToString(credentials[:8]), asked: true}, nil
		}
	}
	return grant{}, errNotAllowed
}

// allows answers from what is known, or asks.
func (a *asker) allows(what question, header http.Header) (bool, error) {
	a.mu.Lock()
	for i, known := range a.known {
		if until, ok := known[what]; ok && time.Now().Before(until) {
			a.mu.Unlock()
			return i == 1, nil
		}
	}
	a.mu.Unlock()
	allowed, err, _ := a.flights.Do(string(what[:]), func() (any, error) {
		allowed, err := a.ask(header.Clone())
		if err == nil {
			a.remember(what, allowed, time.Now())
		}
		return allowed, err
	})
	if err != nil {
		a.often.Do(func() { a.log.Warn("the application that decides who may connect does not answer", "err", err) })
		return false, errNoAnswer
	}
	return allowed.(bool), nil
}

// ask asks the application. The client that made the request first may be gone by the answer, which is of use to others.
func (a *asker) ask(header http.Header) (allowed bool, err error) {
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, a.url, nil)
	if err != nil {
		return false, err
	}
	q.Header = header
	answer, err := a.client.Do(q)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, 4096) // a short one leaves the connection free for the next question
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return true, nil
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code >= 300 && code < 400: // to a page for the login
		return false, nil
	}
	return false, fmt.Errorf("it answers %s", answer.Status)
}

// remember keeps an answer. Where there is no room for more, those that do not hold any more make it, or else all.
func (a *asker) remember(what question, allowed bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, holds := a.known[0], refusedFor
	if allowed {
		known, holds = a.known[1], allowedFor
	}
	if len(known) >= maxAnswers {
		maps.DeleteFunc(known, func(_ question, until time.Time) bool { return !now.Before(until) })
	}
	if len(known) >= maxAnswers {
		clear(known)
	}
	known[what] = now.Add(holds)
}
