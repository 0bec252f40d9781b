package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/spool"
	"gpsbridge/cmd/internal/command"
)

func runSpool(ctx context.Context, p command.Process, c command.Command, args []string) error {
	flagSet := c.Flags()
	flags := addConfigFlags(flagSet)
	dir := flagSet.String("dir", "", "`DIRECTORY` of the spool, instead of the configuration's")
	yes := flagSet.Bool("yes", false, "drop without asking")
	words, err := c.Parse(p, flagSet, args, 1)
	if err != nil {
		return err
	}
	if *dir == "" {
		flags.useService(p, c)
	}
	config, err := flags.load(p)
	if err != nil {
		return err
	}
	drop := dropSpool
	if asks := command.IsTerminal(p.Stdin) && !*yes; asks {
		drop = askToDrop
	}
	run := map[string]func(command.Process, string, string) error{"ls": listSpool, "dump": dumpSpool, "drop": drop}
	what := "ls"
	if len(words) == 1 {
		what = words[0]
	}
	if run[what] == nil {
		return command.Misusef("unknown action %q: use ls, dump or drop", what)
	}
	if *dir != "" {
		return inSpool(p, run[what], *dir, "")
	}
	ids := append(config.DeviceIDs(), config.FormerIDs()...)
	for _, id := range ids {
		dir, runtime := config.SpoolDirs(id)
		if dir == "" {
			return command.Misusef("no directory: name one with --dir DIRECTORY, or the daemon's configuration with -c FILE")
		}
		if len(ids) > 1 && what != "dump" { // a message names its device itself
			fmt.Fprintf(p.Stdout, "%s: ", id)
		}
		if err := inSpool(p, run[what], dir, runtime); err != nil {
			return err
		}
	}
	return nil
}

// inSpool runs one of the commands in one directory.
func inSpool(p command.Process, do func(command.Process, string, string) error, dir, runtime string) error {
	err := do(p, dir, runtime)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		another := "DIRECTORY"
		if below := spool.Below(dir); len(below) > 0 {
			another = below[0]
		}
		return fmt.Errorf("%q holds no spool: name another with --dir %s", dir, another)
	}
	if denied := readable(dir); errors.Is(err, fs.ErrPermission) && denied != nil {
		return denied
	}
	if problem.CodeOf(err) == spool.CodeInUse {
		return errors.New(problem.Of(err).Text()) // without the key: it need not come from a configuration
	}
	return err
}

func listSpool(p command.Process, dir, runtime string) error {
	l, err := spool.Inspect(dir, runtime)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "%d records held, %d bytes, %d dropped because the spool was full, last position %d\n", l.Records, l.Bytes, l.Dropped, l.Last)
	for _, r := range l.Readers {
		fmt.Fprintf(p.Stdout, "server %s: %d waiting, everything up to %d acknowledged\n", r.Name, r.Waiting, r.Acked)
	}
	for _, s := range l.Segments {
		if s.Format != spool.Format {
			fmt.Fprintf(p.Stdout, "%s: in format %d, which this version of gpsbridge cannot read\n", s.Path, s.Format)
			continue
		}
		places := "empty"
		if s.Records > 0 {
			places = fmt.Sprintf("%d to %d, %d of %d records held", s.First, s.Last, s.Held, s.Records)
		}
		fmt.Fprintf(p.Stdout, "%s: %s, thinned %d times, %d damaged places\n", s.Path, places, s.Thinned, s.Damaged)
	}
	return nil
}

// dumpSpool prints each record as a line of JSON.
func dumpSpool(p command.Process, dir, runtime string) error {
	lines := json.NewEncoder(p.Stdout)
	return spool.Dump(dir, runtime, func(r spool.Record) error {
		return lines.Encode(map[string]any{"pos": r.Pos, "time": r.Time.UTC(), "waiting": r.Waiting, "message": json.RawMessage(r.Data)})
	})
}

// askToDrop drops what a person at the terminal agrees to lose.
func askToDrop(p command.Process, dir, runtime string) error {
	l, err := spool.Inspect(dir, runtime)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "Drop %d records in %s, which no server will get then? [y/N] ", l.Records, dir)
	answer, err := bufio.NewReader(p.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(answer)); err != nil || answer != "y" && answer != "yes" {
		return errors.New("nothing was dropped: answer y, or give --yes")
	}
	return dropSpool(p, dir, runtime)
}

func dropSpool(p command.Process, dir, runtime string) error {
	n, err := spool.Drop(dir, runtime)
	if err == nil {
		fmt.Fprintf(p.Stdout, "%d records dropped\n", n)
	}
	return err
}
