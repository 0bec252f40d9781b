package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

// release clones the last commit of a repository and makes a release of it, for this machine's architecture. It returns the
// clone and the directory of the release.
func release(t *testing.T, repository, name string) (root, out string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), name)
	if _, err := command(".", nil, "git", "clone", "--quiet", repository, root); err != nil {
		t.Fatal(err)
	}
	dist := filepath.Join(root, page, "dist")
	if err := os.RemoveAll(dist); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dist, os.DirFS("../../"+page+"/dist")); err != nil { // npm need not run for each
		t.Fatal(err)
	}
	out = filepath.Join(t.TempDir(), "out")
	architecture := cmp.Or(map[string]string{"arm": "armhf"}[runtime.GOARCH], runtime.GOARCH)
	if err := run(options{root: root, out: out, only: architecture, whole: true}); err != nil {
		t.Fatal(err)
	}
	return root, out
}

func TestRelease(t *testing.T) {
	if err := generate("../..", false); err != nil {
		t.Fatal(err)
	}
	clone, dir := release(t, "../..", "one")
	_, second := release(t, clone, filepath.Join("another", "directory"))
	sums := read(t, dir, "SHA256SUMS")
	if other := read(t, second, "SHA256SUMS"); !bytes.Equal(sums, other) {
		t.Errorf("the same commit in two directories gives\n%s\nand\n%s", sums, other)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != bytes.Count(sums, []byte("\n"))+1 {
		t.Errorf("%d files (%v), want those in SHA256SUMS and itself:\n%s", len(all), err, sums)
	}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := fmt.Sprintf("%x", sha256.Sum256(read(t, dir, name))); got != sum {
			t.Errorf("%s has the sum %s, want %s", name, got, sum)
		}
	}
	if err := run(options{root: "../..", out: dir, whole: true}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a directory with another release: %v", err)
	}
	t.Run("archive and contents", func(t *testing.T) { testContents(t, dir) })
	t.Run("image", func(t *testing.T) { testImage(t, dir) })
	t.Run("signatures", func(t *testing.T) { testSignatures(t, dir) })
}

// read returns the one file in a directory that matches a pattern.
func read(t *testing.T, dir, pattern string) []byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%q matches %q (%v), want one file", pattern, paths, err)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// unpack returns the files of an archive by name.
func unpack(t *testing.T, r io.Reader, each func(h *tar.Header, content []byte)) {
	t.Helper()
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		content, err2 := io.ReadAll(files)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		each(h, content)
	}
}

