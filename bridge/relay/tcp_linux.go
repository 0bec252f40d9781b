package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernelRoundTrip asks the kernel (TCP_INFO, tcp(7)); 0 when it does not answer.
func kernelRoundTrip(fd uintptr) time.Duration {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return time.Duration(info.Rtt) * time.Microsecond
}

// delayAcks has the system acknowledge what it receives with what is sent next, where that comes within some 40 ms (TCP_QUICKACK,
// tcp(7)): by itself it delays no acknowledgement at the beginning of a connection. Where it cannot, that costs bytes alone.
func delayAcks(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) }
