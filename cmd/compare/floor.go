package main

import (
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// floor is the least that a server can do on this machine: it writes each message, in a frame, to every socket that was
// accepted, with one write(2) each, and does nothing else.
type floor struct {
	listener net.Listener

	mu  sync.Mutex
	fds []int
}

func newFloor() (*floor, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &floor{listener: l}
	go f.accept()
	return f, nil
}

func (f *floor) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		if fd, err := detach(conn); err == nil {
			f.mu.Lock()
			f.fds = append(f.fds, fd)
			f.mu.Unlock()
		}
	}
}

// Addr reports where it listens.
func (f *floor) Addr(_ struct{}, addr *string) error {
	*addr = f.listener.Addr().String()
	return nil
}

// Send writes a message to all. A socket that accepts nothing for a second is given up.
func (f *floor) Send(msg []byte, _ *struct{}) error {
	frame := binary.BigEndian.AppendUint16([]byte{textFrame, 126}, uint16(len(msg)))
	frame = append(frame, msg...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fds = slices.DeleteFunc(f.fds, func(fd int) bool {
		ok := writeAll(fd, frame)
		if !ok {
			_ = unix.Close(fd)
		}
		return !ok
	})
	return nil
}

func writeAll(fd int, p []byte) bool {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		switch {
		case err == nil:
			p = p[n:]
		case err == unix.EAGAIN:
			set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			if n, err := unix.Poll(set, int(time.Second.Milliseconds())); err != nil || n == 0 || set[0].Revents != unix.POLLOUT {
				return false
			}
		case err != unix.EINTR:
			return false
		}
	}
	return true
}
