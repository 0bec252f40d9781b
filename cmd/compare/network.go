package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gpsbridge/bridge/realtest/authority"
	"gpsbridge/bridge/realtest/netns"
)

// Addresses of a network, of which nothing outside knows. RFC 1918 has them for private use.
const (
	serverAddr = "10.78.0.1"
	serverPort = "8443"
	clientAddr = "10.78.1.%d" // of client 1 to 254
)

// network is a server's host and clients' hosts, each with a link of its own to the server's: Ethernet with 1500 bytes a packet, no
// IPv6, and no ARP, since both ends know each other's address. So what the counters of a link count is TCP over IPv4 alone.
type network struct {
	server  netns.Namespace
	clients []*clientHost

	roots     *x509.CertPool
	authority string // files in PEM
	cert, key string
}

// openNetwork makes one with a server's host, and its certificate in dir.
func openNetwork(dir string) (n *network, err error) {
	n = &network{authority: filepath.Join(dir, "authority.pem"), cert: filepath.Join(dir, "server.pem"), key: filepath.Join(dir, "server.key")}
	if err := n.certify(); err != nil {
		return nil, err
	}
	if n.server, err = netns.New(); err != nil {
		return nil, err
	}
	if err := n.server.Run(noIPv6 + "ip link set lo up; ip addr add " + serverAddr + "/32 dev lo"); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// noIPv6 does nothing where the kernel has no IPv6.
const noIPv6 = "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -w $f ] || echo 1 >$f; done; "

func (n *network) certify() error {
	now := time.Now()
	a, err := authority.New(now.AddDate(-10, 0, 0), now.AddDate(10, 0, 0)) // at any time of a clock that is not set
	if err != nil {
		return err
	}
	n.roots = x509.NewCertPool()
	n.roots.AddCert(a.Cert())
	leaf, key, err := a.Leaf("server", x509.ExtKeyUsageServerAuth, net.ParseIP(serverAddr))
	if err != nil {
		return err
	}
	return errors.Join(authority.WriteCert(n.authority, a.Cert().Raw), authority.WriteCert(n.cert, leaf), authority.WriteKey(n.key, key))
}

func (n *network) close() {
	for _, c := range n.clients {
		_ = c.counters.Close()
		_ = c.Close()
	}
	_ = n.server.Close()
}

// dial connects to the server from a host, for TCP.
func dialFrom(host netns.Namespace) (conn net.Conn, err error) {
	err = host.Do(func() error {
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(serverAddr, serverPort), handshakeTimeout)
		return err
	})
	return conn, err
}

// listens is for Await: nil when a program accepts connections at the server's host.
func (n *network) listens() error {
	conn, err := dialFrom(n.server)
	if err != nil {
		return err
	}
	return conn.Close()
}

// clientHost is a client's host.
type clientHost struct {
	netns.Namespace
	network  *network
	addr     string
	counters *os.File // of its interfaces
}

// addClient adds a client's host.
func (n *network) addClient() (*clientHost, error) {
	number := len(n.clients) + 1
	c := &clientHost{network: n, addr: fmt.Sprintf(clientAddr, number)}
	var err error
	if c.Namespace, err = netns.New(); err != nil {
		return nil, err
	}
	// Without gso_max_segs the kernel would count several segments as one packet.
	const link = `
		ip link add to%[1]d address 02:00:00:00:00:01 type veth peer name wire address 02:00:00:00:00:02 netns %[3]s
		` + noIPv6 + `
		ip link set to%[1]d up gso_max_segs 1
		ip route add %[2]s dev to%[1]d src ` + serverAddr + `
		ip neigh add %[2]s lladdr 02:00:00:00:00:02 dev to%[1]d nud permanent`
	const far = noIPv6 + `
		ip link set wire up gso_max_segs 1
		ip addr add %[1]s/32 dev wire
		ip route add ` + serverAddr + ` dev wire src %[1]s
		ip neigh add ` + serverAddr + ` lladdr 02:00:00:00:00:01 dev wire nud permanent`
	err = n.server.Run(fmt.Sprintf(link, number, c.addr, c.Path()))
	if err == nil {
		err = c.Run(fmt.Sprintf(far, c.addr))
	}
	if err == nil {
		// What is read of the file later is of the namespace in which it was opened.
		err = c.Do(func() error {
			c.counters, err = os.Open("/proc/thread-self/net/dev")
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	n.clients = append(n.clients, c)
	return c, nil
}

// cut ends the client's connections at the server's host with a reset, as a server that fails does.
func (c *clientHost) cut() error { return c.network.server.Run("ss --kill dst " + c.addr) }

// traffic is what went over a client's link, headers of IP and TCP included.
type traffic struct {
	Up          int64 `json:"up_bytes"`
	Down        int64 `json:"down_bytes"`
	PacketsUp   int64 `json:"up_packets"`
	PacketsDown int64 `json:"down_packets"`
}

func (t traffic) total() int64   { return t.Up + t.Down }
func (t traffic) packets() int64 { return t.PacketsUp + t.PacketsDown }

func (t traffic) since(before traffic) traffic {
	return traffic{t.Up - before.Up, t.Down - before.Down, t.PacketsUp - before.PacketsUp, t.PacketsDown - before.PacketsDown}
}

// ethernet is the header that the counters of an interface count beside a packet of IP.
const ethernet = 14

// traffic reads the counters.
func (c *clientHost) traffic() (t traffic, err error) {
	if _, err = c.counters.Seek(0, io.SeekStart); err != nil {
		return t, err
	}
	text, err := io.ReadAll(c.counters)
	if err != nil {
		return t, fmt.Errorf("read the counters of a network interface: %w", err)
	}
	return parseTraffic(text)
}

// parseTraffic reads the line of the link in /proc/net/dev (proc_net(5)): bytes and packets received are the first two figures,
// those sent the ninth and tenth.
func parseTraffic(text []byte) (t traffic, err error) {
	for line := range bytes.Lines(text) {
		figures, ours := strings.CutPrefix(strings.TrimSpace(string(line)), "wire:")
		if !ours {
			continue
		}
		var other int64
		_, err = fmt.Sscan(figures, &t.Down, &t.PacketsDown, &other, &other, &other, &other, &other, &other, &t.Up, &t.PacketsUp)
		t.Up -= ethernet * t.PacketsUp
		t.Down -= ethernet * t.PacketsDown
		return t, err
	}
	return t, errors.New("read the counters of a network interface: it is missing")
}

// quietTimeout is how long a pause in the traffic is waited for: beside a machine's other work there may be none.
const quietTimeout = 3 * time.Second

// quiet returns the traffic once none has been for a time, or at the end of quietTimeout.
func (c *clientHost) quiet(ctx context.Context, pause time.Duration) (traffic, error) {
	last, err := c.traffic()
	since, end := time.Now(), time.Now().Add(quietTimeout)
	for err == nil && time.Since(since) < pause && time.Now().Before(end) {
		if !sleepUntil(ctx, time.Now().Add(pollEvery)) {
			return last, ctx.Err()
		}
		var now traffic
		if now, err = c.traffic(); now != last {
			last, since = now, time.Now()
		}
	}
	return last, err
}
