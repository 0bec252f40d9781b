package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"gpsbridge/bridge"
	"gpsbridge/bridge/config"
	"gpsbridge/cmd/internal/command"
)

func runCheck(_ context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	flags := addConfigFlags(fs)
	words, err := c.Parse(p, fs, args, 1)
	if err != nil {
		return err
	}
	if flags.path != "" {
		words = append(words, flags.path) // -c FILE is the same
	}
	if len(words) == 0 {
		flags.useService(p, c)
		words = append(words, flags.path)
	}
	flags.path = words[0]
	if len(words) > 1 || flags.path == "" {
		return command.Misusef("name one file: gpsbridge check -c FILE")
	}
	config, err := flags.load(p)
	if err != nil {
		return err
	}
	return report(p, flags.path, config)
}

// report checks a configuration, and prints that it is good and what it costs.
func report(p command.Process, path string, c config.Config) error {
	if err := bridge.Check(c); err != nil {
		return command.AsMisuse(err)
	}
	if err := c.CheckFiles(); err != nil {
		return command.AsMisuse(err)
	}
	warnOfSecrets(newLogger(p, "text", slog.LevelWarn), c.Secrets())
	fmt.Fprintf(p.Stdout, "%s is a good configuration of device %s\n", path, c.DeviceID)
	for _, u := range c.Uplinks {
		fmt.Fprintln(p.Stdout, folded(p.Stdout, fmt.Sprintf("server %s gets %s", u.Name, dataCost(c.Report, u.Config))))
	}
	return nil
}

func runVersion(_ context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	asJSON := fs.Bool("json", false, "print it as JSON")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(p.Stdout).Encode(map[string]string{
			"program": "gpsbridge", "version": bridge.Version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		})
	}
	_, err := fmt.Fprintln(p.Stdout, "gpsbridge", bridge.Version())
	return err
}

// warnOfSecrets logs the files of secrets that every user of this machine can read.
func warnOfSecrets(log *slog.Logger, files []string) {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Mode().Perm()&0o004 != 0 {
			log.Warn("a secret is readable by every user of this machine: chmod o= its file", "file", f)
		}
	}
}
