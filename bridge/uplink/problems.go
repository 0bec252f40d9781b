package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/secret"
)

// Problems of the configuration, which New reports and Dial where a file is concerned. Key names the key.
const (
	BadURL    problem.Code = "bad-server-url"
	BadAck    problem.Code = "bad-ack"
	BadWindow problem.Code = "bad-window"
	BadOrder  problem.Code = "bad-order"
	BadCA     problem.Code = "bad-ca-file"
	BadCert   problem.Code = "bad-client-certificate-file"

	BadCompress problem.Code = "bad-compress"
)

// Problems of connecting, which Dial reports.
const (
	Unauthorized  problem.Code = "server-unauthorized"  // HTTP 401
	Forbidden     problem.Code = "server-forbidden"     // HTTP 403, or a close code that means the same
	NotFound      problem.Code = "server-path"          // HTTP 404 or 410, or a web page instead of a WebSocket
	Redirect      problem.Code = "server-redirect"      // HTTP 3xx
	ServerError   problem.Code = "server-error"         // HTTP 5xx
	BadStatus     problem.Code = "server-status"        // any other answer to the handshake
	Untrusted     problem.Code = "server-certificate"   // unknown authority, or another name
	CertTime      problem.Code = "certificate-time"     // expired or not yet valid, by the clock of this machine
	ClientCert    problem.Code = "client-certificate"   // missing, or not accepted
	WrongTLS      problem.Code = "wrong-tls"            // ws spoken to a TLS port, or wss to a plain one
	NameNotFound  problem.Code = "server-name"          // no address for the host name
	Refused       problem.Code = "server-port-closed"   // TCP reset: nothing listens
	NoRoute       problem.Code = "server-no-route"      // no network, or none to the server
	Timeout       problem.Code = "server-timeout"       // no TCP connection, or no answer to the handshake, in time
	ProxyProblem  problem.Code = "proxy-unreachable"    // the proxy that the environment names
	NoConnection  problem.Code = "server-no-connection" // any other failure of the network
	HandshakeSize problem.Code = "handshake-size"       // the answer to the handshake does not end
)

// Problems of a connection that stood, which ExplainLoss and Status report.
const (
	LinkDead      problem.Code = "link-dead"           // nothing received, pings unanswered
	Unresponsive  problem.Code = "server-unresponsive" // pings answered, no acknowledgement
	NoEcho        problem.Code = "server-no-echo"      // ack = "echo", and there was never one
	WriteTimeout  problem.Code = "server-not-reading"  // a frame could not be written in time
	WriteFailed   problem.Code = "write-failed"        //
	Ended         problem.Code = "connection-ended"    // without a close frame
	EndedIdle     problem.Code = "connection-idle"     // the same, after a time without traffic
	Reset         problem.Code = "connection-reset"    // by TCP
	ReadFailed    problem.Code = "read-failed"         //
	ClosedNormal  problem.Code = "server-closed"       // close codes 1000, 1005 and those of applications
	ClosedRestart problem.Code = "server-restarting"   // 1001, 1012
	LostRecords   problem.Code = "server-lost-records" // 1012 with group.SendAgain: acknowledged ones, which are sent again
	ClosedFailed  problem.Code = "server-failed"       // 1011
	ClosedPing    problem.Code = "server-ping-timeout" // 1011 with Uvicorn's text for a ping of its own without an answer
	ClosedRecord  problem.Code = "server-rejected"     // 1002, 1003, 1007, 1009: a record was not accepted
	ClosedPolicy  problem.Code = "server-policy"       // 1008: the client or a record was not accepted
	Overloaded    problem.Code = "server-overloaded"   // 1013
	AgeReached    problem.Code = "connection-renewed"  // by this side, for its age
	QueueFailed   problem.Code = "queue-failed"        // the queue cannot be read

	CompressionBroke problem.Code = "compression-broken" // connections break with compression, and it is not offered
)

// The close codes with which applications refuse a client after having accepted the connection: the private codes that are
// customary for HTTP's 401 and 403.
const (
	closeUnauthorized = 4401
	closeForbidden    = 4403
)