func unzip(t *testing.T, packed []byte) io.Reader {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testContents(t *testing.T, dir string) {
	var program []byte
	unpack(t, unzip(t, read(t, dir, "*.tar.gz")), func(h *tar.Header, content []byte) {
		if strings.HasSuffix(h.Name, "/bin/gpsbridge") && h.Mode == 0o755 {
			program = content
		}
	})
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	var bom cyclonedx.BOM
	if err := json.Unmarshal(read(t, dir, "*.cdx.json"), &bom); err != nil {
		t.Fatal(err)
	}
	for _, c := range *bom.Components {
		list[c.PackageURL] = (*c.Licenses)[0].Expression
	}
	want := []string{"pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want = append(want, "pkg:golang/"+m.Path+"@"+m.Version)
	}
	if _, err := os.Stat("../../" + page + "/dist/map.js.gz"); err == nil {
		var about struct{ Dependencies map[string]string }
		if err := json.Unmarshal(read(t, "../../"+page, "package.json"), &about); err != nil || len(about.Dependencies) == 0 {
			t.Fatal("no dependencies in package.json", err)
		}
		for name, version := range about.Dependencies {
			want = append(want, "pkg:npm/"+name+"@"+version)
		}
	}
	for _, url := range want {
		if list[url] == "" {
			t.Errorf("the list does not have %s with a licence", url)
		}
	}
}

// testImage follows the image from index to layer, and starts it as a container engine would.
func testImage(t *testing.T, dir string) {
	files := map[string][]byte{}
	unpack(t, bytes.NewReader(read(t, dir, "*_image.tar")), func(h *tar.Header, content []byte) { files[h.Name] = content })
	blob := func(d v1.Descriptor) []byte {
		content := files["blobs/sha256/"+d.Digest.Encoded()]
		if fmt.Sprintf("sha256:%x", sha256.Sum256(content)) != d.Digest.String() || int64(len(content)) != d.Size {
			t.Fatalf("blob %v is missing, or has other content", d)
		}
		return content
	}
	decode := func(content []byte, into any) {
		if err := json.Unmarshal(content, into); err != nil {
			t.Fatal(err)
		}
	}
	var index, platforms v1.Index
	var manifest v1.Manifest
	var image v1.Image
	decode(files[v1.ImageIndexFile], &index)
	decode(blob(index.Manifests[0]), &platforms)
	decode(blob(platforms.Manifests[0]), &manifest)
	decode(blob(manifest.Config), &image)
	if image.Architecture != runtime.GOARCH || image.Config.User != "65532:65532" {
		t.Errorf("the image is for %s and user %q", image.Architecture, image.Config.User)
	}
	layer, err := io.ReadAll(unzip(t, blob(manifest.Layers[0])))
	if err != nil || image.RootFS.DiffIDs[0].String() != fmt.Sprintf("sha256:%x", sha256.Sum256(layer)) {
		t.Errorf("the layer has another sum than the configuration states (%v)", err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root starts a program in another root directory: sudo go test")
	}
	root := t.TempDir()
	unpack(t, bytes.NewReader(layer), func(h *tar.Header, content []byte) {
		path := filepath.Join(root, h.Name)
		var err error
		if h.Typeflag == tar.TypeDir {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, content, 0o600)
		}
		if err := errors.Join(err, os.Chown(path, h.Uid, h.Gid), os.Chmod(path, h.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	})
	if !x509.NewCertPool().AppendCertsFromPEM(read(t, root, "etc/ssl/certs/ca-certificates.crt")) {
		t.Error("no certificate authority in the image")
	}

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, image.Config.Entrypoint[0], "relay", "--listen=127.0.0.1:0", "--publish-token-file=token")
	cmd.Dir, cmd.Env, cmd.Stderr = image.Config.WorkingDir, image.Config.Env, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "viewers:  http://127.0.0.1:") {
		t.Errorf("the relay in the image prints %q (%v)", line, err)
	}
	if len(read(t, root, "var/lib/gpsbridge/token")) < 16 {
		t.Error("the relay in the image has no token")
	}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		t.Errorf("the end of the relay in the image: %v", err)
	}
}

func testSignatures(t *testing.T, dir string) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed: apt install gpg gpg-agent gpgv")
	}
	home, err := os.MkdirTemp("", "gpg-") // shorter than t.TempDir, for the socket of the agent
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", home)
	t.Cleanup(func() {
		_, _ = command(home, []string{"GNUPGHOME=" + home}, "gpgconf", "--kill", "all")
		_ = os.RemoveAll(home)
	})
	const key = "publisher@example.org"
	if _, err := command(dir, nil, "gpg", "--batch", "--passphrase=", "--quick-generate-key", key, "ed25519", "sign"); err != nil {
		t.Fatal(err)
	}
	if err := (&source{out: dir}).sign(key); err != nil {
		t.Fatal(err)
	}
	keyring := filepath.Join(home, "public.gpg")
	for _, args := range [][]string{
		{"gpg", "--dearmor", "--output", keyring, "gpsbridge.asc"},
		{"gpgv", "--keyring", keyring, "--output", filepath.Join(home, "Release"), "InRelease"},
		{"gpgv", "--keyring", keyring, "SHA256SUMS.asc", "SHA256SUMS"},
	} {
		if _, err := command(dir, nil, args[0], args[1:]...); err != nil {
			t.Error(err)
		}
	}
	if signed := read(t, home, "Release"); !bytes.Equal(signed, read(t, dir, "Release")) {
		t.Errorf("what is signed is not the index:\n%s", signed)
	}
}

func TestChangesOfAVersion(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, ".github"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "# Changes\n\n## Unreleased\n\n- new\n\n## 1.2.3 - 2026-11-29\n\n- old\n\n## 1.2.2 - 2026-11-01\n\n- oldest\n"
	if err := os.WriteFile(filepath.Join(root, ".github", "CHANGELOG.md"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		version version
		want    string
	}{
		{version{number: "1.2.3"}, "## Unreleased\n\n- new\n"},
		{version{number: "1.2.3", tagged: true}, "## 1.2.3 - 2026-11-29\n\n- old\n"},
	} {
		if got, err := (&source{root: root, version: test.version}).changes(); err != nil || got != test.want {
			t.Errorf("%v: %q, %v, want %q", test.version, got, err, test.want)
		}
	}
	if got, err := (&source{root: root, version: version{number: "1.3.0", tagged: true}}).changes(); err == nil {
		t.Errorf("a version without a section: %q, want an error", got)
	}
}
