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
	"os"
	"strings"
	"syscall"
	"time"

	"gpsbridge/bridge"
)

// statusTimeout bounds the question to a daemon on this machine.
const statusTimeout = 5 * time.Second

func runStatus(ctx context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	flags := addConfigFlags(fs)
	asJSON := fs.Bool("json", false, "print the whole status as JSON")
	if _, err := parse(p, c, fs, args, 0); err != nil {
		return err
	}
	config, err := flags.load(p)
	if err != nil {
		return err
	}
	body, err := fetchStatus(ctx, config.Relay)
	if err != nil {
		return err
	}
	if *asJSON {
		_, err := fmt.Fprintln(p.stdout, string(body))
		return err
	}
	var st bridge.Status
	if err := json.Unmarshal(body, &st); err != nil || st.Role != "tracker" {
		return fmt.Errorf("%s does not answer as a gpsbridge daemon: see gpsbridge status --json", config.Relay.Listen)
	}
	printStatus(p.stdout, st)
	return nil
}

// fetchStatus asks the daemon through its relay, which is on this machine whatever address it listens at.
func fetchStatus(ctx context.Context, c bridge.RelayConfig) ([]byte, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, usagef("relay.listen %q has no daemon to ask: use host:port", c.Listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	scheme, client := "http://", http.DefaultClient
	if c.Cert != "" {
		scheme = "https://"
		if client, err = pinned(c.Cert); err != nil {
			return nil, err
		}
		defer client.CloseIdleConnections()
	}
	url := scheme + net.JoinHostPort(host, port) + "/api/v1/status"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		token, err := os.ReadFile(c.Token)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no daemon answers at %s: start it with gpsbridge run, or name its address with --listen", c.Listen)
	case err != nil:
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// pinned makes a client that talks to who has the certificate in a file, and to nobody else, whatever name it is for.
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
		InsecureSkipVerify: true, // instead of by its name and issuer it is known by itself
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the certificate is not that of %s: another program has the port, or the daemon was not restarted", certFile)
			}
			return nil
		},
	}}}, nil
}

func printStatus(w io.Writer, st bridge.Status) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s %s\n", name, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	row("device", "%s, version %s, up %s", st.DeviceID, st.Version, st.Now.Sub(st.Started).Round(time.Second))
	for _, r := range st.Receivers {
		row("receiver", "%s %s %s", r.Source, r.State, r.Detail)
		fix := "no fix yet"
		switch {
		case !r.Stale():
			fix = fmt.Sprintf("%s, %.1f s old", r.Mode, *r.FixAge)
		case r.FixAge != nil:
			fix = fmt.Sprintf("no fix, the last one %.0f s ago", *r.FixAge)
		}
		row("fix", "%s, %d fixes from %d sentences, %d bad checksums, %d bytes of noise",
			fix, r.Fixes, r.Sentences, r.BadChecksum, r.NoiseBytes)
	}
	if len(st.Uplinks) == 0 {
		row("uplink", "none: name a server with --server URL or [[uplink]]")
	}
	for _, u := range st.Uplinks {
		row("uplink", "%s %s %s", u.Name, u.State, u.Detail)
		row("delivery", "%d acknowledged (%s), %d outstanding, %d sent again, %d set aside", u.Acked, u.Ack, u.Outstanding, u.Resent, u.Aside)
		row("traffic", "%d bytes sent, %d received, %.1f MB a day", u.SentBytes, u.ReceivedBytes, u.BytesPerDay/1e6)
	}
	row("spool", "%d waiting, %d bytes of %d, %d dropped %s", st.Spool.Records, st.Spool.Bytes, st.Spool.MaxBytes, st.Spool.Dropped, st.Spool.Fault)
	if st.Relay != nil {
		row("viewers", "%d, %d messages dropped", st.Relay.Viewers, st.Relay.Dropped)
		if st.Relay.TLS != "" {
			row("TLS", "SHA-256 %s", st.Relay.TLS)
		}
	}
}