// needsPerson reports whether only a person can fix a problem, on the server or in the configuration, so that another
// attempt soon is of no use. A server error, a missing network and a clock that is not set yet pass by themselves.
func needsPerson(c problem.Code) bool {
	switch c {
	case Unauthorized, Forbidden, NotFound, Redirect, BadStatus, Untrusted, ClientCert, WrongTLS, ClosedPolicy, HandshakeSize:
		return true
	}
	return false
}

// blame is how far the end of a connection points to a record that was on its way.
type blame int

const (
	// blameNone: a dead link, a restart, or a silence: an acknowledgement that is only missing points to no record.
	blameNone blame = iota
	// blamePossible: the connection ended without a close frame, or with a code that does not state that anything was
	// wrong. Uvicorn ends it so when an application fails on a record, and applications close what they do not accept with
	// 1000 (Channels, unless they choose another), 1005, or a code of their own. A killed server and a proxy do so too.
	blamePossible
	// blameStated: a close frame states that the server failed or does not accept something.
	blameStated
)

// blameOf classifies the end of a connection.
func blameOf(c problem.Code) blame {
	switch c {
	case Ended, EndedIdle, Reset, ClosedNormal:
		return blamePossible
	case ClosedFailed, ClosedRecord, ClosedPolicy:
		return blameStated
	}
	return blameNone
}

// answer is an answer to the handshake that is not 101. It is what Problem.Err wraps.
type answer struct {
	status     int
	retryAfter time.Duration // 0: not stated
	err        error
}

func (a *answer) Error() string { return a.err.Error() }
func (a *answer) Unwrap() error { return a.err }

// maxRetryAfter bounds what a server may ask for: an hour of maintenance, and not a mistake of a month.
const maxRetryAfter = time.Hour

// readRetryAfter reads the header Retry-After (RFC 9110, 10.2.3): seconds, or a date.
func readRetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.Atoi(value); err == nil {
		return min(max(time.Duration(min(seconds, int(maxRetryAfter/time.Second)))*time.Second, 0), maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// explain turns what the dialer reports into a problem.
func (a *attempt) explain(resp *http.Response, err error) *problem.Problem {
	var p *problem.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, errHandshakeSize):
		p = &problem.Problem{Code: HandshakeSize, Key: "server",
			Cause: fmt.Sprintf("the answer to the handshake does not end after %d KiB: this is not a tracking server", maxHandshake>>10), Fix: "check the address"}
	case resp != nil:
		p = a.explainStatus(resp)
		err = &answer{status: resp.StatusCode, retryAfter: readRetryAfter(resp.Header, time.Now()), err: err}
	default:
		p = a.explainTLS(err)
		if p == nil {
			p = a.explainNetwork(err)
		}
	}
	if a.via != "" && p.Code != ProxyProblem {
		p.Cause += fmt.Sprintf(" (through proxy %s of the environment)", a.via)
	}
	p.Cause, p.Fix, p.Err = oneLine(p.Cause), oneLine(p.Fix), err
	return p
}

