package realtest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"testing"

	"gpsbridge/bridge/realtest/netns"
)

// Network is a real network of hosts on one switch, each a namespace of the kernel of which nothing outside knows, whose cables can be cut,
// or made long.
type Network struct {
	t       testing.TB
	control netns.Namespace // the switch
	hosts   []*Host
}

// Host is one host of a [Network]. Its files and processes are this machine's.
type Host struct {
	network *Network
	space   netns.Namespace
	number  int // from 1
	detour  *detour
}

// StartNetwork makes a network of so many hosts. It needs [Namespaces]; everything is removed when the test ends.
func StartNetwork(t testing.TB, hosts int) *Network {
	t.Helper()
	Need(t, Namespaces)
	n := &Network{t: t, control: newNamespace(t)}
	n.run(n.control, "ip link add switch type bridge; ip link set switch up")
	for i := range hosts {
		h := &Host{network: n, space: newNamespace(t), number: i + 1}
		n.hosts = append(n.hosts, h)
		n.run(n.control, fmt.Sprintf(`ip link add %[1]s type veth peer name cable
			ip link set cable netns %[2]s; ip link set %[1]s master switch up`, h.port(), h.space.Path()))
		n.run(h.space, fmt.Sprintf("ip link set lo up; ip addr add %s/24 dev cable; ip link set cable up", h.IP()))
	}
	return n
}

// Host returns one of the hosts, counted from 0.
func (n *Network) Host(i int) *Host { return n.hosts[i] }

// run runs a shell's script at a host or at the switch.
func (n *Network) run(at netns.Namespace, script string) {
	n.t.Helper()
	if err := at.Run(script); err != nil {
		n.t.Fatal(err)
	}
}

// port is the switch's end of the host's cable.
func (h *Host) port() string { return fmt.Sprintf("port%d", h.number) }

// IP returns the host's address.
func (h *Host) IP() string { return fmt.Sprintf("10.78.0.%d", h.number) }

// Command has a program run at the host.
func (h *Host) Command(cmd *exec.Cmd) *exec.Cmd { return h.space.Command(cmd) }

// Dial connects from the host, as [net.Dialer.DialContext].
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.space.Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Forward returns a [Proxy] on a port of this machine that passes connections on to a server, target being host:port as the host
// sees it. It ends with the test.
func (h *Host) Forward(target string) *Proxy {
	h.network.t.Helper()
	l, err := net.Listen("tcp", hostPort(FreePort(h.network.t)))
	if err != nil {
		h.network.t.Fatalf("start a proxy to %s: %v", target, err)
	}
	return proxyOn(h.network.t, l, func(ctx context.Context) (net.Conn, error) { return h.Dial(ctx, "tcp", target) })
}

// Cut unplugs the host's cable: what it sends to others, or they to it, is lost, and no connection learns of it. Plug ends that.
func (h *Host) Cut() {
	h.network.t.Helper()
	h.network.run(h.network.control, "ip link set "+h.port()+" down")
}

// Plug puts the cable in again.
func (h *Host) Plug() {
	h.network.t.Helper()
	h.network.run(h.network.control, "ip link set "+h.port()+" up")
}
