package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gpsbridge/cmd/internal/command"
)

// floor is the least that a server can do on this machine: it writes the bytes of each frame that comes on stdin to every
// socket that was accepted, with one write(2) each, and knows nothing else.
type floor struct {
	mu  sync.Mutex
	fds []int
}

// floorAnswer is the one line that the floor says.
type floorAnswer struct {
	Addr string `json:"addr"`
}

func playFloor(ctx context.Context, w command.Process, _ command.Command, _ []string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	if err := json.NewEncoder(w.Stdout).Encode(floorAnswer{l.Addr().String()}); err != nil {
		return err
	}
	f := new(floor)
	go f.accept(l)
	frames := bufio.NewReaderSize(w.Stdin, maxFrame)
	for {
		frame, err := nextFrame(frames)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.write(frame)
		if _, err := frames.Discard(len(frame)); err != nil {
			return err
		}
	}
}

func (f *floor) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // the listener was closed
		}
		fd, err := detach(conn)
		if err != nil {
			continue // it was closed already: the viewers will miss one
		}
		f.mu.Lock()
		f.fds = append(f.fds, fd)
		f.mu.Unlock()
	}
}

// nextFrame returns the next whole frame, which stays in r.
func nextFrame(r *bufio.Reader) ([]byte, error) {
	for want := 2; ; want = r.Buffered() + 1 {
		if _, err := r.Peek(want); err != nil {
			return nil, err
		}
		held, err := r.Peek(r.Buffered())
		if err != nil {
			return nil, err
		}
		first, _, rest, err := cutFrame(held)
		if err != nil {
			return nil, fmt.Errorf("read stdin: %w", err)
		}
		if first != 0 {
			return held[:len(held)-len(rest)], nil
		}
	}
}

// write sends a frame to all. A socket that takes nothing for a second is given up.
func (f *floor) write(frame []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fds = slices.DeleteFunc(f.fds, func(fd int) bool {
		ok := writeAll(fd, frame)
		if !ok {
			_ = unix.Close(fd)
		}
		return !ok
	})
}

func writeAll(fd int, p []byte) bool {
	for len(p) > 0 {
		// The call cannot block, so the runtime need not hear of it, as it does of unix.Write's.
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch {
		case errno == 0:
			p = p[n:]
		case errno == unix.EINTR:
		case errno != unix.EAGAIN || !wait(fd, time.Second):
			return false
		}
	}
	return true
}
