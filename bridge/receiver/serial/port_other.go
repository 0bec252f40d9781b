//go:build !linux

package serial

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const getTermios, setTermios = unix.TIOCGETA, unix.TIOCSETA

// gate is a terminal in Go's poller, which cannot be left alone for a while as on Linux.
type gate struct{ *os.File }

func newGate(fd int) (*gate, error) { return &gate{os.NewFile(uintptr(fd), "port")}, nil }

func (*gate) rest(rest)                         {}
func (*gate) restNext(time.Time, time.Duration) {}
func (*gate) rested() rest                      { return rest{} }

// lineErrors are not counted by these systems.
func (t *tty) lineErrors() (lineCounts, bool) { return lineCounts{}, false }
