package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Join is how many viewers join which server.
type Join struct {
	Count int
	Addr  string
	Raw   bool // the server is the floor, which knows no handshake
}

// Sight is what viewers have seen since Measure.
type Sight struct {
	Received int // of the messages that were sent since then
	Arrived  int // those sent before counted too: the server's work
	Closed   int // viewers that the server has closed, ever
}

// viewers is any number of viewers in one loop over epoll: a goroutine each would cost the machine as much as the server
// that is measured on it.
type viewers struct {
	epoll int

	mu     sync.Mutex
	rest   map[int][]byte // by descriptor: of a frame that is not complete
	from   int64          // messages sent earlier do not count, in ns of Unix time
	sight  Sight
	delays []uint32 // of what was received, in µs
	failed error
}

func newViewers() (*viewers, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch sockets: %w", err)
	}
	v := &viewers{epoll: epoll, rest: make(map[int][]byte)}
	go v.watch()
	return v, nil
}

// joinAtOnce bounds the handshakes under way: below the 128 connections that a server's queue may hold.
const joinAtOnce = 16

// Join adds viewers to the group.
func (v *viewers) Join(j Join, _ *struct{}) error {
	var g errgroup.Group
	g.SetLimit(joinAtOnce)
	for range j.Count {
		g.Go(func() error {
			conn, after, err := net.Conn(nil), []byte(nil), error(nil)
			if j.Raw {
				conn, err = net.Dial("tcp", j.Addr)
			} else {
				conn, after, err = join(j.Addr)
			}
			if err != nil {
				return err
			}
			fd, err := detach(conn)
			if err != nil {
				return err
			}
			v.mu.Lock()
			defer v.mu.Unlock()
			if err := v.take(fd, after); err != nil {
				return err
			}
			return unix.EpollCtl(v.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)})
		})
	}
	return g.Wait()
}

// Measure makes viewers count the messages that are sent from now on, and no others.
func (v *viewers) Measure(from time.Time, _ *struct{}) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.from, v.sight, v.delays = from.UnixNano(), Sight{Closed: v.sight.Closed}, nil
	return v.failed
}

// Look reports what was seen so far.
func (v *viewers) Look(_ struct{}, s *Sight) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	*s = v.sight
	return v.failed
}

// Delays reports the delay of every message that was received, in µs.
func (v *viewers) Delays(_ struct{}, delays *[]uint32) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	*delays = v.delays
	v.delays = nil
	return v.failed
}

// watch reads from every viewer that has something, until the process ends.
func (v *viewers) watch() {
	events := make([]unix.EpollEvent, 256)
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.EpollWait(v.epoll, events, -1)
		v.mu.Lock()
		if err != nil && !errors.Is(err, unix.EINTR) {
			v.failed = fmt.Errorf("watch sockets: %w", err)
			v.mu.Unlock()
			return
		}
		for _, e := range events[:max(0, n)] {
			v.read(int(e.Fd), buffer)
		}
		v.mu.Unlock()
	}
}

// read reads what one viewer was sent. v.mu is held.
func (v *viewers) read(fd int, buffer []byte) {
	n, err := unix.Read(fd, buffer)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err == nil && n > 0 {
		err = v.take(fd, buffer[:n])
	}
	if err != nil || n <= 0 {
		_ = unix.Close(fd) // which epoll sees
		delete(v.rest, fd)
		v.sight.Closed++
	}
}

// take handles the frames that are complete with data, and keeps the rest. v.mu is held.
func (v *viewers) take(fd int, data []byte) error {
	now := time.Now().UnixNano()
	if rest := v.rest[fd]; len(rest) > 0 {
		data = append(rest, data...)
	}
	for {
		frame, payload, err := cutFrame(data)
		if err != nil {
			return err
		}
		if frame == 0 {
			break
		}
		switch data[0] {
		case textFrame:
			v.count(now, payload)
		case pingFrame:
			if _, err := unix.Write(fd, append([]byte{pongFrame, masked | byte(len(payload)), 0, 0, 0, 0}, payload...)); err != nil {
				return err
			}
		}
		data = data[frame:]
	}
	v.rest[fd] = append(v.rest[fd][:0], data...)
	return nil
}

// count counts one message that was read at a time. v.mu is held.
func (v *viewers) count(now int64, msg []byte) {
	sent, ok := sentAt(msg)
	if !ok || v.from == 0 {
		return
	}
	v.sight.Arrived++
	if sent >= v.from {
		v.sight.Received++
		v.delays = append(v.delays, uint32(max(0, now-sent)/1000))
	}
}

// sentAt finds the time of publishing in a message, in ns of Unix time. Servers that decode a message and encode it again
// put a space before it.
func sentAt(msg []byte) (ns int64, ok bool) {
	_, after, _ := bytes.Cut(msg, []byte(`"sent":`))
	for _, c := range bytes.TrimLeft(after, " ") {
		if c < '0' || c > '9' {
			break
		}
		ns, ok = ns*10+int64(c-'0'), true
	}
	return ns, ok
}

// The frames of RFC 6455, section 5.2, as far as viewers meet them here: whole messages below 64 KiB, one frame each.
const (
	textFrame = 0x81 // final, opcode 1
	pingFrame = 0x89
	pongFrame = 0x8a
	masked    = 0x80 // in the second byte: what clients send, here with a mask of zeros
)

var errFrame = errors.New("the server sent a frame that is masked or longer than 64 KiB")

// cutFrame returns the length of the first frame of a server's bytes, 0 where it is not complete, and its payload.
func cutFrame(data []byte) (length int, payload []byte, err error) {
	if len(data) < 2 {
		return 0, nil, nil
	}
	head, size := 2, int(data[1])
	switch {
	case size > 126:
		return 0, nil, errFrame
	case size == 126 && len(data) < 4:
		return 0, nil, nil
	case size == 126:
		head, size = 4, int(binary.BigEndian.Uint16(data[2:]))
	}
	if len(data) < head+size {
		return 0, nil, nil
	}
	return head + size, data[head : head+size], nil
}

// groupPath is the group of the device in all measurements.
const groupPath = "/ws/gps-tracking/" + device + "/"

// handshakeTimeout is how long a server may take to accept a viewer: Daphne with a thousand others to serve needs seconds.
const handshakeTimeout = 30 * time.Second

// join connects to a tracking group as a viewer and returns what the server has sent after its answer. The key is not
// secret and the answer to it is not checked: this is a client of servers that were started for it.
func join(addr string) (conn net.Conn, after []byte, err error) {
	if conn, err = net.DialTimeout("tcp", addr, handshakeTimeout); err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bm90IGEgc2VjcmV0IGtleQ==\r\n\r\n", groupPath, addr)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("the server answers %s", res.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("join %s%s: %w", addr, groupPath, err)
	}
	after, _ = r.Peek(r.Buffered())
	return conn, after, conn.SetDeadline(time.Time{})
}

// detach removes the descriptor of a connection from the Go runtime, which would watch it too. The connection is closed;
// the socket stays open and does not block.
func detach(conn net.Conn) (fd int, err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var dupErr error
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return 0, err
	}
	return fd, errors.Join(dupErr, conn.Close())
}

// allowFiles raises the number of files that this process and those it starts may have open to that of n viewers.
func allowFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	needed := uint64(n + 600) // a process holds some beside the sockets of viewers
	limit.Max = max(limit.Max, needed)
	limit.Cur = limit.Max
	// By the syscall package, which then leaves the limit to the programs that are started.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d viewers need %d open files, which the system does not allow: ulimit -Hn %[2]d, as root, or fewer with --viewers",
			n, needed)
	}
	return nil
}
