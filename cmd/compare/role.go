package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"time"

	"gpsbridge/bridge/realtest/program"
	"gpsbridge/cmd/internal/command"
)

// roles are the parts that compare plays in processes of their own, so that what they cost is not in the figures of the
// servers. They are commands that help does not list, called over stdin and stdout by package rpc, and ended by its end.
func roles() []command.Command {
	return []command.Command{
		{Name: "viewers", Run: serveRole(newViewers), About: "viewers of a tracking group"},
		{Name: "floor", Run: serveRole(newFloor), About: "a server that only writes"},
		{Name: "trackers", Run: serveRole(newCrew), About: "trackers of a fleet"},
		{Name: "attackers", Run: serveRole(newAttacker), About: "clients that attack a relay"},
	}
}

// stdio is a connection to another process.
type stdio struct {
	io.Reader
	io.Writer
	close func() error
}

func (s stdio) Close() error { return s.close() }

// serveRole plays a role until stdin ends.
func serveRole[service any](open func() (service, error)) run {
	return func(_ context.Context, w command.Process, _ command.Command, _ []string) error {
		s, err := open()
		if err != nil {
			return err
		}
		server := rpc.NewServer()
		if err := server.RegisterName("Role", s); err != nil {
			return err
		}
		server.ServeConn(stdio{w.Stdin, w.Stdout, func() error { return nil }})
		return nil
	}
}

// role is such a process, seen from the one that started it.
type role struct {
	*program.Program
	client *rpc.Client
}

// startRole starts this program again as the role, by another program where one is named with its arguments.
func startRole(name string, by ...string) (*role, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), in.Close())
	}
	line := append(by, self, name)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin, cmd.Stdout = stdin, stdout
	p, err := start(name, cmd)
	_, _ = stdin.Close(), stdout.Close() // they are the process's
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	return &role{p, rpc.NewClient(stdio{out, in, func() error { return errors.Join(in.Close(), out.Close()) }})}, nil
}

// answerTimeout bounds a call: to join with ten thousand viewers needs seconds.
const answerTimeout = time.Minute

// call calls a method of the role.
func (r *role) call(ctx context.Context, method string, args, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	select {
	case call := <-r.client.Go("Role."+method, args, reply, nil).Done:
		if call.Error != nil {
			return fmt.Errorf("%s: %w", r.Name(), call.Error)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %s: %w", r.Name(), method, ctx.Err())
	}
}

// end ends the process, as the end of its stdin does.
func (r *role) end() {
	_ = r.client.Close()
	stop(r.Program)
}
