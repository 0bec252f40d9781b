package realtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// EnvRootFS names the directory with the root file system that containers boot, where it is not gpsbridge/rootfs in the
// user's cache directory.
const EnvRootFS = "TEST_GPSBRIDGE_ROOTFS"

// rootFSPackages are in the root file system beyond what Debian calls essential.
const rootFSPackages = "systemd,systemd-sysv,udev,dbus,procps,kmod,iproute2,libnss-systemd"

// Container is a machine of its own for all that systemd can see: real systemd is PID 1 in it, with a network of its own
// that has no way out.
type Container struct {
	t      testing.TB
	nspawn *Process
	init   int // process ID of its PID 1, as seen from here
}

// StartContainer boots a container and returns when its start is over. Inside, /mnt is dir, read-only. All that
// the container writes is removed with it, which is at the latest when the test ends. It needs [Nspawn] and [Root].
//
// Limits of devices and addresses are enforced in it, those of memory and tasks need not be, and udev does not run.
func StartContainer(t testing.TB, dir string) *Container {
	t.Helper()
	Need(t, Root, Nspawn)
	cmd := exec.Command("systemd-nspawn", "--quiet", "--directory="+RootFS(), "--volatile=overlay", "--private-network",
		"--bind-ro="+dir+":/mnt", "--register=no", "--keep-unit", "--console=read-only",
		// Without these two the limits of devices and addresses, which systemd leaves to BPF, are silently not enforced.
		"--system-call-filter=bpf", "--capability=CAP_BPF,CAP_NET_ADMIN", "--boot", "systemd.show_status=0")
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: newCgroup(t)}
	c := &Container{t: t, nspawn: Start(t, "systemd-nspawn", cmd)}
	t.Cleanup(func() {
		if err := c.nspawn.Stop(stopTimeout); err != nil { // SIGTERM: an orderly power-off
			t.Logf("container: %v", err)
		}
	})
	if err := c.nspawn.Await(t.Context(), startTimeout, c.booted); err != nil {
		t.Fatal(err)
	}
	return c
}

// newCgroup makes a control group and returns its file descriptor. Without systemd above it, systemd-nspawn puts what it starts
// into the group "payload" below its own. Containers of one group would share those of their services by name: each removes
// those of a service that it stops, also when another is about to start a process there ("Failed to spawn executor").
func newCgroup(t testing.TB) int {
	t.Helper()
	root := "/sys/fs/cgroup/unified" // version 2 beside version 1
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut("\n"+string(groups), "\n0::")
	own, _, _ = strings.Cut(own, "\n")
	own = filepath.Join(root, own)
	// Below, there are only the controllers that are enabled here. A group with processes in it may have to do without.
	controllers, _ := os.ReadFile(filepath.Join(own, "cgroup.controllers"))
	for _, name := range strings.Fields(string(controllers)) {
		_ = os.WriteFile(filepath.Join(own, "cgroup.subtree_control"), []byte("+"+name), 0)
	}
	path, err := os.MkdirTemp(own, "gpsbridge-test-")
	if err != nil {
		t.Fatal(err)
	}
	group, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		group.Close()
		if err := os.RemoveAll(path); err != nil { // goes with the groups in it; their files need not be removed
			t.Logf("control group of a container: %v", err)
		}
	})
	return int(group.Fd())
}

// booted finds PID 1, the one child of systemd-nspawn, and asks it whether the start is over.
func (c *Container) booted() error {
	pid := c.nspawn.PID()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(children), " ")
	if c.init, err = strconv.Atoi(first); err != nil {
		return errors.New("no process in it yet")
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.init))
	if err != nil || strings.TrimSpace(string(name)) != "systemd" {
		return fmt.Errorf("its first process is %q, not systemd yet", name)
	}
	state, err := c.Try("systemctl", "is-system-running")
	if state = strings.TrimSpace(state); state != "running" && state != "degraded" {
		return fmt.Errorf("systemd reports %q: %w", state, err)
	}
	return nil
}

// command is a program inside the container that ends with ctx.
func (c *Container) command(ctx context.Context, args ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(c.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=", "LC_ALL=C.UTF-8"}
	return cmd
}

// Try runs a program inside the container, for 4 minutes at most, and returns what it printed on stdout and stderr.
func (c *Container) Try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := c.command(ctx, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// Run is [Container.Try] of what must not fail.
func (c *Container) Run(args ...string) string {
	c.t.Helper()
	out, err := c.Try(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// Browse has this machine's Chromium open an address in the network of the container, on a screen of so many pixels, and returns the
// page as it is after half a minute of its own clock, which waits for no other. It needs [Browser].
func (c *Container) Browse(address string, width, height int) (page string, err error) {
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(c.init), "--net", "--", "chromium", "--headless", "--no-sandbox",
		"--disable-gpu", "--user-data-dir="+dir, fmt.Sprintf("--window-size=%d,%d", width, height), "--virtual-time-budget=30000", "--dump-dom", address)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.Output()
	return string(out), err
}

// HostPID returns the process ID that a process inside has on this machine.
func (c *Container) HostPID(pid int) int {
	c.t.Helper()
	namespace := func(pid string) string {
		name, _ := os.Readlink("/proc/" + pid + "/ns/pid") // "" of a process that is gone
		return name
	}
	all, _ := filepath.Glob("/proc/[0-9]*/status") // an error is a malformed pattern only
	for _, file := range all {
		host := filepath.Base(filepath.Dir(file))
		text, err := os.ReadFile(file)
		_, ids, _ := strings.Cut(string(text), "NSpid:")
		ids, _, _ = strings.Cut(ids, "\n")
		if inside := strings.Fields(ids); err == nil && len(inside) == 2 && inside[1] == strconv.Itoa(pid) && namespace(host) == namespace(strconv.Itoa(c.init)) {
			id, _ := strconv.Atoi(host) // the pattern has digits only
			return id
		}
	}
	c.t.Fatalf("no process %d in the container", pid)
	return 0
}

// Write writes a file inside the container, with the directories above it.
func (c *Container) Write(path, text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := c.command(ctx, "sh", "-c", `mkdir -p "$(dirname "$1")" && cat >"$1"`, "sh", path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("write %s in the container: %v: %s", path, err, out)
	}
}

// RootFS returns the directory where the root file system of containers should be.
func RootFS() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // a user without a home
	}
	return cmp.Or(os.Getenv(EnvRootFS), filepath.Join(cache, "gpsbridge", "rootfs"))
}

// findNspawn returns what a container lacks.
func findNspawn() error {
	for _, name := range []string{"systemd-nspawn", "nsenter"} {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(RootFS(), "usr/lib/systemd/systemd")); err != nil {
		return fmt.Errorf("no root file system with systemd in %s", RootFS())
	}
	return nil
}
