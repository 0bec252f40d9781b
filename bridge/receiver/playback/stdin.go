package playback

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// stdin is the standard input.
type stdin struct{}

// NewStdin is the source "-".
func NewStdin(string, *source.Options) (source.Source, error) { return stdin{}, nil }

func (stdin) Traits() source.Traits { return source.Traits{Finite: true} }

func (stdin) Open(context.Context, source.Host) (source.Stream, error) {
	c, err := openStdin(os.Stdin)
	if err != nil {
		return nil, &problem.Problem{Code: source.StdinFailed, Cause: fmt.Sprintf("open standard input: %v", source.Cause(err)), Err: err}
	}
	return newStream(c, "standard input"), nil
}

// openStdin opens what f is, once more and non-blocking, so that a read can be given up. To set f itself non-blocking would
// do the same to every program that shares it: the user's shell.
func openStdin(f *os.File) (source.Conn, error) {
	// A socket has no path to open. Its descriptor is duplicated.
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Mode()&os.ModeSocket != 0 {
		return net.FileConn(f)
	}
	raw, err := f.SyscallConn() // unlike f.Fd it does not set the descriptor to blocking
	if err != nil {
		return nil, err
	}
	var path string
	if err := raw.Control(func(fd uintptr) { path = fmt.Sprintf("/proc/self/fd/%d", fd) }); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}
