package main

import (
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// detach takes the descriptor of a connection out of the hands of the Go runtime, which would watch it beside the one who
// does here. The connection is closed, the socket stays open, and does not block.
func detach(conn net.Conn) (fd int, err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var dupErr error
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return 0, err
	}
	if dupErr != nil {
		return 0, dupErr
	}
	return fd, conn.Close()
}

// spareFiles is what a process holds beside the sockets of viewers.
const spareFiles = 600

// allowFiles raises the number of files that this process and those it starts may have open to that of n viewers, as far
// as it may.
func allowFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	needed := uint64(n + spareFiles)
	limit.Cur = max(limit.Cur, limit.Max)
	if limit.Max < needed { // root may
		limit.Cur, limit.Max = needed, needed
	}
	// By the syscall package, which then leaves the limit to the programs that are started.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d viewers need %d open files, which the system does not allow: ulimit -Hn %d, as root, or fewer with --viewers",
			n, needed, needed)
	}
	return nil
}

// wait waits until a socket takes bytes again, up to timeout.
func wait(fd int, timeout time.Duration) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(set, int(timeout.Milliseconds()))
	return err == nil && n == 1 && set[0].Revents == unix.POLLOUT
}
