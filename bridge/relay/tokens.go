package relay

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"gpsbridge/bridge/problem"
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
	if len(token) < minToken {
		return tokenProblem(fmt.Sprintf("the token of %q is shorter than %d characters", device, minToken), makeToken)
	}
	if p := problem.Of(checkToken("device_tokens_file", token, false)); p != nil {
		p.Cause += fmt.Sprintf(", of device %q", device)
		return p
	}
	return nil
}

// checkDeviceTokens finds what ReadDeviceTokens would have refused, and a token
// that is the viewers' too: viewers could send.
func (c Config) checkDeviceTokens() error {
	for device, tokens := range c.DeviceTokens {
		for _, token := range tokens {
			if p := checkDeviceToken(device, token); p != nil {
				return p
			}
		}
		if slices.Contains(tokens, c.Token) {
			return &problem.Problem{Code: CodeTokenShared, Key: "device_tokens_file",
				Cause: fmt.Sprintf("the token of %q is the viewers' too, so viewers could send", device), Fix: "use different tokens"}
		}
	}
	if c.PublishToken != "" && c.PublishToken == c.Token {
		return &problem.Problem{Code: CodeTokenShared, Key: "publish_token_file", Cause: "the token is the viewers' too, so viewers could send",
			Fix: "use different tokens"}
	}
	return nil
}
