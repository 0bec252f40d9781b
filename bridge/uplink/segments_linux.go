package uplink

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// segmentsOf asks the kernel (TCP_INFO, tcp(7)). It is not ok for what is no open TCP connection.
func segmentsOf(conn net.Conn) (s segmentCount, ok bool) {
	tcp, is := conn.(syscall.Conn)
	if !is {
		return s, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return s, false
	}
	controlled := raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			const withTimestamps = 1 // TCPI_OPT_TIMESTAMPS
			s = segmentCount{uint64(info.Segs_out) + uint64(info.Segs_in), info.Bytes_retrans, info.Options&withTimestamps != 0}
		}
	})
	return s, controlled == nil && err == nil
}

// delayAcks has the system acknowledge what it receives with what is sent next, where that comes within some 40 ms (TCP_QUICKACK,
// tcp(7)). By itself it delays no acknowledgement at the beginning of a connection. Where it cannot, that costs bytes alone.
func delayAcks(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) }
