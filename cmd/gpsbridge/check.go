package main

import (
	"context"
	"errors"
	"fmt"

	"gpsbridge/bridge"
)

func runCheck(_ context.Context, p process, c command, args []string) error {
	fs := newFlags(c)
	flags := addConfigFlags(fs)
	words, err := parse(p, c, fs, args, 1)
	if err != nil {
		return err
	}
	if len(words) == 1 && flags.path == "" {
		flags.path = words[0] // what it checks is plain, with -c or without
	}
	if flags.path == "" {
		return usagef("no file: gpsbridge check -c FILE")
	}
	config, err := flags.load(p)
	if err != nil {
		return err
	}
	if err := errors.Join(bridge.Check(config), config.MissingFile()); err != nil {
		return usagef("%s: %w", flags.path, err)
	}
	fmt.Fprintf(p.stdout, "%s is a good configuration of device %s\n", flags.path, config.DeviceID)
	return nil
}

func runVersion(_ context.Context, p process, c command, args []string) error {
	if _, err := parse(p, c, newFlags(c), args, 0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, "gpsbridge", bridge.Version())
	return err
}
