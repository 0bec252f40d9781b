package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/cmd/internal/command"
)

func runSim(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	var config sim.Config
	fs.IntVar(&config.Rate, "rate", 1, "fixes a second, 1 to 25, in `HZ`")
	fs.IntVar(&config.Baud, "baud", 0, "speed of the line in `BAUD`; 0 for one that takes no time")
	fs.Uint64Var(&config.Seed, "seed", 0, "`NUMBER` that makes another vehicle")
	fs.BoolVar(&config.Tunnel, "tunnel", false, "lose all satellites for some seconds every few minutes")
	fs.BoolVar(&config.Garble, "garble", false, "garble what is read at a speed other than BAUD, as a UART does")
	fs.BoolVar(&config.UBX, "ubx", false, "send u-blox's binary protocol and no NMEA")
	link := fs.String("link", "", "make a symbolic link to the port at `PATH`")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	if err := checkRate(config.Rate); err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return errors.New("its pseudo-terminal needs Linux: use gpsbridge run --device sim: instead")
	}
	if dir := filepath.Dir(*link); *link != "" && !isDirectory(dir) {
		return command.Misusef("--link %q: the directory %q does not exist: make it, or name another", *link, dir)
	}
	if _, err := sim.New(config); err != nil {
		return command.AsMisuse(err)
	}
	receiver, err := sim.Open(config, *link)
	if err != nil {
		return err
	}
	defer receiver.Close()
	fmt.Fprintf(p.Stdout, "%s: read it with gpsbridge run --device %[1]s\n", receiver.Path())
	return receiver.Run(ctx)
}

// checkRate refuses 0 too, which is the default of package sim.
func checkRate(rate int) error {
	if rate < 1 || rate > sim.MaxRate {
		return command.Misusef("--rate %d: use 1 to %d fixes a second", rate, sim.MaxRate)
	}
	return nil
}

func isDirectory(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
