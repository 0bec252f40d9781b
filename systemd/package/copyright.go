package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a Go module of which something is compiled into the program, or the standard library ("std").
type module struct{ path, version, dir string }

// listModules returns all of which something is in the program for any platform, by path, and the standard library as the last.
func listModules(root string) ([]module, error) {
	var lines []string
	for _, system := range []string{"linux", "darwin", "freebsd"} {
		list, err := command(root, []string{"GOOS=" + system, "CGO_ENABLED=0"}, "go", "list", "-deps",
			"-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}", "./cmd/gpsbridge")
		if err != nil {
			return nil, err
		}
		lines = append(lines, strings.Split(strings.TrimSpace(list), "\n")...)
	}
	here, err := command(root, nil, "go", "env", "GOVERSION", "GOROOT")
	if err != nil {
		return nil, err
	}
	slices.Sort(lines)
	lines = append(slices.Compact(lines), "std "+strings.TrimPrefix(strings.Replace(strings.TrimSpace(here), "\n", " ", 1), "go"))
	var modules []module
	for _, line := range lines {
		if field := strings.SplitN(line, " ", 3); len(field) == 3 { // not the empty line of the program's own packages
			modules = append(modules, module{field[0], field[1], field[2]})
		}
	}
	return modules, nil
}

// authoritiesModule is the module that the certificate authorities of the image come from.
func authoritiesModule(root string) (module, error) {
	line, err := command(filepath.Join(root, "systemd", "package"), nil, "go", "list", "-m", "-f", "{{.Path}} {{.Version}} {{.Dir}}",
		"golang.org/x/crypto/x509roots/fallback")
	field := append(strings.SplitN(strings.TrimSpace(line), " ", 3), "", "")
	return module{field[0], field[1], field[2]}, err
}

// copyright collects the notices of modules and of what is in the page, as their licences require. In a package of Debian it
// names a text that every Debian system has, instead of repeating it.
func (s *source) copyright(modules []module, inDebian bool) (string, error) {
	var b strings.Builder
	b.WriteString("gpsbridge states no licence of its own: ask its maintainers.\n\nIt contains what follows.\n")
	for _, m := range modules {
		notice, err := notices(m.dir, inDebian)
		if err != nil {
			return "", err
		}
		name := m.path + " " + m.version
		if m.path == "std" {
			name = "the Go standard library"
		}
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s", strings.Repeat("-", 78), name, notice)
	}
	bundled, err := s.pageNotices()
	return b.String() + bundled, err
}

// pageNotices returns the notices of what is bundled in the page, "" without that.
func (s *source) pageNotices() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.root, page, "dist", "NOTICES.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return "\n" + strings.Repeat("-", 78) + "\nThe viewer page. " + string(text), err
}

// commonLicence is a text that every Debian system has, to which packages refer by policy. A file may have it beside others.
var commonLicence = regexp.MustCompile(`(?s)[ \t]*Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS[ \t]*\n` +
	`(\s*APPENDIX: .*?third-party archives\.[ \t]*\n)?`)

// licenceFiles returns the files in a directory whose names match a pattern.
func licenceFiles(dir string, patterns ...string) (paths []string, err error) {
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has no licence file: a package must state the terms of everything in it", dir)
	}
	return paths, nil
}

// notices returns the licence files in a directory.
func notices(dir string, inDebian bool) (string, error) {
	paths, err := licenceFiles(dir, "LICEN[CS]E*", "COPYING*", "NOTICE*")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if inDebian {
			text = commonLicence.ReplaceAllLiteral(text, []byte("Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0\n"))
		}
		b.Write(text)
	}
	return b.String(), nil
}
