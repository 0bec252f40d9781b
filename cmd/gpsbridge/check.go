package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"gpsbridge/bridge"
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
	if err := bridge.Check(config); err != nil {
		return command.AsMisuse(err)
	}
	if err := config.CheckFiles(); err != nil {
		return command.AsMisuse(err)
	}
	warnOfSecrets(newLogger(p, "text", slog.LevelWarn), config.Secrets())
	fmt.Fprintf(p.Stdout, "%s is a good configuration of device %s\n", flags.path, config.DeviceID)
	for _, u := range config.Uplinks {
		fmt.Fprintf(p.Stdout, "server %s gets %s\n", u.Name, dataCost(config.Report))
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
