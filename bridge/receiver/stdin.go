package receiver

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// stdin is the standard input.
type stdin struct{}

func (stdin) finite() bool { return true }

func (stdin) open(context.Context) (stream, error) {
	c, err := openStdin(os.Stdin)
	if err != nil {
		return stream{}, &problem.Problem{Code: source.StdinFailed, Cause: fmt.Sprintf("open standard input: %v", cause(err)), Err: err}
	}
	return stream{conn: onceCloser{conn: c, close: sync.OnceValue(c.Close)}, port: "standard input"}, nil
}

// openStdin opens what f is, once more and non-blocking, so that a read can be given up. To set f itself non-blocking would
// do the same to every program that shares it: the user's shell.
func openStdin(f *os.File) (conn, error) {
	// A socket has no path to open. Its descriptor is duplicated.
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Mode()&os.ModeSocket != 0 {
		return net.FileConn(f)
	}
	var path string
	err := onDescriptor(f, func(fd int) error {
		path = fmt.Sprintf("/proc/self/fd/%d", fd)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}
