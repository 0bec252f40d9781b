package systemd

import (
	"bufio"
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// settleAfter the start the daemon reads its receivers and has connected, or will not soon.
	settleAfter = 5 * time.Second
	// settleEvery: what connecting anew or a viewer's page needed is given back too. To fetch again what is in use takes
	// some hundred page faults, a millisecond.
	settleEvery = time.Hour
)

// Settle gives back what of the program's file is mapped and not in use, some seconds after ready is closed and once an
// hour, until ctx ends. A start passes through most of the program, of which the kernel maps 64 KiB for each page that is
// touched, and lets none go as long as there is room: a fifth of the daemon's resident memory. The pages stay in the
// system's cache, from which what is needed comes again, but nobody's memory is short because of them.
func Settle(ctx context.Context, ready <-chan struct{}) {
	select {
	case <-ready:
	case <-ctx.Done():
		return
	}
	for wait := settleAfter; ; wait = settleEvery {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			giveBack()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// giveBack does it where the kernel tells what is mapped; elsewhere nothing is lost by not doing it.
func giveBack() {
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	for _, r := range cleanRanges(smaps) {
		// A range that is refused stays as it is.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, unix.MADV_DONTNEED)
	}
}

// memoryRange is from an address up to another.
type memoryRange struct{ from, to uintptr }

// cleanRanges returns what the process has mapped of files and can neither write nor has written (proc(5), smaps): the
// kernel can read it again. A loader that relocates writes, and protects afterwards what it wrote.
func cleanRanges(smaps io.Reader) (clean []memoryRange) {
	var r memoryRange
	candidate := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) >= 5 && !strings.HasSuffix(f[0], ":"): // range, permissions, offset, device, inode, path
			candidate = strings.HasPrefix(f[1], "r-") && f[4] != "0" && r.parse(f[0])
		case len(f) >= 2 && f[0] == "Anonymous:" && f[1] == "0" && candidate:
			clean = append(clean, r)
		}
	}
	return clean
}

// parse reads two addresses in hexadecimal with a hyphen between.
func (r *memoryRange) parse(text string) bool {
	from, to, _ := strings.Cut(text, "-")
	a, err := strconv.ParseUint(from, 16, strconv.IntSize)
	b, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	*r = memoryRange{uintptr(a), uintptr(b)}
	return err == nil && err2 == nil && a < b
}
