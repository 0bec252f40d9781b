package relay

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
)

// maxTokenFile bounds a file of tokens: 10,000 groups with a device ID and a token of the longest kind have room in it
// several times.
const maxTokenFile = 16 << 20

// ReadDeviceTokens reads the tokens of a fleet for Config.DeviceTokens: a device ID and a token a line, with white space
// between them. A device may have several lines, which is how its token is changed: both are good until the old one is taken
// out. Empty lines and those that begin with # are skipped. An error names the line and shows no token.
func ReadDeviceTokens(in io.Reader) (map[string][]string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxTokenFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTokenFile {
		return nil, tokenProblem(fmt.Sprintf("the file has more than %d bytes", maxTokenFile), "write a device ID and its token a line")
	}
	tokens := make(map[string][]string)
	line := 0
	for row := range strings.Lines(string(text)) {
		line++
		words := strings.Fields(row)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) != 2 {
			return nil, tokenProblem(fmt.Sprintf("line %d has %d words", line, len(words)), "write a device ID and its token")
		}
		if p := checkDeviceToken(words[0], words[1]); p != nil {
			p.Cause = fmt.Sprintf("line %d: %s", line, p.Cause)
			return nil, p
		}
		tokens[words[0]] = append(tokens[words[0]], words[1])
	}
	return tokens, nil
}

func tokenProblem(cause, fix string) *problem.Problem {
	return &problem.Problem{Code: CodeTokenInvalid, Key: "device_tokens_file", Cause: cause, Fix: fix}
}

func checkDeviceToken(device, token string) *problem.Problem {
	if !deviceID.MatchString(device) {
		return tokenProblem(fmt.Sprintf("device ID %q is not valid", device), "use 1 to 80 of A-Z a-z 0-9 _")
	}
	cause, fix := wrongToken(token, minToken)
	if cause == "" {
		return nil
	}
	return tokenProblem(fmt.Sprintf("%s, of device %q", cause, device), fix)
}

// minToken is 64 bits in the hex digits of a generator: too many to guess at any rate that the relay answers.
const minToken = 16

const makeToken = "make one with: openssl rand -hex 16"

// wrongToken is what makes a token one that a browser could not send, or that can be guessed; "" for a good one. It does not
// show the token.
func wrongToken(token string, shortest int) (cause, fix string) {
	if strings.EqualFold(token, "none") {
		return fmt.Sprintf("%q is not a token", token), makeToken
	}
	if len(token) < shortest {
		return fmt.Sprintf("the token is shorter than %d characters", shortest), makeToken
	}
	for _, r := range token {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return fmt.Sprintf("the token has the character %q", r), "use letters, digits and !#$%&'*+-.^_`|~ only"
		}
	}
	return "", ""
}

// checkTokens refuses tokens that are too short where others reach the relay, and tokens of viewers that could send.
func (c Config) checkTokens() error {
	shortest := 1
	if !c.local() {
		shortest = minToken
	}
	var all []error
	bad := func(code problem.Code, key, cause, fix string) {
		all = append(all, &problem.Problem{Code: code, Key: key, Cause: cause, Fix: fix})
	}
	for _, t := range []struct{ key, token string }{{"token_file", c.Token}, {"publish_token_file", c.PublishToken}} {
		if cause, fix := wrongToken(t.token, shortest); t.token != "" && cause != "" {
			bad(CodeTokenInvalid, t.key, cause, fix)
		}
	}
	if c.PublishToken != "" && c.PublishToken == c.Token {
		bad(CodeTokenShared, "publish_token_file", "the token is the viewers' too, so viewers could send", "use different tokens")
	}
	for device, tokens := range c.DeviceTokens {
		if slices.Contains(tokens, c.Token) {
			bad(CodeTokenShared, "device_tokens_file", fmt.Sprintf("the token of %q is the viewers' too, so viewers could send", device), "use different tokens")
		}
	}
	return errors.Join(all...)
}
