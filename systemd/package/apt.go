package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blakesmith/ar"
)

// makeIndex makes the directory an apt repository of the packages in it, in the flat form (wiki.debian.org/DebianRepository/Format).
func (s *source) makeIndex() error {
	var index strings.Builder
	var architectures []string
	for _, name := range slices.Sorted(maps.Keys(s.sums)) {
		if filepath.Ext(name) != ".deb" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(s.out, name))
		if err != nil {
			return err
		}
		about, err := control(content)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&index, "%s\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n", about, name, len(content), s.sums[name])
		_, after, _ := strings.Cut(about, "\nArchitecture: ")
		architecture, _, _ := strings.Cut(after, "\n")
		architectures = append(architectures, architecture)
	}
	packed, err := compress([]byte(index.String()), gzip.BestCompression)
	if err != nil {
		return err
	}
	// No Suite and no Version: apt asks before it takes others than the last time.
	release := fmt.Sprintf("Origin: gpsbridge\nLabel: gpsbridge\nDate: %s\nArchitectures: %s\nDescription: %s\nSHA256:\n",
		s.version.time.Format("Mon, 02 Jan 2006 15:04:05 UTC"), strings.Join(architectures, " "), summary)
	for _, file := range []entry{{name: "Packages", content: []byte(index.String())}, {name: "Packages.gz", content: packed}} {
		if err := s.write(file.name, file.content); err != nil {
			return err
		}
		release += fmt.Sprintf(" %x %d %s\n", sha256.Sum256(file.content), len(file.content), file.name)
	}
	return s.write("Release", []byte(release))
}

// control returns what a package states about itself.
func control(deb []byte) (string, error) {
	for members := ar.NewReader(bytes.NewReader(deb)); ; {
		header, err := members.Next()
		if err != nil {
			return "", fmt.Errorf("find control.tar.gz: %w", err)
		}
		if strings.TrimSuffix(header.Name, "/") != "control.tar.gz" {
			continue
		}
		unzipped, err := gzip.NewReader(members)
		if err != nil {
			return "", err
		}
		for files := tar.NewReader(unzipped); ; {
			file, err := files.Next()
			if err != nil {
				return "", fmt.Errorf("find control: %w", err)
			}
			if filepath.Base(file.Name) == "control" {
				text, err := io.ReadAll(files)
				return strings.TrimSpace(string(text)), err
			}
		}
	}
}
