package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// peer is another protocol that trackers use. Its messages are constructed: those of one fix as its clients and servers write
// them, exchanged over real sockets with TLS by two ends of ours.
type peer struct {
	title           string
	request, answer string
	again           bool // a connection of its own for each fix
}

// The fix is that of the daemon's documentation.
func peers() []peer {
	// OwnTracks (https://owntracks.org/booklet/tech/json/): location with what its app for Android sends while moving.
	const location = `{"_type":"location","acc":15,"alt":11,"batt":87,"bs":1,"cog":84,"conn":"m","created_at":1763888401,` +
		`"lat":51.5033635,"lon":-0.1276248,"m":2,"tid":"v7","tst":1763888401,"vac":25,"vel":50}`
	// OsmAnd's protocol as Traccar documents it (https://www.traccar.org/osmand/), of a client that sends little else.
	const get = "GET /?id=van_7&timestamp=1763888401&lat=51.5033635&lon=-0.1276248&speed=27.0&bearing=84.4&altitude=11.2&hdop=0.8 HTTP/1.1\r\n" +
		"User-Agent: tracker/1.0\r\nHost: tracking.example.org\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\n\r\n"
	const ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
	return []peer{
		{title: "MQTT, OwnTracks, QoS 1", request: publish("owntracks/fleet/van_7", location), answer: "\x40\x02\x00\x01"},
		{title: "HTTP, OsmAnd", request: get, answer: ok},
		{title: "HTTP, OsmAnd, new connections", request: get, answer: ok, again: true},
	}
}

// publish is a PUBLISH of MQTT 3.1.1 with QoS 1 (section 3.3), and packet identifier 1. PUBACK (3.4) has four bytes.
func publish(topic, payload string) string {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	body = append(body, topic...)
	body = append(binary.BigEndian.AppendUint16(body, 1), payload...)
	return string(append(binary.AppendUvarint([]byte{0x32}, uint64(len(body))), body...))
}

const (
	peerFixes = 5
	// peerPeriod is long enough for every bare acknowledgement that there is at 1 Hz.
	peerPeriod = 4 * ackDelay
)

func measurePeers(ctx context.Context, dir string) (rows []wireRow, err error) {
	dir = filepath.Join(dir, "peers")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	n, err := openNetwork(dir)
	if err != nil {
		return nil, err
	}
	defer n.close()
	for _, p := range peers() {
		row, err := p.measure(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.title, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (p peer) measure(ctx context.Context, n *network) (row wireRow, err error) {
	cert, err := tls.LoadX509KeyPair(n.cert, n.key)
	if err != nil {
		return row, err
	}
	var l net.Listener
	if err := n.server.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(serverAddr, serverPort))
		return err
	}); err != nil {
		return row, err
	}
	defer l.Close()
	go p.serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}))
	host, err := n.addClient()
	if err != nil {
		return row, err
	}
	c := peerClient{peer: p, host: host, config: &tls.Config{RootCAs: n.roots, ServerName: serverAddr, ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
	defer c.close()
	if err := c.exchange(); err != nil { // until all is warm
		return row, err
	}
	before, err := host.quiet(ctx, peerPeriod)
	if err != nil {
		return row, err
	}
	for range peerFixes {
		if err := c.exchange(); err != nil {
			return row, err
		}
		if !sleepUntil(ctx, time.Now().Add(peerPeriod)) {
			return row, ctx.Err()
		}
	}
	after, err := host.quiet(ctx, peerPeriod)
	return wireRow{Server: "constructed", Program: p.title, Rate: 1, Fixes: peerFixes, Traffic: after.since(before), Text: float64(len(p.request))}, err
}

// serve answers each request, which is one record of TLS, and so one read.
func (p peer) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			request := make([]byte, 16<<10)
			for {
				if _, err := conn.Read(request); err != nil {
					return
				}
				if _, err := io.WriteString(conn, p.answer); err != nil {
					return
				}
			}
		}()
	}
}

type peerClient struct {
	peer
	host   *clientHost
	config *tls.Config
	conn   *tls.Conn
}

// exchange sends one request and reads its answer, on a connection of its own where the protocol has it so.
func (c *peerClient) exchange() error {
	if c.conn == nil {
		conn, err := dialFrom(c.host.Namespace)
		if err != nil {
			return err
		}
		c.conn = tls.Client(conn, c.config)
		if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(c.conn, c.request); err != nil {
		return err
	}
	answer := make([]byte, len(c.answer))
	if _, err := io.ReadFull(c.conn, answer); err != nil || string(answer) != c.answer {
		return fmt.Errorf("the answer is %q: %w", answer, err)
	}
	if c.again {
		c.close()
	}
	return nil
}

func (c *peerClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
