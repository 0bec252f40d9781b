// Package secret reads tokens from their files, and shows addresses without what may be secret in them. It is a leaf that
// every package may use.
package secret

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"gpsbridge/bridge/directory"
	"gpsbridge/bridge/problem"
)

// Codes of what Read finds wrong. Its problems have no key: callers know which one named the file.
const (
	CodeMissing    problem.Code = "secret-file-missing"
	CodeUnreadable problem.Code = "secret-file-unreadable"
	CodeInvalid    problem.Code = "secret-file-invalid" // not one line of printable ASCII without spaces
)

// Read returns the token in a file: one line of printable ASCII without spaces, which is what a header can carry. Its error is
// a problem, which wraps that of the file and shows nothing of the token.
func Read(path string) (string, error) {
	text, err := directory.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &problem.Problem{Code: CodeMissing, Cause: fmt.Sprintf("file %q does not exist", path), Fix: "create it, or remove the key", Err: err}
	case err != nil:
		return "", &problem.Problem{Code: CodeUnreadable, Cause: fmt.Sprintf("file %q cannot be read: %v", path, cmp.Or(errors.Unwrap(err), err)),
			Fix: "let the user that runs gpsbridge read it", Err: err}
	}
	token := strings.TrimSpace(string(text))
	if Check(token) != nil {
		return "", &problem.Problem{Code: CodeInvalid, Cause: fmt.Sprintf("file %q does not hold a token", path),
			Fix: "write one line of printable ASCII without spaces into it"}
	}
	return token, nil
}

// Check returns what is wrong with a token. Its problem shows nothing of it.
func Check(token string) error {
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return &problem.Problem{Code: CodeInvalid, Cause: "that is not a token", Fix: "use printable ASCII without spaces"}
	}
	return nil
}

// ReadOrCreate reads a token, and creates it and its file where that is missing: 130 random bits, readable by the owner alone.
func ReadOrCreate(path string) (string, error) {
	token, err := Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	token = rand.Text()
	if err := directory.Replace(path, []byte(token+"\n"), 0o600); err != nil {
		return "", &problem.Problem{Code: CodeUnreadable, Cause: fmt.Sprintf("file %q cannot be created: %v", path, cmp.Or(errors.Unwrap(err), err)),
			Fix: "name a file in a directory that this user may write", Err: err}
	}
	return token, nil
}

// RedactURL returns an address as it may be shown: without user, password, fragment and the values of its query; "" for what
// is not an address.
func RedactURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	if u.RawQuery != "" {
		var names []string
		for pair := range strings.SplitSeq(u.RawQuery, "&") {
			name, _, _ := strings.Cut(pair, "=")
			names = append(names, name+"=...")
		}
		u.RawQuery = strings.Join(names, "&")
	}
	return u.String()
}
