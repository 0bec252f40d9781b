package main

import (
	"context"
	"fmt"

	"gpsbridge/bridge/receiver/sim"
)

func runSim(ctx context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	var config sim.Config
	fs.IntVar(&config.Rate, "rate", 1, "fixes a second, 1 to 25, in `HZ`")
	fs.IntVar(&config.Baud, "baud", 0, "speed of the line in `BAUD`; 0 for one that takes no time")
	fs.Uint64Var(&config.Seed, "seed", 0, "`NUMBER` that tells one vehicle from another")
	fs.BoolVar(&config.Tunnel, "tunnel", false, "lose the sky for some seconds every few minutes")
	fs.BoolVar(&config.Garble, "garble", false, "deliver what a UART would to who reads at another speed than BAUD")
	fs.BoolVar(&config.UBX, "ubx", false, "speak u-blox's binary protocol, no NMEA")
	link := fs.String("link", "", "make a symbolic link to the port at `PATH`")
	if _, err := parse(p, c, fs, args, 0); err != nil {
		return err
	}
	if config.Rate == 0 { // package sim's default
		return usagef("simulate a receiver at 0 Hz: use a rate of 1 to %d", sim.MaxRate)
	}
	if _, err := sim.New(config); err != nil {
		return usageError{err}
	}
	receiver, err := sim.Open(config, *link)
	if err != nil {
		return err
	}
	defer receiver.Close()
	fmt.Fprintf(p.stdout, "%s: read it with gpsbridge run --device %[1]s\n", receiver.Path())
	return receiver.Run(ctx)
}