// explainStatus names the likely cause of an answer that is not 101.
func (a *attempt) explainStatus(resp *http.Response) *problem.Problem {
	body := ""
	if data, err := io.ReadAll(io.LimitReader(resp.Body, 1024)); err == nil {
		body = string(data)
	}
	status := resp.StatusCode
	answered := strings.TrimSpace(fmt.Sprintf("server answered %d %s", status, http.StatusText(status)))
	is := func(c problem.Code, key, cause, fix string) *problem.Problem {
		return &problem.Problem{Code: c, Key: key, Cause: answered + ": " + cause, Fix: fix}
	}
	switch {
	case status == http.StatusUnauthorized:
		return is(Unauthorized, "token_file", "it wants credentials ("+a.credentials()+")", "put the token that the server knows into the file that token_file names")
	case status == http.StatusForbidden:
		return is(Forbidden, "token_file", fmt.Sprintf("it does not accept token, Origin or device ID (%s, Origin %q)", a.credentials(), a.header.Get("Origin")),
			"check token_file and origin, that the server knows the device ID, and ALLOWED_HOSTS of a Django server")
	case status == http.StatusNotFound || status == http.StatusGone:
		return a.explainNotFound(resp, is)
	case status >= 300 && status < 400:
		return a.explainRedirect(resp, is)
	case status == http.StatusInternalServerError:
		return is(ServerError, "server", fmt.Sprintf("a Django Channels server answers so when path %q has no route%s, the device ID is not valid there, CHANNEL_LAYERS is not configured, or its channel layer (Redis) is down", a.target.Path, a.slash()),
			"read the exception in the server's log")
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		return explainUnavailable(resp.Header.Get(group.RefusalHeader), is)
	case status >= 500:
		return is(ServerError, "", "it failed", "read the server's log")
	case strings.Contains(body, "SSL certificate"): // nginx's words
		return is(ClientCert, "cert_file", "it wants a client certificate", "set cert_file and key_file")
	case strings.Contains(body, "HTTP request") && strings.Contains(body, "HTTPS"): // those of nginx and Go
		return is(WrongTLS, "server", "the port is for TLS", "use wss:// in the address")
	case status == http.StatusBadRequest || status == http.StatusUpgradeRequired || status == http.StatusSwitchingProtocols:
		return is(BadStatus, "server", "the WebSocket handshake did not reach the application", fmt.Sprintf("let the proxy in between pass Upgrade and Connection on, and check origin (%q)", a.header.Get("Origin")))
	case status == http.StatusTooManyRequests:
		return is(BadStatus, "", "too many connections from here", "wait: it is tried again slowly")
	case status >= 200 && status < 300:
		return is(NotFound, "server", "that is a web page and not a WebSocket"+a.slash(), "check the path of the address; behind a proxy, let it pass Upgrade and Connection on")
	}
	return is(BadStatus, "server", "it does not accept the connection", "check the address")
}

// explainUnavailable: a relay states why it refuses a tracker. What does not is a proxy.
func explainUnavailable(refusal string, is func(c problem.Code, key, cause, fix string) *problem.Problem) *problem.Problem {
	switch refusal {
	case group.RefusedFull:
		return is(ServerError, "", "the relay has as many connections or groups as it can hold", "raise its max_conns, or start another relay")
	case group.RefusedLayer:
		return is(ServerError, "", "the relay does not reach its layer (Redis)", "start Redis, or run gpsbridge relay doctor there")
	case group.RefusedBusy:
		return is(ServerError, "", "too many trackers connect to the relay at once", "wait: it is tried again at the time that the relay has named")
	case group.RefusedDrain:
		return is(ServerError, "", "the relay is being stopped", "wait: it is tried again")
	case group.RefusedAuth:
		return is(ServerError, "", "the application that decides for the relay who may connect (auth_url) does not answer", "start the application, and check the relay's auth_url")
	}
	return is(ServerError, "", "the proxy in front of the application does not reach it", "start the application, or wait until it has started")
}

// explainNotFound: Channels answers a WebSocket without a route with 500. A 404 therefore comes from the HTTP side of the
// application, which never saw an Upgrade, or from something in front of it.
func (a *attempt) explainNotFound(resp *http.Response, is func(c problem.Code, key, cause, fix string) *problem.Problem) *problem.Problem {
	const upgrade = "let the proxy pass the WebSocket on (nginx: proxy_http_version 1.1, Upgrade and Connection headers)"
	front := strings.ToLower(resp.Header.Get("Server") + " " + resp.Header.Get("Via"))
	for _, proxy := range []string{"nginx", "apache", "caddy", "haproxy", "cloudflare", "traefik", "envoy"} {
		if strings.Contains(front, proxy) {
			return is(NotFound, "server", fmt.Sprintf("%s at path %q passes no WebSocket on, or the path is wrong%s", proxy, a.target.Path, a.slash()), upgrade+", then check the path")
		}
	}
	return is(NotFound, "server", fmt.Sprintf("no WebSocket at path %q%s", a.target.Path, a.slash()), "check the path of the address; behind a proxy, "+upgrade)
}

