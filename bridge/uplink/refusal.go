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
	"strings"
	"syscall"
)

// Kind is the class of a refusal.
type Kind string

// The kinds of refusal.
const (
	Unauthorized Kind = "unauthorized" // 401
	Forbidden    Kind = "forbidden"    // 403, or a close code that says so
	NotFound     Kind = "not-found"    // 404, 410, or a web page in place of a WebSocket
	Redirect     Kind = "redirect"
	ServerError  Kind = "server-error" // 5xx
	BadStatus    Kind = "bad-status"   // any other answer to the handshake
	BadCert      Kind = "bad-certificate"
	CertTime     Kind = "certificate-time" // expired or not yet valid, by this machine's clock
	ClientCert   Kind = "client-certificate"
	WrongTLS     Kind = "wrong-tls" // ws spoken to a TLS port, or wss to a plain one
	NameNotFound Kind = "name-not-found"
	Refused      Kind = "connection-refused"
	NoRoute      Kind = "no-route"
	Timeout      Kind = "timeout"
	NoConnection Kind = "no-connection" // any other failure of the network
)

// Refusal is why a server could not be connected to.
type Refusal struct {
	Kind   Kind
	Status int    // of HTTP; 0 without an answer
	URL    string // without secrets
	Text   string // one line: what happened, the likely cause, the mend
	Err    error  // as it came from below
}

// Error is one line without secrets.
func (r *Refusal) Error() string {
	if r.URL == "" {
		return r.Text
	}
	return fmt.Sprintf("connect to %s: %s", r.URL, r.Text)
}

// Unwrap returns the error from below.
func (r *Refusal) Unwrap() error { return r.Err }

// Slow reports whether only a person can mend it, on the server or in the
// configuration, so that trying again soon is of no use. A server error, a
// missing network and a clock that is not set yet pass by themselves.
func (r *Refusal) Slow() bool {
	switch r.Kind {
	case Unauthorized, Forbidden, NotFound, Redirect, BadStatus, BadCert, ClientCert, WrongTLS:
		return true
	}
	return false
}

// explain turns what the dialer reports into a Refusal.
func (a *attempt) explain(resp *http.Response, err error) error {
	r := &Refusal{URL: redact(a.target), Err: err}
	switch {
	case resp != nil:
		a.explainStatus(r, resp)
	case a.explainTLS(r, err):
	default:
		a.explainNetwork(r, err)
	}
	if a.via != "" {
		r.Text += fmt.Sprintf(" (through proxy %s of the environment)", a.via)
	}
	r.Text = oneLine(r.Text)
	return r
}

// explainStatus names the likely cause of an answer that is not 101.
func (a *attempt) explainStatus(r *Refusal, resp *http.Response) {
	body := ""
	if data, err := io.ReadAll(io.LimitReader(resp.Body, 1024)); err == nil {
		body = string(data)
	}
	r.Status = resp.StatusCode
	said := strings.TrimSpace(fmt.Sprintf("server answered %d %s", r.Status, http.StatusText(r.Status)))
	set := func(k Kind, format string, args ...any) { r.Kind, r.Text = k, said+": "+fmt.Sprintf(format, args...) }
	switch code := r.Status; {
	case code == http.StatusUnauthorized:
		set(Unauthorized, "it wants to know who asks (%s); check token_file", a.credentials())
	case code == http.StatusForbidden:
		set(Forbidden, "token, Origin or device ID not accepted (%s, Origin %q); check token_file and origin, that the server knows the device ID, and ALLOWED_HOSTS on a Django server", a.credentials(), a.header.Get("Origin"))
	case code == http.StatusNotFound || code == http.StatusGone:
		set(NotFound, "no WebSocket at path %q%s; check the path of the server's URL", a.target.Path, a.slash())
	case code >= 300 && code < 400:
		set(Redirect, "moved to %s; put that address into server (ws:// for http://, wss:// for https://)", location(resp))
	case code == http.StatusInternalServerError:
		set(ServerError, "on a Django Channels server: path %q has no route%s, the device ID is not valid there, or its channel layer (Redis) is down; check the server's URL, then its log", a.target.Path, a.slash())
	case code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout:
		set(ServerError, "the proxy in front does not reach the application; it may be starting")
	case code >= 500:
		set(ServerError, "see the server's log")
	case strings.Contains(body, "SSL certificate"): // how nginx words it
		set(ClientCert, "it wants a client certificate; set cert_file and key_file")
	case strings.Contains(body, "HTTP request") && strings.Contains(body, "HTTPS"): // nginx and Go
		set(WrongTLS, "the port speaks TLS; use wss:// in the server's URL")
	case code == http.StatusBadRequest || code == http.StatusUpgradeRequired || code == http.StatusSwitchingProtocols:
		set(BadStatus, "the WebSocket handshake did not get through; check origin (%q), and that a proxy between passes Upgrade and Connection on", a.header.Get("Origin"))
	case code == http.StatusTooManyRequests:
		set(BadStatus, "too many connections from here; it will be tried again slowly")
	case code >= 200 && code < 300:
		set(NotFound, "an ordinary web page, not a WebSocket; check the path of the server's URL%s", a.slash())
	default:
		set(BadStatus, "it does not take the connection; check the server's URL")
	}
}

