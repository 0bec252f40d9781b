package serial

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// icounter is struct serial_icounter_struct of linux/serial.h.
type icounter struct {
	_           [6]int32 // changes of the modem lines; bytes received and sent
	frame       int32
	overrun     int32 // of the UART
	parity      int32
	brk         int32
	bufOverruns int32 // of the kernel's buffer
	_           [9]int32
}

// lineErrors are the driver's counts, if it keeps any: pseudo-terminals and some adapters do not.
func (t *tty) lineErrors() (lineCounts, bool) {
	var c icounter
	ok := false
	err := t.raw.Control(func(uintptr) {
		_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(t.terminal), unix.TIOCGICOUNT, uintptr(unsafe.Pointer(&c)))
		ok = errno == 0
	})
	return lineCounts{
		framing: uint64(uint32(c.frame)), parity: uint64(uint32(c.parity)), breaks: uint64(uint32(c.brk)),
		overrun: uint64(uint32(c.overrun)) + uint64(uint32(c.bufOverruns)),
	}, ok && err == nil
}
