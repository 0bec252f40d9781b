package realtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestContainerIsAMachineOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "here"), []byte("from outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := StartContainer(t, dir)
	if got := c.Run("cat", "/mnt/here"); got != "from outside" {
		t.Errorf("/mnt/here holds %q", got)
	}
	if got := c.Run("cat", "/proc/1/comm"); got != "systemd\n" {
		t.Errorf("its PID 1 is %q, want systemd", got)
	}
	if links := c.Run("ip", "-o", "link"); strings.Count(links, "\n") != 1 || !strings.Contains(links, "LOOPBACK,UP") {
		t.Errorf("its network is %q, want the loopback alone", links)
	}
	c.Write("/etc/new/file", "text")
	if got := c.Run("cat", "/etc/new/file"); got != "text" {
		t.Errorf("/etc/new/file holds %q", got)
	}
	if _, err := os.Stat(filepath.Join(RootFS(), "etc/new")); err == nil {
		t.Error("what is written in a container stays after it")
	}
	if _, err := c.Try("false"); err == nil {
		t.Error("a program that fails is no error")
	}
	c.Run("mkdir", "/sys/fs/cgroup/first")
	if second := StartContainer(t, dir); strings.Contains(second.Run("ls", "/sys/fs/cgroup"), "first") {
		t.Error("two containers share their control groups")
	}
}
