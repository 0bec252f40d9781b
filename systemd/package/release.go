package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// prepareRelease collects the notices of all that is in a release, the certificate authorities of the image included.
func (s *source) prepareRelease() error {
	authorities, err := authoritiesModule(s.root)
	if err != nil {
		return err
	}
	s.modules = append(s.modules, authorities)
	s.notices, err = s.copyright(s.modules, false)
	return err
}

// finish makes what a release has once: image, list of contents, changes, index for apt, sums and signatures.
func (s *source) finish(all []platform, key string) error {
	s.progress("image, contents, changes, index")
	if err := s.makeImage(all); err != nil {
		return err
	}
	if err := s.makeContents(); err != nil {
		return err
	}
	changes, err := s.changes()
	if err != nil {
		return err
	}
	if err := s.write(s.name(".md"), []byte(changes)); err != nil {
		return err
	}
	if err := s.makeIndex(); err != nil {
		return err
	}
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.sums)) {
		fmt.Fprintf(&sums, "%x  %s\n", s.sums[name], name)
	}
	if err := s.write("SHA256SUMS", []byte(sums.String())); err != nil || key == "" {
		return err
	}
	return s.sign(key)
}

// name is the name of a file of the release that is not Debian's.
func (s *source) name(suffix string) string { return "gpsbridge_" + s.version.debian() + suffix }

// sign has gpg sign the index and the sums, and adds the public key.
func (s *source) sign(key string) error {
	s.progress("signatures of %s", key)
	for _, args := range [][]string{
		{"--clearsign", "--output", "InRelease", "Release"},
		{"--armor", "--detach-sign", "--output", "SHA256SUMS.asc", "SHA256SUMS"},
		{"--armor", "--output", "gpsbridge.asc", "--export", key},
	} {
		if _, err := command(s.out, nil, "gpg", append([]string{"--local-user", key}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// changes returns the section of the version in the changelog, or of a version that is not tagged what is unreleased.
func (s *source) changes() (string, error) {
	const file = ".github/CHANGELOG.md"
	text, err := os.ReadFile(filepath.Join(s.root, file))
	if err != nil {
		return "", err
	}
	version := "Unreleased"
	if s.version.tagged {
		version = s.version.number
	}
	for section := range strings.SplitSeq(string(text), "\n## ") {
		heading, _, _ := strings.Cut(section, "\n")
		if name, _, _ := strings.Cut(heading, " - "); name == version {
			return "## " + strings.TrimSpace(section) + "\n", nil
		}
	}
	return "", fmt.Errorf("%s has no section %q: rename what is unreleased there, with the date, before the tag is set", file, version)
}

// makeArchive packs the program with its documents: unpacked over /usr/local without its first directory, it is installed.
func (s *source) makeArchive(p platform) error {
	program, err := os.ReadFile(s.program(p))
	if err != nil {
		return err
	}
	prefix := s.name("_" + p.String())
	files := []entry{
		{name: prefix + "/bin/gpsbridge", content: program, mode: 0o755},
		{name: prefix + strings.TrimPrefix(copyrightFile, "/usr"), content: []byte(s.notices), mode: 0o644},
	}
	docs := maps.Clone(s.docs)
	delete(docs, copyrightFile)
	delete(docs, changelogFile)
	for _, name := range []string{"gpsbridge.toml", "relay.toml"} {
		docs["/usr/share/doc/gpsbridge/"+name] = filepath.Join(s.root, "systemd", name)
	}
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		content, err := os.ReadFile(docs[name])
		if err != nil {
			return err
		}
		files = append(files, entry{name: prefix + strings.TrimPrefix(name, "/usr"), content: content, mode: 0o644})
	}
	packed, err := pack(files, s.version.time)
	if err != nil {
		return err
	}
	if packed, err = compress(packed, gzip.DefaultCompression); err != nil { // the best takes three times as long for 0.4 %
		return err
	}
	return s.write(prefix+".tar.gz", packed)
}

// entry is a file of an archive, or, when its name ends in a slash, a directory.
type entry struct {
	name    string
	content []byte
	mode    int64
	owner   int // user and group
}

// pack makes an archive of files that all have the same time, with the directories above them.
func pack(files []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	known := map[string]bool{"./": true}
	var add func(e entry) error
	add = func(e entry) error {
		if known[e.name] {
			return nil
		}
		known[e.name] = true
		if err := add(entry{name: path.Dir(strings.TrimSuffix(e.name, "/")) + "/", mode: 0o755}); err != nil {
			return err
		}
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.content)), ModTime: at}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(e.content)
		return err
	}
	for _, e := range files {
		if err := add(e); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.name, err)
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// compress compresses at a level of package gzip.
func compress(b []byte, level int) ([]byte, error) {
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err = w.Close()
	return z.Bytes(), err
}
