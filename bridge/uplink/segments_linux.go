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
