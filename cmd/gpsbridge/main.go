// Command gpsbridge is an edge daemon for GPS trackers: NMEA 0183 from a receiver in, JSON fixes to the tracking
// group of its device ID out, over one persistent WebSocket.
//
// Each subcommand is a file of this package. They read the command line and call package bridge, which
// documents what a daemon is. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. Errors go to stderr, one line each.
package main

import (
	"context"

	"gpsbridge/cmd/internal/command"
)

func main() { commandLine().Main() }

// runCompletion is the one command that knows of the others.
func runCompletion(_ context.Context, p command.Process, c command.Command, args []string) error {
	words, err := c.Parse(p, c.Flags(), args, 1)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return command.Misusef("name a shell: gpsbridge completion bash, zsh or fish")
	}
	return commandLine().Completion(p.Stdout, words[0])
}

func commandLine() command.Program {
	g := command.Program{
		Name:  "gpsbridge",
		About: "gpsbridge reads a GPS receiver and pushes its fixes to a tracking server.",
		Start: "gpsbridge demo",
		Commands: []command.Command{
			{Name: "run", Run: runDaemon, Args: "[-c FILE] [--device SOURCE] [--device-id ID] [--server URL] [--token-file FILE] [--listen ADDRESS]", About: "the daemon"},
			{Name: "demo", Run: runDemo, Args: "[--rate HZ] [--listen ADDRESS]", About: "a simulated vehicle, daemon, tracking server and viewer page"},
			{Name: "relay", Run: runRelay, Args: "[-c FILE] [--publish-token-file FILE] [--token-file FILE] [--tls-self-signed] [--listen ADDRESS] [--layer URL] [check|doctor|drain]", Words: []string{"check", "doctor", "drain"}, About: "the tracking server alone or in a fleet; check: what is wrong with its configuration; doctor: what is broken between it and Redis; drain: have its clients connect again"},
			{Name: "decode", Run: runDecode, Args: "[--format FORMAT] [--html] [--sky] [--stats] [FILE|-]", About: "NMEA in; out one JSON object a line, a track for maps and tables, or a page"},
			{Name: "watch", Run: runWatch, Args: "[-c FILE] [--listen ADDRESS] [--token-file FILE] [--ca-file FILE] [--lines] [URL]", About: "join a tracking group, by default this machine's: live on a terminal, its messages when piped"},
			{Name: "sim", Run: runSim, Args: "[--rate HZ] [--baud BAUD] [--link PATH]", About: "a simulated receiver on a pseudo-terminal"},
			{Name: "doctor", Run: runDoctor, Args: "[-c FILE] [--device SOURCE] [--server URL] [--no-send] [--json]", About: "what is broken between receiver and server, and how to fix it"},
			{Name: "status", Run: runStatus, Args: "[-c FILE] [--listen ADDRESS] [--watch|--json|--qr]", About: "what the running daemon is doing"},
			{Name: "spool", Run: runSpool, Args: "[-c FILE] [--dir DIRECTORY] [--yes] [ls|dump|drop]", Words: []string{"ls", "dump", "drop"}, About: "what waits for the server: list, print, throw away"},
			{Name: "check", Run: runCheck, Args: "[-c FILE]", About: "check a configuration"},
			{Name: "setup", Run: runSetup, Args: "[-c FILE] [--device-id ID] [--device SOURCE] [--server URL] [--token-file FILE] [--phones]", About: "write the configuration, restart the service, and see whether it works"},
			{Name: "version", Run: runVersion, Args: "[--json]", About: "print the version"},
			{Name: "completion", Run: runCompletion, Args: "bash|zsh|fish", Words: command.Shells, About: "print a script that completes commands and flags in a shell"},
		},
	}
	g.Hidden = []command.Command{g.Complete()}
	return g
}
