// Command gpsbridge is an edge daemon for GPS trackers: NMEA 0183 from a receiver in, JSON fixes to the tracking
// group of its device ID out, over one persistent WebSocket.
//
// Each subcommand is a file of this package. They read the command line and call package bridge; what a daemon is, is
// said there. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. Errors go to stderr, one line each.
package main

import (
	"context"
	"errors"
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

// process is what a subcommand has of the world.
type process struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// command is a subcommand. Its run returns when ctx ends.
type command struct {
	name, args, about string
	run               func(ctx context.Context, p process, c command, args []string) error
}

// usage is how the command line is written.
func (c command) usage() string { return strings.TrimSpace("gpsbridge " + c.name + " " + c.args) }

func commands() []command {
	return []command{
		{"run", "[-c FILE] [--device SOURCE] [--device-id ID] [--server URL] [--listen ADDRESS]", "the daemon", runDaemon},
		{"demo", "[--rate HZ] [--listen ADDRESS]", "a simulated vehicle, daemon, tracking server and viewer page", runDemo},
		{"relay", "--publish-token-file FILE [--listen ADDRESS]", "the tracking server alone", runRelay},
		{"decode", "[--sky] [--stats] [FILE|-]", "NMEA in, one JSON object a line out", runDecode},
		{"watch", "[--token-file FILE] [--ca-file FILE] [--lines] URL", "join a tracking group: live on a terminal, its messages when piped", runWatch},
		{"sim", "[--rate HZ] [--baud N] [--link PATH]", "a simulated receiver on a pseudo-terminal", runSim},
		{"doctor", "[-c FILE] [--device SOURCE] [--server URL] ... [--json]", "the one thing that is broken, from the receiver to the server, and the mend", runDoctor},
		{"status", "[-c FILE] [--listen ADDRESS] [--watch|--json]", "what the running daemon is doing", runStatus},
		{"spool", "[-c FILE] [--dir FOLDER] [ls|dump|drop]", "what waits for the server: list, print, throw away", runSpool},
		{"check", "-c FILE", "check a configuration", runCheck},
		{"version", "", "print the version", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal ends in stages, the second at once
	os.Exit(dispatch(ctx, process{os.Environ(), os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// dispatch runs the subcommand that args name and turns its error into one line and an exit code.
func dispatch(ctx context.Context, p process, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(p.stderr, help())
		return exitUsage
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(p.stdout, help())
		return exitDone
	}
	name := args[0]
	if name == "-v" || name == "--version" || name == "-version" {
		name = "version"
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		err := c.run(ctx, p, c, args[1:])
		var usage usageError
		switch {
		case err == nil || errors.Is(err, errHelp):
			return exitDone
		case errors.Is(err, errBroken):
			return exitFailed
		case errors.As(err, &usage):
			fmt.Fprintf(p.stderr, "gpsbridge %s: %s\n", c.name, oneLine(err))
			return exitUsage
		default:
			fmt.Fprintf(p.stderr, "gpsbridge %s: %s\n", c.name, oneLine(err))
			return exitFailed
		}
	}
	fmt.Fprintf(p.stderr, "gpsbridge: unknown command %q: gpsbridge help lists the commands\n", args[0])
	return exitUsage
}

// oneLine joins what errors.Join has put on several.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func help() string {
	var b strings.Builder
	b.WriteString("gpsbridge reads a GPS receiver and pushes its fixes to a tracking server.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  gpsbridge %-8s %s\n", c.name, c.about)
	}
	b.WriteString("\nStart with: gpsbridge demo. The flags of a command: gpsbridge COMMAND -h\n")
	return b.String()
}
