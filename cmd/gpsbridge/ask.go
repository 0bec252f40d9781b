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
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/relay"
	"gpsbridge/cmd/internal/command"
)

// statusTimeout bounds the question to a daemon on this machine.
const statusTimeout = 5 * time.Second

var errNoDaemon = errors.New("no daemon answers")

// askDaemon returns the status of the running daemon.
func askDaemon(ctx context.Context, c config.Relay) (observe.Status, error) {
	var st observe.Status
	body, err := fetchStatus(ctx, c)
	if err != nil {
		return st, err
	}
	err = json.Unmarshal(body, &st)
	switch {
	case err == nil && st.Role == "server":
		return st, fmt.Errorf("a tracking server (gpsbridge relay) answers at %s, not a tracker: name the tracker's address with --listen,"+
			" or see the server's groups on its page", c.Listen)
	case err != nil || st.Role != "tracker":
		return st, fmt.Errorf("%s does not answer as a gpsbridge daemon: name the daemon's address with --listen", c.Listen)
	}
	return st, nil
}

// fetchStatus returns the daemon's status as the bytes that it answers.
func fetchStatus(ctx context.Context, c config.Relay) ([]byte, error) {
	return fetch(ctx, c, "/api/v1/status")
}

// deviceFix is the last fix of a device ID, and how old it is in seconds.
type deviceFix struct {
	DeviceID string   `json:"device_id"`
	Age      *float64 `json:"fix_age"`
	Fix      panelFix `json:"fix"`
}

// askFixes returns the last fix of each device ID that has one.
func askFixes(ctx context.Context, c config.Relay) ([]deviceFix, error) {
	body, err := fetch(ctx, c, "/api/v1/devices")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Devices []deviceFix `json:"devices"`
	}
	err = json.Unmarshal(body, &answer)
	return slices.DeleteFunc(answer.Devices, func(d deviceFix) bool { return d.Age == nil }), err
}

// askAll returns the status of the running daemon and the last fixes.
func askAll(ctx context.Context, c config.Relay) (observe.Status, []deviceFix, error) {
	st, err := askDaemon(ctx, c)
	if err != nil {
		return st, nil, err
	}
	fixes, err := askFixes(ctx, c)
	return st, fixes, err
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
	address, err := localAddress(c.Listen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	scheme, client := "http://", http.DefaultClient
	if c.CertFile != "" {
		scheme = "https://"
		if client, err = pinned(c.CertFile); err != nil {
			return nil, err
		}
		defer client.CloseIdleConnections()
	}
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
		return nil, fmt.Errorf("%w at %s: start it with gpsbridge run, or name its address with --listen", errNoDaemon, c.Listen)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("what listens at %s has not answered for %v: check that it is the daemon, and see its log", c.Listen, statusTimeout)
	case err != nil:
		return nil, fmt.Errorf("ask the daemon at %s: %w", c.Listen, errors.Unwrap(err)) // without the URL
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
	token, err := os.ReadFile(tokenFile)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("relay.token_file %s is not readable by this user: use sudo", tokenFile)
	}
	if err != nil {
		return fmt.Errorf("relay.token_file: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return nil
}

// otherAnswer explains an answer other than 200.
func otherAnswer(resp *http.Response, c config.Relay) error {
	switch {
	case resp.StatusCode == http.StatusOK:
		return nil
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the daemon at %s requires the viewers' token (%s): name its configuration with -c FILE", c.Listen, resp.Status)
	case resp.StatusCode == http.StatusBadRequest && c.CertFile == "":
		return fmt.Errorf("%s does not accept plain HTTP (%s): if the daemon serves TLS, name its configuration with -c FILE", c.Listen, resp.Status)
	}
	return fmt.Errorf("%s does not answer as a gpsbridge daemon (%s): name the daemon's address with --listen", c.Listen, resp.Status)
}

// pinned makes a client that accepts the certificate in a file, whatever name it is for, and no other.
func pinned(certFile string) (*http.Client, error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("relay.tls_cert_file: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("relay.tls_cert_file %q holds no certificate in PEM", certFile)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection compares the whole certificate instead of its name and issuer
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the certificate is not that of %s: another program uses the port, or the daemon was not restarted", certFile)
			}
			return nil
		},
	}}}, nil
}
