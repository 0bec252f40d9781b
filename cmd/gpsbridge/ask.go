package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
	"gpsbridge/cmd/internal/command"
)

// statusTimeout bounds the question to a daemon on this machine.
const statusTimeout = 5 * time.Second

// Codes of why the daemon of this machine cannot be asked.
const (
	noDaemon          problem.Code = "daemon-not-running"    // nothing listens at its address
	daemonSilent      problem.Code = "daemon-not-answering"  // something listens and does not answer in time
	otherProgram      problem.Code = "daemon-other-program"  // what answers is not a tracker
	daemonToken       problem.Code = "daemon-token"          // it requires the viewers' token, or the token cannot be read
	daemonCertificate problem.Code = "daemon-certificate"    // its certificate cannot be read, or is another one
	daemonRequest     problem.Code = "daemon-request-failed" // for another reason
)

// askDaemon returns the status of the running daemon.
func askDaemon(ctx context.Context, c config.Relay) (observe.Status, error) {
	var st observe.Status
	body, err := fetch(ctx, c, statusPath)
	if err != nil {
		return st, err
	}
	err = json.Unmarshal(body, &st)
	switch {
	case err == nil && st.Role == "server":
		return st, &problem.Problem{Code: otherProgram, Cause: fmt.Sprintf("a tracking server (gpsbridge relay) answers at %s, not a tracker", c.Listen),
			Fix: "name the tracker's address with --listen, or see the server's groups on its page"}
	case err != nil || st.Role != "tracker":
		return st, notADaemon(c.Listen, "")
	}
	return st, nil
}

const statusPath = "/api/v1/status"

// deviceFix is the last fix of a device ID, and how old it is in seconds.
type deviceFix struct {
	DeviceID string   `json:"device_id"`
	Age      *float64 `json:"fix_age"`
	Fix      panelFix `json:"fix"`
}

// askAll returns the status of the running daemon, and the last fix of each device ID that has one.
func askAll(ctx context.Context, c config.Relay) (observe.Status, []deviceFix, error) {
	st, err := askDaemon(ctx, c)
	if err != nil {
		return st, nil, err
	}
	var answer struct {
		Devices []deviceFix `json:"devices"`
	}
	body, err := fetch(ctx, c, "/api/v1/devices")
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	return st, slices.DeleteFunc(answer.Devices, func(d deviceFix) bool { return d.Age == nil }), err
}

// fixTime is the time in the last fix of a device ID, zero where there is none.
func fixTime(ctx context.Context, c config.Relay, deviceID string) time.Time {
	var fix struct{ Time time.Time }
	if body, err := fetch(ctx, c, "/api/v1/devices/"+deviceID+"/fix"); err != nil || json.Unmarshal(body, &fix) != nil {
		return time.Time{}
	}
	return fix.Time
}

// fetch asks the daemon through its relay, which is on this machine whatever address it listens at.
func fetch(ctx context.Context, c config.Relay, path string) ([]byte, error) {
	if c.Off() {
		return nil, command.Misusef("a daemon whose relay.listen is \"off\" serves no status: see its log")
	}
	if err := readable(c.TokenFile, c.CertFile); err != nil {
		return nil, err
	}
	address, err := localAddress(c.Listen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	scheme, own := "http://", &http.Transport{} // without the proxy of the environment, which would get the token
	if c.CertFile != "" {
		scheme = "https://"
		if own.TLSClientConfig, err = pinned(c.CertFile); err != nil {
			return nil, err
		}
	}
	client := http.Client{Transport: own, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+address+path, nil)
	if err == nil {
		err = authorize(req, c.TokenFile)
	}
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, &problem.Problem{Code: noDaemon, Cause: "no daemon answers at " + c.Listen, Fix: "start it with gpsbridge run, or name its address with --listen"}
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &problem.Problem{Code: daemonSilent, Cause: fmt.Sprintf("what listens at %s has not answered for %v", c.Listen, statusTimeout),
			Fix: "check that it is the daemon, and see its log"}
	case err != nil:
		return nil, askFailed(c.Listen, errors.Unwrap(err)) // without the URL
	}
	defer resp.Body.Close()
	if err := otherAnswer(resp, c); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// localAddress is where a daemon on this machine is reached that listens at an address.
func localAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", command.Misusef("%q is not the address of a daemon: use host:port, such as %s", listen, relay.DefaultListen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// authorize puts the viewers' token on a request, if there is a file with one.
func authorize(req *http.Request, tokenFile string) error {
	if tokenFile == "" {
		return nil
	}
	token, err := secret.Read(tokenFile)
	if err != nil {
		return problem.Of(err).In("relay.token_file")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// otherAnswer explains an answer other than 200.
func otherAnswer(resp *http.Response, c config.Relay) error {
	switch {
	case resp.StatusCode == http.StatusOK:
		return nil
	case resp.StatusCode == http.StatusUnauthorized && c.TokenFile != "":
		return &problem.Problem{Code: daemonToken, Key: "relay.token_file", Cause: fmt.Sprintf("the daemon at %s does not accept the token in %s (%s)", c.Listen, c.TokenFile, resp.Status),
			Fix: "gpsbridge check shows whether the service can read it"}
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return &problem.Problem{Code: daemonToken, Cause: fmt.Sprintf("the daemon at %s requires the viewers' token (%s)", c.Listen, resp.Status),
			Fix: "name its configuration with -c FILE"}
	case resp.StatusCode == http.StatusBadRequest && c.CertFile == "":
		return &problem.Problem{Code: daemonCertificate, Cause: fmt.Sprintf("%s does not accept plain HTTP (%s)", c.Listen, resp.Status),
			Fix: "if the daemon serves TLS, name its configuration with -c FILE"}
	}
	return notADaemon(c.Listen, " ("+resp.Status+")")
}

func notADaemon(address, answer string) error {
	return &problem.Problem{Code: otherProgram, Cause: address + " does not answer as a gpsbridge daemon" + answer, Fix: "name the daemon's address with --listen"}
}

// askFailed is the problem of a request that failed, which the client's own check of the certificate may have had.
func askFailed(address string, err error) error {
	if problem.CodeOf(err) != "" {
		return problem.Of(err)
	}
	return &problem.Problem{Code: daemonRequest, Cause: fmt.Sprintf("ask the daemon at %s: %v", address, err), Err: err}
}

// pinned accepts the certificate in a file, whatever name it is for, and no other.
func pinned(certFile string) (*tls.Config, error) {
	text, err := directory.ReadFile(certFile)
	if err != nil {
		return nil, badCertificate(err.Error())
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, badCertificate(certFile + " holds no certificate in PEM")
	}
	return &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection compares the whole certificate instead of its name and issuer
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return &problem.Problem{Code: daemonCertificate, Cause: "the daemon's certificate is not that of " + certFile,
					Fix: "restart the daemon, or check that no other program uses its port"}
			}
			return nil
		},
	}, nil
}

func badCertificate(cause string) error {
	return &problem.Problem{Code: daemonCertificate, Key: "relay.tls_cert_file", Cause: cause, Fix: "name the certificate that the daemon serves"}
}
