package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/doctor"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/kinds"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
	"gpsbridge/cmd/internal/command"
)

const notWritable problem.Code = "file-not-writable-by-user"

// noServer is the answer for a tracker whose fixes go to local viewers only.
const noServer = "none"

// setup changes a configuration file by answers, which are flags or a person's, and starts the service with it.
type setup struct {
	p       command.Process
	path    string // of the file
	secrets string // how the names of the files with secrets begin, as the file has them
	given   map[string]string
	ask     *prompt // nil without a terminal
	was     []byte  // what the file holds, nil for nothing
	text    []byte  // what it will hold
	config  config.Config
	token   string // to write, "" for none
}

func runSetup(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	flags := addConfigFlags(fs, "device", "device-id", "server", "token-file")
	setupFlags(fs, flags)
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	p.Environ = nil // the service runs by the file alone
	s := setup{p: p, given: flags.values}
	if command.IsTerminal(p.Stdin) {
		s.ask = newPrompt(p)
	}
	if err := s.open(cmp.Or(flags.path, config.ServiceFile)); err != nil {
		return err
	}
	if err := s.answers(ctx); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	broken := runDoctor(ctx, p, command.Command{Name: "doctor"}, []string{"-c", s.path})
	if ctx.Err() != nil {
		return broken
	}
	fmt.Fprintln(p.Stdout)
	_, drawn := drawable(p.Stdout)
	if err := printPage(p.Stdout, s.config.Relay, s.config.DeviceID, drawn); err != nil {
		return err
	}
	return broken
}

// setupFlags describes the flags for a command that writes the file.
func setupFlags(fs *flag.FlagSet, f *configFlags) {
	fs.Lookup("c").Usage = "configuration `FILE` to write (default " + config.ServiceFile + ")"
	fs.Lookup("server").Usage += ", " + noServer + " for viewers in the vehicle only"
	fs.Lookup("token-file").Usage += ", which is copied to where the service has its secrets"
	fs.BoolFunc("phones", "serve the page to phones in the vehicle, with a token; --phones=no to this machine alone", func(v string) error { return f.give("phones", v) })
}

// open reads the file, and finds out whether this user may write it.
func (s *setup) open(path string) (err error) {
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	switch err := unix.Access(dir, unix.W_OK); {
	case errors.Is(err, fs.ErrNotExist):
		return command.Misusef("directory %s does not exist: install the package of gpsbridge, or name a file with -c FILE", dir)
	case errors.Is(err, fs.ErrPermission):
		return &problem.Problem{Code: notWritable, Cause: path + " is not writable by this user", Fix: "use sudo", Err: err}
	case err != nil:
		return fmt.Errorf("%s cannot be written: %w: make its file system writable", path, err)
	}
	if s.was, err = directory.ReadFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.path, s.secrets = path, strings.TrimSuffix(path, ".toml")+"."
	if dir == filepath.Dir(config.ServiceFile) {
		s.secrets = config.Credentials + "/"
	}
	s.text = bytes.TrimPrefix(s.was, []byte("\ufeff")) // as config.Parse takes it
	if s.config, err = config.Parse(path, s.text, nil, nil); err != nil {
		return command.AsMisuse(err)
	}
	return nil
}

// answers changes the text by what was answered.
func (s *setup) answers(ctx context.Context) error {
	if s.ask == nil && s.given["server"] == "" && len(s.config.Uplinks) == 0 {
		return command.Misusef("there is no terminal to ask at: give the tracking server with --server URL, or --server %s", noServer)
	}
	if s.ask != nil {
		fmt.Fprintf(s.p.Stdout, "This writes %s. Enter keeps what is in brackets.\n\n", s.path)
	}
	if err := s.answer(ctx, "device-id", "Device ID", s.config.DeviceID, func(id string) error { return s.set("device_id", id) }); err != nil {
		return err
	}
	if n := len(s.config.Receivers); n == 1 || s.given["device"] != "" {
		if s.ask != nil && s.given["device"] == "" {
			s.showReceiver(ctx)
		}
		if err := s.answer(ctx, "device", "Receiver, a port or auto", s.config.Receivers[0].Source, s.setReceiver); err != nil {
			return err
		}
	}
	if err := s.serverAnswers(ctx); err != nil || s.config.Relay.Off() && s.given["phones"] == "" {
		return err
	}
	phones := "y"
	if onlyLocal(s.config.Relay.Listen) {
		phones = "n"
	}
	return s.answer(ctx, "phones", "Show the page to phones in the vehicle, y or n", phones, s.setPhones)
}

