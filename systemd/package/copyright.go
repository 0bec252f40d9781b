package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// copyright collects the notices of everything that is compiled into the program, as its licences require.
func copyright(root string) (string, error) {
	// All architectures are built from the same packages.
	list, err := command(root, []string{"GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"}, "go", "list", "-deps",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}", "./cmd/gpsbridge")
	if err != nil {
		return "", err
	}
	goroot, err := command(root, nil, "go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(list), "\n")
	slices.Sort(lines)
	var b strings.Builder
	b.WriteString("gpsbridge states no licence of its own: ask its maintainers.\n\nIt contains what follows.\n")
	for _, line := range append(slices.Compact(lines), "the Go standard library, "+strings.TrimSpace(goroot)) {
		if line == "" {
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		notice, err := notices(line[cut+1:])
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s", strings.Repeat("-", 78), strings.TrimRight(line[:cut], ","), notice)
	}
	return b.String(), nil
}

// commonLicence is a text that every Debian system has: by policy packages refer to it instead of repeating it.
var commonLicence = regexp.MustCompile(`(?s)^\s*Apache License\s+Version 2\.0, January 2004`)

// notices returns the licence files in a directory.
func notices(dir string) (string, error) {
	var b strings.Builder
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			if commonLicence.Match(text) {
				text = []byte("Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0\n")
			}
			b.Write(text)
		}
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("%s has no licence file: a package must state the terms of everything in it", dir)
	}
	return b.String(), nil
}