// explainRedirect distinguishes a moved server from a login page and from the portal of a network.
func (a *attempt) explainRedirect(resp *http.Response, is func(c problem.Code, key, cause, fix string) *problem.Problem) *problem.Problem {
	to, err := resp.Location()
	if err != nil {
		return is(Redirect, "server", "it redirects to an address that it does not name", "check the address")
	}
	shown := secret.RedactURL(to.String())
	path := strings.ToLower(to.Path)
	switch {
	case strings.Contains(path, "login") || strings.Contains(path, "signin") || strings.Contains(path, "sso"):
		return is(Redirect, "token_file", "it redirects to the login page "+shown, "let the application accept trackers by token instead of a login, or check the path of the server's address")
	case to.Hostname() == a.target.Hostname() && to.Path == a.target.Path && to.Scheme == "https" && a.target.Scheme == "ws":
		return is(Redirect, "server", "it wants TLS ("+shown+")", "use wss:// in the address")
	case to.Hostname() != a.target.Hostname() && to.Path != a.target.Path:
		return is(Redirect, "server", "it redirects to "+shown+": perhaps the login page of the network in between (captive portal)",
			"sign in to that network, or put the new address into server if it has moved (wss:// for https://)")
	}
	return is(Redirect, "server", "it redirects to "+shown, "put that address into server (ws:// for http://, wss:// for https://)")
}

// credentials describes what was sent to prove the identity, without showing it.
func (a *attempt) credentials() string {
	switch {
	case a.c.TokenFile != "":
		return fmt.Sprintf("sent the token of %s", a.c.TokenFile)
	case a.header.Get("Authorization") != "":
		return "sent an Authorization header"
	}
	return "sent no token"
}

// slash is the hint for the most frequent mistake in a path.
func (a *attempt) slash() string {
	if strings.HasSuffix(a.target.Path, "/") {
		return ""
	}
	return " (the trailing slash is missing)"
}

// explainTLS names the cause when certificates or the use of TLS itself are wrong; nil: they are not.
func (a *attempt) explainTLS(err error) *problem.Problem {
	host := a.target.Hostname()
	is := func(c problem.Code, key, cause, fix string) *problem.Problem {
		return &problem.Problem{Code: c, Key: key, Cause: cause, Fix: fix}
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	alert, alerted := remoteAlert(err)
	text := err.Error()
	switch {
	case errors.As(err, &unknown):
		return is(Untrusted, "ca_file", "the certificate of "+host+" is signed by an unknown authority", "put the authority's certificate into a file and set ca_file")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return a.certTime(host, invalid.Cert)
	case errors.As(err, &name):
		return is(Untrusted, "server", fmt.Sprintf("the server's certificate is for %s, not for %s", certNames(name.Certificate), host), "use a name of the certificate in the address")
	case errors.As(err, &record):
		return is(WrongTLS, "server", "port "+a.port()+" does not speak TLS", "use ws:// in the address, or the port for TLS")
	case a.target.Scheme == "ws" && a.conn != nil && a.conn.begin == tlsAlert:
		return is(WrongTLS, "server", "port "+a.port()+" speaks TLS", "use wss:// in the address")
	case alert == certificateRequired,
		// TLS 1.2 has no alert of its own for a missing certificate.
		a.c.CertFile == "" && (alert == badCertificate || alert == handshakeFailure):
		return is(ClientCert, "cert_file", "the server wants a client certificate", "set cert_file and key_file")
	case a.c.CertFile != "" && alerted:
		return is(ClientCert, "cert_file", fmt.Sprintf("the server does not accept the client certificate %s (%s)", a.c.CertFile, lastPart(alert)), "use one that is valid and signed by the server's authority")
	case alerted, errors.As(err, &verify), strings.Contains(text, "tls: "): // most errors of package tls have no type
		return is(Untrusted, "server", fmt.Sprintf("no TLS connection with %s (%s)", host, text), "check the server's certificate and TLS versions")
	}
	return nil
}

// Alerts of TLS (RFC 8446, section 6.2), as package tls words them.
var (
	handshakeFailure    = tls.AlertError(40).Error()
	badCertificate      = tls.AlertError(42).Error()
	certificateRequired = tls.AlertError(116).Error()
)

// tlsAlert is how an alert of TLS begins: its content type, and the first byte of the version (RFC 8446, section 5.1).
var tlsAlert = [2]byte{21, 3}

// remoteAlert returns the alert with which the server ended the TLS handshake. Package tls gives it no exported type, but an
// operation of its own.
func remoteAlert(err error) (alert string, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return "", false
	}
	return op.Err.Error(), true
}

