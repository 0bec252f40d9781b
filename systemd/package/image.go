package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageUser is the user and group of the program in a container. No system has a user of that number.
const imageUser = 65532

// layout is an OCI image layout (github.com/opencontainers/image-spec/blob/main/image-layout.md). Its files are written here and
// not by buildah or another builder, which need user namespaces or root, and write the time of their run.
type layout []entry

// add adds a blob and returns what names it.
func (l *layout) add(mediaType string, content []byte) v1.Descriptor {
	d := digest.FromBytes(content)
	*l = append(*l, entry{name: v1.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded(), content: content, mode: 0o644})
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

// addJSON adds a blob of a value.
func (l *layout) addJSON(mediaType string, value any) (v1.Descriptor, error) {
	content, err := json.Marshal(value)
	return l.add(mediaType, content), err
}

// makeImage writes one image for all platforms that have a package.
func (s *source) makeImage(all []platform) error {
	var l layout
	list := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Annotations: s.annotations()}
	for _, p := range all {
		if p.debian == "" {
			continue
		}
		manifest, err := s.imageOf(p, &l)
		if err != nil {
			return err
		}
		list.Manifests = append(list.Manifests, manifest)
	}
	images, err := l.addJSON(v1.MediaTypeImageIndex, list)
	if err != nil {
		return err
	}
	tag := strings.ReplaceAll(s.version.debian(), "+", "_") // which a tag may not have
	images.Annotations = map[string]string{v1.AnnotationRefName: tag, "io.containerd.image.name": "localhost/gpsbridge:" + tag}
	for name, value := range map[string]any{
		v1.ImageIndexFile:  v1.Index{Versioned: list.Versioned, MediaType: list.MediaType, Manifests: []v1.Descriptor{images}},
		v1.ImageLayoutFile: v1.ImageLayout{Version: v1.ImageLayoutVersion},
	} {
		content, err := json.Marshal(value)
		if err != nil {
			return err
		}
		l = append(l, entry{name: name, content: content, mode: 0o644})
	}
	slices.SortFunc(l, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	packed, err := pack(l, s.version.time)
	if err != nil {
		return err
	}
	return s.write(s.name("_image.tar"), packed)
}

// imageOf adds the image for one platform: the program alone in one layer, with what it reads of a system.
func (s *source) imageOf(p platform, l *layout) (v1.Descriptor, error) {
	program, err := os.ReadFile(s.program(p))
	if err != nil {
		return v1.Descriptor{}, err
	}
	files, err := pack([]entry{
		{name: "etc/ssl/certs/ca-certificates.crt", content: authorities(), mode: 0o644},
		{name: "tmp/", mode: 0o1777},
		{name: "usr/bin/gpsbridge", content: program, mode: 0o755},
		{name: copyrightFile[1:], content: []byte(s.notices), mode: 0o644},
		{name: "var/lib/gpsbridge/", mode: 0o750, owner: imageUser},
	}, s.version.time)
	if err != nil {
		return v1.Descriptor{}, err
	}
	packed, err := compress(files, gzip.DefaultCompression)
	if err != nil {
		return v1.Descriptor{}, err
	}
	about := v1.Platform{OS: p.os, Architecture: p.arch, Variant: p.variant}
	config, err := l.addJSON(v1.MediaTypeImageConfig, v1.Image{
		Created: &s.version.time, Author: maintainer, Platform: about,
		Config: v1.ImageConfig{User: "65532:65532", Entrypoint: []string{"/usr/bin/gpsbridge"}, WorkingDir: "/var/lib/gpsbridge",
			Env: []string{"PATH=/usr/bin"}, Labels: s.annotations()},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(files)}},
		History: []v1.History{{Created: &s.version.time, CreatedBy: "gpsbridge systemd/package"}},
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	manifest, err := l.addJSON(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Annotations: s.annotations(),
		Config: config, Layers: []v1.Descriptor{l.add(v1.MediaTypeImageLayerGzip, packed)},
	})
	manifest.Platform = &about
	return manifest, err
}

// annotations describe the image.
func (s *source) annotations() map[string]string {
	a := map[string]string{
		v1.AnnotationTitle: "gpsbridge", v1.AnnotationDescription: summary, v1.AnnotationVersion: s.version.debian(),
		v1.AnnotationRevision: s.version.commit, v1.AnnotationCreated: s.version.time.Format("2006-01-02T15:04:05Z"),
		v1.AnnotationAuthors: maintainer,
	}
	if homepage != "" {
		a[v1.AnnotationURL] = homepage
	}
	return a
}

// authorities are Mozilla's certificate authorities, without which no wss:// server is trusted. Those that Mozilla trusts
// under a condition are left out: the file cannot state it.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
		}
	}
	return b.Bytes()
}
