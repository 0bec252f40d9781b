package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

// revision is the package's own part of the version.
const revision = "1"

const description = `gpsbridge reads NMEA 0183 sentences from a GPS receiver on USB or a UART,
makes one JSON fix of each epoch, and pushes it over one persistent WebSocket
to the tracking group of its device ID. Fixes are kept until the server has
acknowledged them, over outages and power cuts. Viewers near the vehicle watch
the same group on a local page.`

// makeDeb writes the package of the program for one platform.
func (s *source) makeDeb(p platform) error {
	info := nfpm.WithDefaults(s.info(p))
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := deb.Default.Package(info, &b); err != nil {
		return err
	}
	return s.write(deb.Default.ConventionalFileName(info), b.Bytes())
}

// info describes the package to nfpm.
func (s *source) info(p platform) *nfpm.Info {
	here := func(name string) string { return filepath.Join(s.root, "systemd", "package", name) }
	return &nfpm.Info{
		Name: "gpsbridge", Arch: p.debian, Platform: p.os,
		Version: s.version.debian(), VersionSchema: "none", Release: revision,
		Section: "misc", Priority: "optional", Maintainer: maintainer, Homepage: homepage, Description: summary + "\n" + description,
		MTime: s.version.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			// Without certificate authorities no wss:// server is trusted.
			Recommends: []string{"ca-certificates"},
			Suggests:   []string{"libnss-systemd"},
			Contents:   s.contents(s.program(p)),
			Scripts:    nfpm.Scripts{PostInstall: here("postinst"), PreRemove: here("prerm"), PostRemove: here("postrm")},
			Deb:        nfpm.Deb{Compression: "xz"},
		},
	}
}

// contents lists the package's files.
func (s *source) contents(program string) files.Contents {
	const unitDir, docDir = "/usr/lib/systemd/system/", "/usr/share/doc/gpsbridge/"
	list := files.Contents{
		content(program, "/usr/bin/gpsbridge", 0o755),
		content(filepath.Join(s.root, "systemd", "relay-secrets"), "/usr/lib/gpsbridge/relay-secrets", 0o755),
	}
	for destination, name := range map[string]string{
		unitDir + "gpsbridge.service":              "gpsbridge.service",
		unitDir + "gpsbridge@.service":             "gpsbridge@.service",
		unitDir + "gpsbridge-relay.service":        "gpsbridge-relay.service",
		"/usr/lib/udev/rules.d/60-gpsbridge.rules": "60-gpsbridge.rules",
		docDir + "examples/limit-addresses.conf":   "limit-addresses.conf",
		"/usr/share/lintian/overrides/gpsbridge":   "package/lintian-overrides",
		"/etc/gpsbridge/gpsbridge.toml":            "gpsbridge.toml",
		"/etc/gpsbridge/relay.toml":                "relay.toml",
	} {
		list = append(list, content(filepath.Join(s.root, "systemd", name), destination, 0o644))
	}
	for destination, path := range s.docs {
		list = append(list, content(path, destination, 0o644))
	}
	return list // nfpm sorts
}

func content(source, destination string, mode os.FileMode) *files.Content {
	c := &files.Content{Source: source, Destination: destination, FileInfo: &files.ContentFileInfo{Mode: mode}}
	if strings.HasPrefix(destination, "/etc/") {
		c.Type = files.TypeConfig // what the administrator changed is kept
	}
	return c
}

// doc adds a document to the package, compressed when its name ends in .gz.
func (s *source) doc(destination, text string) error {
	b := []byte(text)
	if strings.HasSuffix(destination, ".gz") {
		var err error
		if b, err = compress(b, gzip.BestCompression); err != nil { // lintian asks for it
			return err
		}
	}
	path := filepath.Join(s.work, filepath.Base(destination))
	s.docs[destination] = path
	return os.WriteFile(path, b, 0o644)
}

// changelog has the one entry that is certain.
func (s *source) changelog() string {
	return fmt.Sprintf("gpsbridge (%s-%s) unstable; urgency=medium\n\n  * Made of commit %s.\n\n -- %s  %s\n",
		s.version.debian(), revision, s.version.commit, maintainer, s.version.time.Format(time.RFC1123Z))
}