// certNames lists what a certificate is for.
func certNames(cert *x509.Certificate) string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	switch {
	case len(names) == 0:
		return "no name at all"
	case len(names) > 3:
		return strings.Join(names[:3], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// certTime distinguishes an expired certificate from one that is not yet valid, and puts the clock beside it: a machine without a
// battery clock boots in the past.
func (a *attempt) certTime(host string, cert *x509.Certificate) *problem.Problem {
	const day = "2006-01-02"
	whose := "the clock here"
	if a.clock != systemName && a.clock != "" {
		whose = "the time of the " + a.clock
	}
	shows := whose + " shows " + a.now.UTC().Format("2006-01-02 15:04 UTC")
	p := &problem.Problem{Code: CertTime}
	if a.now.Before(cert.NotBefore) {
		p.Cause = fmt.Sprintf("the certificate of %s is valid only from %s, and %s", host, cert.NotBefore.UTC().Format(day), shows)
		p.Fix = "check the clock"
		return p
	}
	p.Cause = fmt.Sprintf("the certificate of %s expired on %s, and %s", host, cert.NotAfter.UTC().Format(day), shows)
	p.Fix = "renew the server's certificate, or check the clock"
	return p
}

// explainNetwork names the cause when there was no answer.
func (a *attempt) explainNetwork(err error) *problem.Problem {
	host, port := a.target.Hostname(), a.port()
	var dns *net.DNSError
	var timeout net.Error
	is := func(c problem.Code, cause, fix string) *problem.Problem {
		return &problem.Problem{Code: c, Key: "server", Cause: cause, Fix: fix}
	}
	if a.via != "" && !a.linked.Load() {
		return &problem.Problem{Code: ProxyProblem, Cause: fmt.Sprintf("the proxy %s that the environment names cannot be reached (%s)", a.via, plain(err)),
			Fix: "start it, or take HTTPS_PROXY or HTTP_PROXY out of the environment"}
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return is(NameNotFound, fmt.Sprintf("name %q not found", dns.Name), "check the host of the address, and that there is a network with DNS")
	case errors.As(err, &dns):
		return is(NameNotFound, fmt.Sprintf("name %q cannot be looked up (%s)", host, dns.Err), "check that there is a network with DNS")
	case errors.Is(err, syscall.ECONNREFUSED):
		return is(Refused, fmt.Sprintf("connection refused, nothing listens on port %s of %s", port, host), "check that the server runs, and the port of the server's address")
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN):
		return &problem.Problem{Code: NoRoute, Cause: "no route to " + host, Fix: "check that the network (modem, Wi-Fi) is up"}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return a.explainTimeout(host, port)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return is(NoConnection, fmt.Sprintf("connection closed during the handshake with port %s of %s", port, host), "the server is stopping, wants TLS (wss://) or a client certificate, or is not a web server")
	case strings.Contains(err.Error(), "malformed HTTP"):
		return is(BadStatus, fmt.Sprintf("port %s of %s does not speak HTTP", port, host), "check the port of the server's address")
	}
	return is(NoConnection, plain(err).Error(), "check the network and the address")
}

func (a *attempt) explainTimeout(host, port string) *problem.Problem {
	if a.linked.Load() {
		return &problem.Problem{Code: Timeout, Key: "connect_timeout", Cause: fmt.Sprintf("port %s of %s is open, and did not complete the handshake within %s", port, host, a.c.ConnectTimeout),
			Fix: "the server is overloaded, is not a web server, or the link is very slow; for a slow link set a longer connect_timeout"}
	}
	return &problem.Problem{Code: Timeout, Key: "server", Cause: fmt.Sprintf("no connection to port %s of %s within %s", port, host, a.c.tcpTimeout()),
		Fix: "check the address, the firewalls in between, and that the network is up"}
}

func (a *attempt) port() string {
	switch port := a.target.Port(); {
	case port != "":
		return port
	case a.target.Scheme == "wss":
		return "443"
	}
	return "80"
}

// pingTimeout is Uvicorn's text of a 1011 that is about a ping and not about records.
const pingTimeout = "keepalive ping timeout"

// ExplainLoss turns the error of a read from a connection that [Dial] has opened into a problem that names the cause.
func ExplainLoss(err error) *problem.Problem {
	var closed *websocket.CloseError
	var found *problem.Problem
	switch {
	case errors.As(err, &found): // with what was compressed
		return found
	case errors.As(err, &closed):
		return explainClose(closed)
	case errors.Is(err, syscall.ECONNRESET):
		return &problem.Problem{Code: Reset, Cause: "connection reset by the server or a device in between", Err: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ended(err)
	}
	return &problem.Problem{Code: ReadFailed, Cause: "read from the server: " + oneLine(plain(err).Error()), Err: err}
}

// ended is also what Uvicorn does when an application fails on a record.
func ended(err error) *problem.Problem {
	return &problem.Problem{Code: Ended, Cause: "connection ended without a close frame: the server stopped, restarted, or failed on a record", Fix: "read the server's log", Err: err}
}

// explainClose names the cause of a close frame.
func explainClose(c *websocket.CloseError) *problem.Problem {
	const seeLog = "read the server's log"
	closed := fmt.Sprintf("server closed with code %d", c.Code)
	if text := oneLine(strings.TrimSpace(c.Text)); text != "" && c.Code != websocket.CloseAbnormalClosure {
		closed += fmt.Sprintf(" (%s)", text)
	}
	is := func(code problem.Code, cause, fix string) *problem.Problem {
		return &problem.Problem{Code: code, Cause: closed + ": " + cause, Fix: fix, Err: c}
	}
	switch c.Code {
	case closeUnauthorized, closeForbidden:
		p := is(Forbidden, "token or device ID not accepted", "check token_file, device_id and the server's log")
		p.Key = "token_file"
		return p
	case websocket.ClosePolicyViolation:
		return is(ClosedPolicy, "token, device ID or a record not accepted", "check token_file, device_id and the server's log")
	case websocket.CloseAbnormalClosure:
		return ended(c)
	case websocket.CloseNormalClosure:
		return is(ClosedNormal, "it is stopping or restarting, limits the age of connections, or does not accept a record", seeLog)
	case websocket.CloseGoingAway, websocket.CloseServiceRestart:
		if c.Text == group.SendAgain {
			return is(LostRecords, "its store (Redis) has lost what it had acknowledged", "")
		}
		return is(ClosedRestart, "it is stopping, restarting, or limits the age of connections", "")
	case websocket.CloseMessageTooBig:
		return is(ClosedRecord, "a record is longer than the server accepts", seeLog)
	case websocket.CloseInternalServerErr:
		if strings.Contains(c.Text, pingTimeout) {
			return is(ClosedPing, "its ping was not answered in time, after data that it had still to read", "")
		}
		return is(ClosedFailed, "its application failed, or its channel layer (Redis) is down", seeLog)
	case websocket.CloseProtocolError, websocket.CloseUnsupportedData, websocket.CloseInvalidFramePayloadData:
		return is(ClosedRecord, "it does not accept a record", seeLog)
	case websocket.CloseTryAgainLater:
		return is(Overloaded, "it is overloaded", "")
	}
	return is(ClosedNormal, "a code of the application", seeLog)
}

// linkDead is the reason for giving a connection up on which nothing is received.
func linkDead(silent time.Duration) *problem.Problem {
	return &problem.Problem{Code: LinkDead, Cause: fmt.Sprintf("nothing received from the server for %s, pings unanswered: the link is dead", silent.Round(time.Millisecond))}
}

// writeProblem is the reason of a frame that could not be written. The reader often knows a better one.
func writeProblem(err error) *problem.Problem {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return &problem.Problem{Code: WriteTimeout, Cause: "a frame could not be written in time: the server or the link accepts nothing more", Err: err}
	}
	return &problem.Problem{Code: WriteFailed, Cause: "write to the server: " + oneLine(plain(err).Error()), Err: err}
}

// plain is an error of the network without the addresses of both ends: they are in the log already, and the port of this
// end makes each one different.
func plain(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err
	}
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// lastPart is what follows the last colon.
func lastPart(s string) string { return strings.TrimSpace(s[strings.LastIndexByte(s, ':')+1:]) }

// oneLine replaces what would break a line or a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