// credentials says what was sent to prove who asks, without saying it.
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

// location is the target of a redirect, without secrets.
func location(resp *http.Response) string {
	to, err := resp.Location()
	if err != nil {
		return "an address that it does not name"
	}
	return redact(to)
}

// explainTLS names the cause when certificates or the use of TLS itself are
// wrong, and reports whether that is the case.
func (a *attempt) explainTLS(r *Refusal, err error) bool {
	host := a.target.Hostname()
	set := func(k Kind, format string, args ...any) bool {
		r.Kind, r.Text = k, fmt.Sprintf(format, args...)
		return true
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	text := err.Error()
	switch {
	case errors.As(err, &unknown):
		return set(BadCert, "certificate of %s is signed by an authority that is not known here; put its certificate into a file and set ca_file", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return set(CertTime, "%s", a.certTime(host, invalid.Cert))
	case errors.As(err, &name):
		return set(BadCert, "certificate of the server is for %s, not for %s; use the name of the certificate in the server's URL", certNames(name.Certificate), host)
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return set(WrongTLS, "port does not speak TLS; use ws:// in the server's URL, or the port for TLS")
	case a.target.Scheme == "ws" && strings.Contains(text, `malformed HTTP response "\x15\x03`): // a TLS alert
		return set(WrongTLS, "port speaks TLS; use wss:// in the server's URL")
	case strings.Contains(text, "tls: certificate required"),
		// TLS 1.2 has no alert of its own for a missing certificate.
		a.c.CertFile == "" && (strings.Contains(text, "remote error: tls: bad certificate") || strings.Contains(text, "remote error: tls: handshake failure")):
		return set(ClientCert, "server wants a client certificate; set cert_file and key_file")
	case a.c.CertFile != "" && strings.Contains(text, "remote error: tls:"):
		return set(ClientCert, "server does not accept the client certificate %s (%s); check that it is valid and signed by the server's authority", a.c.CertFile, lastPart(text))
	case strings.Contains(text, "tls: "), strings.Contains(text, "x509: "):
		return set(BadCert, "TLS with %s does not come about: %s", host, text)
	}
	return false
}

// certNames is what a certificate is for.
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

// explainNetwork names the cause when there was no answer.
func (a *attempt) explainNetwork(r *Refusal, err error) {
	host, port := a.target.Hostname(), a.port()
	var dns *net.DNSError
	var timeout net.Error
	set := func(k Kind, format string, args ...any) { r.Kind, r.Text = k, fmt.Sprintf(format, args...) }
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		set(NameNotFound, "name %q not found; check the host in the server's URL, and that there is a network with DNS", dns.Name)
	case errors.As(err, &dns):
		set(NameNotFound, "name %q cannot be looked up (%s); is there a network with DNS?", host, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		set(Refused, "connection refused: nothing listens on port %s of %s; check that the server runs, and the port in its URL", port, host)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN):
		set(NoRoute, "no route to %s; is the network (modem, Wi-Fi) up?", host)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		a.explainTimeout(r, host, port)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		set(NoConnection, "connection closed during the handshake: server on port %s of %s is stopping, wants TLS (wss://) or a client certificate, or is no web server", port, host)
	case strings.Contains(err.Error(), "malformed HTTP"):
		set(BadStatus, "port %s of %s does not speak HTTP; check the port in the server's URL", port, host)
	default:
		set(NoConnection, "%s", plain(err))
	}
}

func (a *attempt) explainTimeout(r *Refusal, host, port string) {
	r.Kind = Timeout
	if a.linked.Load() {
		r.Text = fmt.Sprintf("no answer to the handshake within %s: port %s of %s is open, but no web server answers there; it may be overloaded", a.c.HandshakeTimeout, port, host)
		return
	}
	r.Text = fmt.Sprintf("no connection to port %s of %s within %s: wrong address, a firewall drops it, or the network is down", port, host, a.c.HandshakeTimeout)
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

// lastPart is what stands behind the last colon.
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
