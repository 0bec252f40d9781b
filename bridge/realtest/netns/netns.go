// Package netns makes networks of their own on this machine: namespaces of the kernel, of which nothing outside knows. Tests use it
// through package realtest, and measurements of traffic as it is. It needs root, ip (iproute2) and nsenter (util-linux).
package netns

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is the network of one host. It lasts until Close, and longer while a process is in it or another namespace's interface
// is linked to it.
type Namespace struct{ file *os.File }

// New makes a network without any interface that is up.
func New() (Namespace, error) {
	var n Namespace
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	})
	if err != nil {
		return n, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// Close gives it up.
func (n Namespace) Close() error { return n.file.Close() }

// Path is where other processes find it.
func (n Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// Do calls f in the namespace, on a thread of its own: what it opens stays there.
func (n Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// Command returns cmd as it runs in the namespace. Its files and processes are this machine's, and its process ID is the one of the
// command that is returned.
func (n Namespace) Command(cmd *exec.Cmd) *exec.Cmd {
	at := exec.Command("nsenter", append([]string{"--net=" + n.Path(), cmd.Path}, cmd.Args[1:]...)...)
	at.Dir, at.Env = cmd.Dir, cmd.Env
	return at
}

// Run runs a shell's script in the namespace, which ends at the first command that fails.
func (n Namespace) Run(script string) error {
	out, err := n.Command(exec.Command("sh", "-ec", script)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, bytes.TrimSpace(out))
	}
	return nil
}

// Lacks returns why there can be none here.
func Lacks() error {
	for _, name := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	n, err := New()
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Run("ip link add probe0 type veth")
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
