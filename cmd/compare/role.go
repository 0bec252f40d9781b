package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"gpsbridge/bridge/realtest/program"
	"gpsbridge/cmd/internal/command"
)

// roles are the parts that compare plays in processes of their own, so that what they cost is not in the figures of the
// servers. They are commands that help does not list, told what to do on stdin, a line of JSON each, and ended by its end.
func roles() []command.Command {
	return []command.Command{
		{Name: "viewers", Run: playViewers, About: "viewers of a tracking group"},
		{Name: "attackers", Run: playAttackers, About: "viewers that mean harm"},
		{Name: "floor", Run: playFloor, About: "a server that only writes"},
	}
}

// role is such a process, seen from the one that started it.
type role struct {
	*program.Program
	in  *os.File // closed by end
	out *os.File
	say *bufio.Reader
}

// startRole starts this program again as the role.
func startRole(name string) (*role, error) {
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
	cmd := exec.Command(self, name)
	cmd.Stdin, cmd.Stdout = stdin, stdout
	p, err := start(name, cmd)
	_, _ = stdin.Close(), stdout.Close() // they are the process's
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	return &role{Program: p, in: in, out: out, say: bufio.NewReader(out)}, nil
}

// answerTimeout is how long a role may take for what it is told: to join with ten thousand viewers takes seconds.
const answerTimeout = time.Minute

// ask tells the role what to do and reads what it says to it.
func (r *role) ask(ctx context.Context, question, answer any) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := r.in.Write(append(line, '\n')); err != nil {
		return r.why(err)
	}
	return r.hear(ctx, answer)
}

// hear reads the next line that the role says. An error of the role's own comes as {"error":...}.
func (r *role) hear(ctx context.Context, answer any) error {
	_ = r.out.SetReadDeadline(time.Now().Add(answerTimeout)) // pipes have deadlines on Linux
	defer context.AfterFunc(ctx, func() { _ = r.out.SetReadDeadline(time.Now()) })()
	line, err := r.say.ReadBytes('\n')
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return r.why(err)
	}
	var trouble struct{ Error string }
	if err := json.Unmarshal(line, &trouble); err != nil {
		return fmt.Errorf("understand %s: %w", r.Name(), err)
	}
	if trouble.Error != "" {
		return errors.New(trouble.Error)
	}
	return json.Unmarshal(line, answer)
}

// why is an error of talking to the role, or that it has ended.
func (r *role) why(err error) error {
	if _, exit := r.Exit(time.Second); exit == nil {
		return r.Alive()
	}
	return fmt.Errorf("talk to %s: %w", r.Name(), err)
}

// end ends the process, as its stdin ending does.
func (r *role) end() {
	_ = r.in.Close()
	_ = r.Stop(stopTimeout) // killed is as good
	_ = r.out.Close()
}

// serveRole answers each line on stdin with what answer makes of it, until it ends or ctx does.
func serveRole[question any](ctx context.Context, w command.Process, answer func(question) (any, error)) error {
	lines := json.NewDecoder(w.Stdin)
	say := json.NewEncoder(w.Stdout)
	for ctx.Err() == nil {
		var q question
		if err := lines.Decode(&q); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what to do: %w", err)
		}
		a, err := answer(q)
		if err != nil {
			a = map[string]string{"error": err.Error()}
		}
		if err := say.Encode(a); err != nil {
			return err
		}
	}
	return nil
}
