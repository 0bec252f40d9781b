package realtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
	client, router, server namespace
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
	r.router.sh(t, "echo 1 >/proc/sys/net/ipv4/ip_forward")
	var l net.Listener
	err := r.server.do(func() (err error) {
		l, err = net.Listen("tcp", serverHost+":0")
		return err
	})
	if err != nil {
		t.Fatalf("listen at %s: %v", serverHost, err)
	}
	r.proxy = proxyOn(t, l, target)
	return r
}

// link connects a host with the router.
func (r *Router) link(host namespace, name, address, gateway string) {
	r.t.Helper()
	// Both ends are made in the router's namespace, so that this machine's own network has neither for a moment.
	r.router.sh(r.t, fmt.Sprintf(`ip link set lo up; ip link add %[1]s type veth peer name %[1]s-router
		ip link set %[1]s netns %[2]s; ip addr add %[3]s/24 dev %[1]s-router; ip link set %[1]s-router up`, name, host.path(), gateway))
	host.sh(r.t, fmt.Sprintf(`ip link set lo up; ip addr add %[2]s/24 dev %[1]s; ip link set %[1]s up; ip route add default via %[3]s`, name, address, gateway))
}

// Addr returns host:port, where the client connects.
func (r *Router) Addr() string { return r.proxy.Addr() }

// AtClient has a program run at the client's host. Its files and processes are this machine's.
func (r *Router) AtClient(cmd *exec.Cmd) *exec.Cmd {
	at := exec.Command("nsenter", append([]string{"--net=" + r.client.path(), cmd.Path}, cmd.Args[1:]...)...)
	at.Dir, at.Env = cmd.Dir, cmd.Env
	return at
}

// Drop makes the router silently drop what goes some way, until Restore.
func (r *Router) Drop(way Way) {
	r.t.Helper()
	r.Restore()
	r.router.sh(r.t, "ip route add blackhole "+clientHost)
	if way == Both {
		r.router.sh(r.t, "ip route add blackhole "+serverHost)
	}
}

// Limit makes the path drop packets of the client that are longer than so many bytes, without a message to it: a black
// hole of path MTU discovery (RFC 2923, 2.1), as tunnels make it whose ICMP is filtered.
func (r *Router) Limit(bytes int) {
	r.t.Helper()
	r.client.sh(r.t, "ip link set client0 gso_max_segs 1") // the kernel would pass several segments as one packet
	// A veth drops what is longer than its own MTU when it comes from the other end.
	r.router.sh(r.t, fmt.Sprintf("ip link set client0-router mtu %d", bytes))
}

// Restore makes the router pass everything again that [Router.Drop] has it drop.
func (r *Router) Restore() {
	r.t.Helper()
	r.router.sh(r.t, "ip route flush type blackhole")
}

// namespace is a network of its own. It lasts as long as the file, or a process in it.
type namespace struct{ file *os.File }

func newNamespace(t testing.TB) namespace {
	t.Helper()
	var n namespace
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { n.file.Close() })
	return n
}

// path is where other processes find it.
func (n namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// do calls f in the namespace: what it opens stays there.
func (n namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// sh runs a shell's script in the namespace.
func (n namespace) sh(t testing.TB, script string) {
	t.Helper()
	out, err := exec.Command("nsenter", "--net="+n.path(), "sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, strings.TrimSpace(string(out)))
	}
}

// onThread calls f on a thread that ends with it, and with it what f has made of the thread.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- f()
	}()
	return <-done
}

// namespaces returns why there can be none here.
func namespaces() error {
	for _, name := range []string{"ip", "nsenter"} {
		if err := inPath(name)(); err != nil {
			return err
		}
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		ns, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer ns.Close()
		n := namespace{ns}
		if out, err := exec.Command("nsenter", "--net="+n.path(), "ip", "link", "add", "probe0", "type", "veth").CombinedOutput(); err != nil {
			return fmt.Errorf("link two namespaces: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}
