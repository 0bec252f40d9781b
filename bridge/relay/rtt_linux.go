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
