package config

import (
	"fmt"
	"os"
	"strings"
)

// ReadSecret returns the one line of a file, "" when there is no file to read.
func ReadSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" || strings.ContainsAny(secret, "\r\n\t ") {
		return "", fmt.Errorf("%s must hold one line with the secret and nothing else", path)
	}
	return secret, nil
}
