package systemd

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCleanRanges: what can be or was written, or is of no file, is left alone.
func TestCleanRanges(t *testing.T) {
	const smaps = `00400000-008ee000 r-xp 00000000 fe:00 10322842                           /usr/bin/gpsbridge
Size:               5048 kB
Rss:                4620 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
008ee000-00f12000 r--p 004ee000 fe:00 10322842                           /usr/bin/gpsbridge (deleted)
Anonymous:             0 kB
00f12000-00f74000 rw-p 00b12000 fe:00 10322842                           /usr/bin/gpsbridge
Anonymous:             0 kB
00f74000-00f80000 r--p 00b12000 fe:00 10322842                           /usr/bin/gpsbridge
Anonymous:             4 kB
c000000000-c000400000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffd5d9fe000-7ffd5da00000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
7ffd5da00000-7ffd5da01000 r--p 00000000 fe:00 1                          /without/the/line
`
	want := []memoryRange{{0x400000, 0x8ee000}, {0x8ee000, 0xf12000}}
	if got := cleanRanges(strings.NewReader(smaps)); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestGiveBack: fewer of the program's pages are mapped than before, and it goes on.
func TestGiveBack(t *testing.T) {
	before := mappedOfFiles(t)
	giveBack()
	if now := mappedOfFiles(t); now >= before {
		t.Errorf("%d kB of files are mapped, before %d", now, before)
	}
}

// mappedOfFiles is in kB.
func mappedOfFiles(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Skip("this kernel does not tell how much of files is mapped")
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
