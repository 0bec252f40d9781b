package relay

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxTokenFile bounds a file of tokens: 10,000 groups with a device ID and a
// token of the longest kind have room in it several times.
const maxTokenFile = 16 << 20

// ReadDeviceTokens reads the tokens of a fleet for Config.DeviceTokens: a device
// ID and a token a line, with white space between them. A device may have several
// lines, which is how its token is changed: both are good until the old one is
// taken out. Empty lines and those that begin with # are skipped. An error names
// the line and shows no token.
func ReadDeviceTokens(in io.Reader) (map[string][]string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxTokenFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTokenFile {
		return nil, fmt.Errorf("more than %d bytes of tokens", maxTokenFile)
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
			return nil, fmt.Errorf("line %d has %d words: write a device ID and its token", line, len(words))
		}
		if err := checkDeviceToken(words[0], words[1]); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		tokens[words[0]] = append(tokens[words[0]], words[1])
	}
	return tokens, nil
}

func checkDeviceToken(device, token string) error {
	if !deviceID.MatchString(device) {
		return fmt.Errorf("device ID %q is not valid: use 1 to 80 of A-Z a-z 0-9 _", device)
	}
	if len(token) < minDeviceToken {
		return fmt.Errorf("the token of %q is shorter than %d characters: make one with: openssl rand -hex 16", device, minDeviceToken)
	}
	return checkToken("the token of "+device, token)
}

// minDeviceToken is 64 bits in the hex digits of a generator: too many to try at
// any rate that the relay answers.
const minDeviceToken = 16

// checkDeviceTokens finds what ReadDeviceTokens would have refused, and a token
// that is the viewers' too: whoever watches could send.
func (c Config) checkDeviceTokens() error {
	for device, tokens := range c.DeviceTokens {
		for _, token := range tokens {
			if err := checkDeviceToken(device, token); err != nil {
				return fmt.Errorf("relay.device_tokens_file: %w", err)
			}
		}
		if slices.Contains(tokens, c.Token) {
			return fmt.Errorf("relay.device_tokens_file: the token of %q is the viewers' too: give each its own", device)
		}
	}
	if c.PublishToken != "" && c.PublishToken == c.Token {
		return fmt.Errorf("relay.publish_token_file holds the viewers' token: whoever watches could send; give each its own")
	}
	return nil
}
