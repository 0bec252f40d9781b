// Command compare measures gpsbridge beside the programs that people use for the same work, on the same machine, in the
// same minutes, with the same input. It runs the built gpsbridge and sees of it what any user sees: bytes go in at a
// terminal, JSON comes out at a client, and the system reports what that cost.
//
// Beside gpsd, as what reads a receiver (gpsd.go, scenarios.go, contender.go, line.go):
//
//	epochs of the simulated receiver ──▶ line (a pseudo-terminal) ──▶ program ──▶ client ──▶ result
//
// Beside Django Channels, as what serves tracking groups (fanout.go, session.go, servers.go, viewers.go, floor.go):
//
//	publisher (messages that carry their time) ──▶ server ──▶ viewers, in processes of their own ──▶ delays
//
// Beside hostile trackers, as what serves others meanwhile (hostile.go, attacks.go):
//
//	trackers (fixes) ──▶ gpsbridge relay ──▶ echoes ──▶ delays; attackers in a process of their own
//
// A fleet on one Redis (fleet.go, fleettracker.go):
//
//	trackers (fixes) ──▶ relays ──▶ Redis with two replicas ──▶ relays ──▶ echoes ──▶ delays
//
// Bytes on the wire, beside an older program and other protocols (wire.go, tracker.go, wireservers.go, peers.go, network.go):
//
//	epochs ──▶ line ──▶ daemon at a host of its own ──▶ counted link ──▶ tracking server ──▶ another member of the group
//
// README.md has the results. Exit codes: 0 done, 1 failed, 2 wrong usage. Errors go to stderr, one line each.
package main

import (
	"context"
	"errors"

	"gpsbridge/cmd/internal/command"
)

func main() { commandLine().Main() }

func commandLine() command.Program {
	return command.Program{
		Name:  "compare",
		About: "compare measures gpsbridge beside other programs on this machine.",
		Start: "go run ./cmd/compare gpsd, fanout, hostile, fleet or wire",
		Commands: []command.Command{
			{Name: "gpsd", Run: interrupted(compareGPSD), About: "Debian's gpsd: fixes, delay, CPU time and memory",
				Args: "[--epochs N] [--quick] [--only SCENARIO] [--json]"},
			{Name: "hostile", Run: interrupted(compareHostile), About: "gpsbridge relay beside hostile trackers: what others notice",
				Args: "[--only KIND,KIND] [--rounds N] [--for TIME] [--json]"},
			{Name: "fanout", Run: interrupted(compareFanout), About: "Django Channels as a tracking server: deliveries to viewers",
				Args: "[--viewers N,N] [--rate HZ] [--for TIME] [--servers NAME,NAME] [--json]"},
			{Name: "fleet", Run: interrupted(compareFleet), About: "relays on one Redis: what they acknowledge, and what the end of one does",
				Args: "[--relays N,N] [--durable NAME,NAME] [--trackers N] [--window N] [--for TIME] [--kill N] [--every TIME] [--json]"},
			{Name: "wire", Run: interrupted(compareWire), About: "bytes of a fix on the wire, on tracking servers with TLS (as root)",
				Args: "[--servers NAME,NAME] [--programs NAME,NAME] [--rates HZ,HZ] [--for TIME] [--baseline PATH] [--json]"},
		},
		Hidden: roles(),
	}
}

type run = func(ctx context.Context, w command.Process, c command.Command, args []string) error

// interrupted makes a measurement that a signal ended report that, and not what became of the programs it had started.
func interrupted(measure run) run {
	return func(ctx context.Context, w command.Process, c command.Command, args []string) error {
		err := measure(ctx, w, c, args)
		if err != nil && ctx.Err() != nil {
			return errors.New("interrupted; the programs it started have ended")
		}
		return err
	}
}
