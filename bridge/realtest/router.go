package realtest

import (
	"fmt"
	"net"
	"os/exec"
	"testing"

	"gpsbridge/bridge/realtest/netns"
)

// Way is a direction in which packets may be dropped.
type Way string

// The ways through a [Router].
const (
	Both     Way = "both ways"
	ToClient Way = "to the client"
)

// The hosts around a Router, in networks of which nothing outside knows.
const (
	serverHost, serverSide = "10.77.1.1", "10.77.1.2"
	clientHost, clientSide = "10.77.2.2", "10.77.2.1"
)

// Router is a real network of three hosts, each a namespace of the kernel: a client's, a server's, and a router between
// them that can be made to drop packets. TCP at both ends does what it does on any network: it sends again, and no end
// learns anything.
type Router struct {
	t                      testing.TB
	client, router, server netns.Namespace
	proxy                  *Proxy
}

// StartRouter sets the network up. At the server's host a proxy passes connections on to a server of this machine,
// target being host:port; it needs [Namespaces]. Everything is removed when the test ends.
func StartRouter(t testing.TB, target string) *Router {
	t.Helper()
	Need(t, Namespaces)
	r := &Router{t: t, client: newNamespace(t), router: newNamespace(t), server: newNamespace(t)}
	r.link(r.server, "server0", serverHost, serverSide)
	r.link(r.client, "client0", clientHost, clientSide)
	r.sh(r.router, "echo 1 >/proc/sys/net/ipv4/ip_forward")
	var l net.Listener
	err := r.server.Do(func() (err error) {
		l, err = net.Listen("tcp", serverHost+":0")
		return err
	})
	if err != nil {
		t.Fatalf("listen at %s: %v", serverHost, err)
	}
	r.proxy = proxyOn(t, l, dialer(target))
	return r
}

// link connects a host with the router.
func (r *Router) link(host netns.Namespace, name, address, gateway string) {
	r.t.Helper()
	// Both ends are made in the router's namespace, so that this machine's own network has neither for a moment.
	r.sh(r.router, fmt.Sprintf(`ip link set lo up; ip link add %[1]s type veth peer name %[1]s-router
		ip link set %[1]s netns %[2]s; ip addr add %[3]s/24 dev %[1]s-router; ip link set %[1]s-router up`, name, host.Path(), gateway))
	r.sh(host, fmt.Sprintf(`ip link set lo up; ip addr add %[2]s/24 dev %[1]s; ip link set %[1]s up; ip route add default via %[3]s`, name, address, gateway))
}

// Addr returns host:port, where the client connects.
func (r *Router) Addr() string { return r.proxy.Addr() }

// AtClient has a program run at the client's host. Its files and processes are this machine's.
func (r *Router) AtClient(cmd *exec.Cmd) *exec.Cmd { return r.client.Command(cmd) }

// Drop makes the router silently drop what goes some way, until Restore.
func (r *Router) Drop(way Way) {
	r.t.Helper()
	r.Restore()
	r.sh(r.router, "ip route add blackhole "+clientHost)
	if way == Both {
		r.sh(r.router, "ip route add blackhole "+serverHost)
	}
}

// Limit makes the path drop packets of the client that are longer than so many bytes, without a message to it: a black
// hole of path MTU discovery (RFC 2923, 2.1), as tunnels make it whose ICMP is filtered.
func (r *Router) Limit(bytes int) {
	r.t.Helper()
	r.sh(r.client, "ip link set client0 gso_max_segs 1") // the kernel would pass several segments as one packet
	// A veth drops what is longer than its own MTU when it comes from the other end.
	r.sh(r.router, fmt.Sprintf("ip link set client0-router mtu %d", bytes))
}

// Restore makes the router pass everything again that [Router.Drop] has it drop.
func (r *Router) Restore() {
	r.t.Helper()
	r.sh(r.router, "ip route flush type blackhole")
}

func newNamespace(t testing.TB) netns.Namespace {
	t.Helper()
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// sh runs a shell's script at a host.
func (r *Router) sh(host netns.Namespace, script string) {
	r.t.Helper()
	if err := host.Run(script); err != nil {
		r.t.Fatal(err)
	}
}
