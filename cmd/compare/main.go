// Command compare measures gpsbridge beside the programs that people use for the same work, on the same machine, in the
// same minutes, with the same input. It runs the built gpsbridge and sees of it what anybody sees: bytes go in at a
// terminal, JSON comes out at a client, and the system tells what that cost.
//
// Beside gpsd, as what reads a receiver:
//
//	script (epochs of the simulated receiver) ──▶ line (a pseudo-terminal) ──▶ program ──▶ client ──▶ arrivals
//	       └──────────────── when each sentence was complete on the line ──────────────────┴──▶ result ──▶ table
//
// Beside Django Channels, as what serves tracking groups:
//
//	publisher (messages that say when they were sent) ──▶ server ──▶ viewers, in processes of their own ──▶ histogram ──▶ table
//
// Each subcommand is a file of this package. Exit codes: 0 done, 1 failed, 2 wrong usage. Errors go to stderr, one line
// each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes of every subcommand.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// world is what a subcommand has of it.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// command is a subcommand. Its run returns when ctx ends.
type command struct {
	name, args, about string
	run               func(ctx context.Context, w world, c command, args []string) error
}

func commands() []command {
	return []command{
		{"gpsd", "[--epochs N] [--quick] [--only SCENARIO] [--log FILE] [--json]", "Debian's gpsd: fixes, delay, CPU and memory", compareGPSD},
		{"fanout", "[--viewers N,N] [--rate HZ] [--for TIME] [--servers NAME,NAME] [--hostile] [--json]", "Django Channels as a tracking server: deliveries to viewers", compareFanout},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal ends the programs that were started, the second at once
	os.Exit(dispatch(ctx, world{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// dispatch runs the subcommand that args name and turns its error into one line and an exit code.
func dispatch(ctx context.Context, w world, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(w.stderr, help())
		return exitUsage
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(w.stdout, help())
		return exitDone
	}
	for _, c := range append(commands(), roles()...) {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, w, c, args[1:])
		var usage usageError
		switch {
		case err == nil || errors.Is(err, flag.ErrHelp):
			return exitDone
		case errors.As(err, &usage):
			fmt.Fprintf(w.stderr, "compare %s: %s\n", c.name, oneLine(err))
			return exitUsage
		case ctx.Err() != nil:
			fmt.Fprintf(w.stderr, "compare %s: interrupted; what it started has ended\n", c.name)
			return exitFailed
		default:
			fmt.Fprintf(w.stderr, "compare %s: %s\n", c.name, oneLine(err))
			return exitFailed
		}
	}
	fmt.Fprintf(w.stderr, "compare: unknown command %q: compare help lists the commands\n", args[0])
	return exitUsage
}

// oneLine joins what errors.Join, or a program that is quoted, has put on several.
func oneLine(err error) string { return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ") }

func help() string {
	var b strings.Builder
	b.WriteString("compare measures gpsbridge beside other programs on this machine.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  compare %-8s %s\n", c.name, c.about)
	}
	b.WriteString("\nStart with: go run ./cmd/compare gpsd, or fanout. The flags of a command: compare COMMAND -h\n")
	return b.String()
}

// usageError is what the person at the command line can mend there: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// newFlags returns the flag set of a subcommand. Errors and help are parse's to print.
func newFlags(c command) *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse reads flags. It returns flag.ErrHelp when help was asked for and given.
func parse(w world, c command, fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(w.stdout, "compare %s %s: %s\n", c.name, c.args, c.about)
		fs.SetOutput(w.stdout)
		fs.PrintDefaults()
		return err
	case err != nil:
		return usagef("%w: compare %s -h lists the flags", err, c.name)
	case fs.NArg() > 0:
		return usagef("%q is one word too many: compare %s %s", fs.Arg(0), c.name, c.args)
	}
	return nil
}
