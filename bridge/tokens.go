package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/secret"
)

// tokenFiles are the files with the tokens of a relay, "" for none. They are read again on request, and when they change.
type tokenFiles struct {
	viewer  string // the viewers' token
	publish string // the token that trackers present
	devices string // a device ID and its token a line; see relay.ReadDeviceTokens
}

// read puts the tokens into c.
func (f tokenFiles) read(c *relay.Config) error {
	var err [3]error
	c.Token, err[0] = readToken("token_file", f.viewer)
	c.PublishToken, err[1] = readToken("publish_token_file", f.publish)
	c.DeviceTokens, err[2] = readDeviceTokens(f.devices)
	return errors.Join(err[:]...)
}

// apply reads the files again and has the relay use what they hold. An error leaves the relay's tokens as they are.
func (f tokenFiles) apply(r *relay.Relay) error {
	var c relay.Config
	if err := f.read(&c); err != nil {
		return err
	}
	return r.SetTokens(c.Token, c.PublishToken, c.DeviceTokens)
}

// tokenPoll is how often it is checked whether the files have changed: a revoked token works for so long at most.
const tokenPoll = 5 * time.Second

// watch calls apply after each change of the files, until ctx ends. Without files it returns at once.
func (f tokenFiles) watch(ctx context.Context, apply func() error, log *slog.Logger) error {
	if f == (tokenFiles{}) {
		return nil
	}
	return onChange(ctx, func() time.Duration { return tokenPoll }, f.versions, func() {
		if err := apply(); err != nil {
			log.Error("changed tokens are not used, the old ones are kept", "err", err)
			return
		}
		log.Info("tokens read again after a change of their files")
	})
}

// versions is what changes with the content of the files, and with their modes and owners: one may be readable now.
func (f tokenFiles) versions() string {
	var all []string
	for _, path := range []string{f.viewer, f.publish, f.devices} {
		var st unix.Stat_t
		_ = unix.Stat(path, &st) // a file that is missing is the zero value
		all = append(all, fmt.Sprint(st.Ino, st.Size, st.Mtim, st.Ctim))
	}
	return strings.Join(all, " ")
}

// readToken reads the token in the file that a key names; "" without a file.
func readToken(key, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	token, err := secret.Read(path)
	if err != nil {
		return "", problem.Of(err).In(key)
	}
	return token, nil
}

// readDeviceTokens reads the trackers' file of tokens; none without a file.
func readDeviceTokens(path string) (map[string][]string, error) {
	if path == "" {
		return nil, nil
	}
	bad := func(cause string, err error) error {
		return &problem.Problem{Code: relay.CodeTokenInvalid, Key: "device_tokens_file", Cause: cause,
			Fix: "name a file with a device ID and its token a line", Err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bad(err.Error(), err)
	}
	defer f.Close()
	tokens, err := relay.ReadDeviceTokens(f)
	if err == nil && len(tokens) == 0 {
		return nil, bad(path+" has no token", nil)
	}
	return tokens, err
}