func (s *setup) serverAnswers(ctx context.Context) error {
	server := noServer
	switch len(s.config.Uplinks) {
	case 0:
	case 1:
		address, _, secrets := strings.Cut(s.config.Uplinks[0].URL, "?")
		if server = strings.TrimSuffix(address, config.TrackingRoute); secrets {
			server = address + "?..."
		}
	default:
		if s.given["server"]+s.given["token-file"] == "" {
			return nil
		}
	}
	if err := s.answer(ctx, "server", "Tracking server, a ws:// or wss:// URL or "+noServer, server, s.setServer); err != nil {
		return err
	}
	if file := s.given["token-file"]; file != "" {
		token, err := secret.Read(file)
		if err == nil {
			err = s.setToken(token)
		}
		if err != nil {
			return command.AsMisuse(fmt.Errorf("--token-file: %w", problem.Of(err)))
		}
		return nil
	}
	if len(s.config.Uplinks) == 0 || s.ask == nil {
		return nil
	}
	has := "none"
	if s.config.Uplinks[0].TokenFile != "" {
		has = "the one it has"
	}
	return s.answer(ctx, "token-file", "Token for it, not shown as you type", has, s.setToken)
}

// answer applies what a flag gives, or asks for it until it can be applied. An empty answer changes nothing.
func (s *setup) answer(ctx context.Context, flag, question, current string, apply func(string) error) error {
	if value, given := s.given[flag]; given {
		if err := apply(value); err != nil {
			return command.Misusef("--%s: %s", flag, problem.Of(err).Text())
		}
		return nil
	}
	for s.ask != nil {
		value, err := s.ask.line(ctx, fmt.Sprintf("%s [%s]: ", question, current), flag == "token-file")
		if err != nil || value == "" {
			return err
		}
		if err = apply(value); err == nil {
			return nil
		}
		fmt.Fprintln(s.p.Stdout, folded(s.p.Stdout, "  "+problem.Of(err).Text()))
	}
	return nil
}

// set gives a key a value.
func (s *setup) set(key, value string) error {
	text, err := config.Set(s.text, key, value)
	if err != nil {
		return err
	}
	return s.take(text)
}

// take makes a text the one to write, if it is right.
func (s *setup) take(text []byte) error {
	c, err := config.Parse(s.path, text, nil, nil)
	if err == nil {
		s.text, s.config = text, c
	}
	return err
}

// showReceiver listens for the receiver, and prints what it found.
func (s *setup) showReceiver(ctx context.Context) {
	fmt.Fprintln(s.p.Stdout, "Listening for the receiver ...")
	r := s.config.Relay
	seen, err := doctor.Listen(ctx, doctor.Options{Config: s.config, Daemon: daemonOf(r),
		FixTime: func(context.Context, string) time.Time { return time.Time{} }})
	text := fmt.Sprintf("Found none: %s", cmp.Or(seen.Problem.Text(), "nothing comes"))
	switch {
	case err != nil:
		text = problem.Of(err).Text()
	case seen.State == receiver.Reading && seen.Baud > 0:
		text = fmt.Sprintf("Found at %s, %d baud.", cmp.Or(seen.Port, seen.Source), seen.Baud)
	case seen.State == receiver.Reading:
		text = fmt.Sprintf("Found at %s.", cmp.Or(seen.Port, seen.Source))
	}
	fmt.Fprintln(s.p.Stdout, folded(s.p.Stdout, shown(text)))
}

func (s *setup) setReceiver(source string) error {
	if _, err := kinds.Parse(source); err != nil {
		return err
	}
	return s.set("receiver.source", source)
}

func (s *setup) setServer(url string) error {
	if url != noServer {
		return s.set("uplink.server", url)
	}
	text, err := config.CommentOut(s.text, "uplink")
	if err != nil {
		return err
	}
	return s.take(text)
}

// setToken keeps the server's token for write.
func (s *setup) setToken(token string) error {
	if len(s.config.Uplinks) == 0 {
		return &problem.Problem{Code: config.CodeMissing, Cause: "there is no tracking server to send it to", Fix: "give one with --server URL"}
	}
	if err := secret.Check(token); err != nil {
		return err
	}
	s.token = token
	return s.set("uplink.token_file", s.secrets+"token")
}

// setPhones serves the page at every address of the machine, to viewers with a token, or at loopback alone.
func (s *setup) setPhones(answer string) error {
	listen := s.config.Relay.Listen
	served := !s.config.Relay.Off() && !onlyLocal(listen)
	if s.config.Relay.Off() {
		listen = relay.DefaultListen
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err // the file's check has found it
	}
	switch strings.ToLower(answer) {
	case "y", "yes", "true": // of the flag without a value
		if s.config.Relay.TokenFile == "" && !s.config.Relay.Open {
			err = s.set("relay.token_file", s.secrets+"viewer-token")
		}
		if err != nil || served {
			return err
		}
		return s.set("relay.listen", net.JoinHostPort("0.0.0.0", port))
	case "n", "no", "false":
		if !served {
			return nil
		}
		return s.set("relay.listen", net.JoinHostPort("127.0.0.1", port))
	}
	return &problem.Problem{Code: config.CodeValue, Cause: fmt.Sprintf("%q is not an answer", answer), Fix: "use y or n"}
}

// onlyLocal reports whether only this machine reaches an address.
func onlyLocal(listen string) bool {
	host, _, _ := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// write writes the secrets, and the file if it passes the check.
func (s *setup) write() error {
	if s.token != "" {
		if err := directory.Replace(s.config.Uplinks[0].TokenFile, []byte(s.token+"\n"), 0o600); err != nil {
			return fmt.Errorf("write the token: %w", err)
		}
	}
	if r := s.config.Relay; r.TokenFile != "" && !r.Off() {
		if _, err := secret.ReadOrCreate(r.TokenFile); err != nil {
			return err
		}
	}
	if err := report(s.p, s.path, s.config); err != nil {
		return fmt.Errorf("%w; %s is as it was", err, s.path)
	}
	if s.was != nil && bytes.Equal(s.was, s.text) {
		return nil
	}
	return directory.Rewrite(s.path, s.text)
}

// restart starts the service with the file where there is one; elsewhere it prints what runs the daemon.
func (s *setup) restart(ctx context.Context) error {
	const unit = "gpsbridge.service"
	_, err := os.Stat("/run/systemd/system") // sd_booted(3)
	if err == nil {
		err = exec.CommandContext(ctx, "systemctl", "cat", unit).Run()
	}
	if err != nil || s.path != config.ServiceFile {
		fmt.Fprintf(s.p.Stdout, "Start the daemon with: gpsbridge run -c %s\n\n", s.path)
		return nil
	}
	if out, err := exec.CommandContext(ctx, "systemctl", "restart", unit).CombinedOutput(); err != nil {
		return fmt.Errorf("the service does not start (%w, %s): journalctl -u gpsbridge shows why", err, bytes.TrimSpace(out))
	}
	fmt.Fprintf(s.p.Stdout, "The service has been restarted with it.\n\n")
	return nil
}
