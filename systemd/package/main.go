// Command package makes the Debian packages of gpsbridge, for arm64, armhf (ARMv6 and later) and amd64, or a whole release:
//
//	go -C systemd/package run .
//	go -C systemd/package run . release
//
// A release is a directory of files, and at the same time an apt repository that any web server can serve:
//
//	gpsbridge_V-1_ARCH.deb            the packages
//	gpsbridge_V_OS_ARCH.tar.gz        program, manuals and completions for Linux, macOS and FreeBSD
//	gpsbridge_V_image.tar             a container image from scratch for amd64, arm64 and arm/v6, as an OCI image layout
//	gpsbridge_V.cdx.json              what all of them contain, with versions and licences (CycloneDX)
//	gpsbridge_V.md                    the section of .github/CHANGELOG.md
//	Packages, Packages.gz, Release    what apt reads
//	SHA256SUMS                        sums of all the others
//
// With -sign KEY, gpg signs it with that key: InRelease for apt, SHA256SUMS.asc, and gpsbridge.asc with the public key.
// Without, apt needs [trusted=yes]. ../README.md has both.
//
// It is a module of its own so that what it imports stays out of the program's. The same commit, built by the same Go,
// gives the same bytes except for signatures: times are the commit's (SOURCE_DATE_EPOCH goes over it), and no path of the
// machine gets in. The version is the tag vX.Y.Z of the commit, or the last one's with the time and the name of the commit
// added.
//
// Where npm is installed and the page's generated files are missing or older than their sources, go generate makes them
// first; without npm the page has no map, and a whole release is refused. project.go names homepage and maintainer.
package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// platform is what a program is built for. Names are Go's.
type platform struct {
	os, arch string
	variant  string // of the architecture: "v6"
	debian   string // the architecture's name in Debian where there are a package and an image for it, "" for neither
	oldest   string // processor that it runs on, or for armhf that Raspberry Pi OS runs on: a variable of Go
}

func (p platform) String() string { return p.os + "_" + p.arch + p.variant }

func platforms() []platform {
	return []platform{
		{"linux", "arm64", "", "arm64", "GOARM64=v8.0"},
		{"linux", "arm", "v6", "armhf", "GOARM=6"},
		{"linux", "amd64", "", "amd64", "GOAMD64=v1"},
		{"linux", "riscv64", "", "", "GORISCV64=rva20u64"},
		{"darwin", "arm64", "", "", "GOARM64=v8.0"},
		{"darwin", "amd64", "", "", "GOAMD64=v1"},
		{"freebsd", "amd64", "", "", "GOAMD64=v1"},
	}
}

// options are what the command line chooses.
type options struct {
	root, out string
	only      string // architecture, in Debian's name; "" for all platforms
	whole     bool   // a release, not the packages alone
	key       string // of gpg, "" for no signature
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", "../..", "`DIRECTORY` of the project")
	flag.StringVar(&o.out, "o", "dist", "`DIRECTORY` for what is made")
	flag.StringVar(&o.only, "arch", "", "`ARCHITECTURE` to make instead of all: arm64, armhf or amd64")
	flag.StringVar(&o.key, "sign", "", "`KEY` of gpg to sign a release with")
	args := os.Args[1:]
	if o.whole = len(args) > 0 && args[0] == "release"; o.whole {
		args = args[1:]
	}
	_ = flag.CommandLine.Parse(args) // exits on an error
	err := fmt.Errorf("unknown argument %q: use release, before all flags, or none", flag.Arg(0))
	if flag.NArg() == 0 {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

// run makes packages or a release, and prints what it is doing and what it has made.
func run(o options) error {
	wanted := slices.DeleteFunc(platforms(), func(p platform) bool {
		return o.only != "" && p.debian != o.only || !o.whole && p.debian == ""
	})
	if len(wanted) == 0 {
		return fmt.Errorf("unknown architecture %q: use arm64, armhf or amd64", o.only)
	}
	if o.key != "" && !o.whole {
		return errors.New("packages alone are not signed: use release -sign KEY")
	}
	work, err := os.MkdirTemp("", "gpsbridge-package-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	s := &source{work: work, out: o.out, docs: map[string]string{}, sums: map[string][sha256.Size]byte{}, since: time.Now()}
	if s.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if err := s.prepare(o); err != nil {
		return err
	}
	for i, p := range wanted {
		s.progress("%s, platform %d of %d", p, i+1, len(wanted))
		if err := s.make(p, o.whole); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if !o.whole {
		return nil
	}
	return s.finish(wanted, o.key)
}

// source is what everything is made of, and the sums of what has been made.
type source struct {
	root, work, out string
	version         version
	modules         []module
	docs            map[string]string // path in the package to a file with its content
	notices         string            // of a release, whole
	sums            map[string][sha256.Size]byte
	since           time.Time
}

// completions are where shells of Debian look for their scripts.
var completions = map[string]string{
	"bash": "/usr/share/bash-completion/completions/gpsbridge",
	"zsh":  "/usr/share/zsh/vendor-completions/_gpsbridge",
	"fish": "/usr/share/fish/vendor_completions.d/gpsbridge.fish",
}

// prepare makes what all platforms share: generated files of the page, man pages, completions, changelog, copyright.
func (s *source) prepare(o options) (err error) {
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	if left, err := os.ReadDir(s.out); o.whole && (err != nil || len(left) > 0) {
		return cmp.Or(err, fmt.Errorf("%s is not empty, and a release is served whole: remove it, or name another directory with -o", s.out))
	}
	if s.version, err = readVersion(s.root); err != nil {
		return err
	}
	s.progress("gpsbridge %s: page, manuals, notices", s.version.debian())
	if err := generate(s.root, o.whole && o.only == ""); err != nil {
		return err
	}
	native := filepath.Join(s.work, "gpsbridge-here")
	if err := s.build(native, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH); err != nil {
		return err
	}
	if err := s.manuals(native); err != nil {
		return err
	}
	for shell, path := range completions {
		text, err := command(s.work, nil, native, "completion", shell)
		if err != nil {
			return err
		}
		if err := s.doc(path, text); err != nil {
			return err
		}
	}
	if s.modules, err = listModules(s.root); err != nil {
		return err
	}
	notice, err := s.copyright(s.modules, true)
	if err != nil {
		return err
	}
	if err := s.doc(copyrightFile, notice); err != nil {
		return err
	}
	if err := s.doc(changelogFile, s.changelog()); err != nil || !o.whole {
		return err
	}
	return s.prepareRelease()
}

// Where a package of Debian has its notices and its changes.
const (
	copyrightFile = "/usr/share/doc/gpsbridge/copyright"
	changelogFile = "/usr/share/doc/gpsbridge/changelog.Debian.gz"
)

// page is the directory of the viewer page, whose generated files are not in the repository.
const page = "bridge/relay/page"

// generate makes the page's generated files where they are missing or older than their sources, and npm is there.
func generate(root string, needMap bool) error {
	newest, err := changed(root, time.Time.After, "src/*", "build.mjs", "package*.json")
	if err != nil {
		return err
	}
	made, err := changed(root, time.Time.Before, "dist/[^.]*")
	if err != nil || made.After(newest) {
		return err
	}
	if _, err := exec.LookPath("npm"); err != nil {
		if needMap {
			return fmt.Errorf("npm is missing and %s/dist is empty or old: install npm, a release has a street map", page)
		}
		fmt.Fprintln(os.Stderr, "package: npm is missing and "+page+"/dist is empty or old: the page will have no street map, or an old one: install npm for it")
		return nil
	}
	_, err = command(root, nil, "go", "generate", "./"+page)
	return err
}

// changed returns the first time in an order at which files of the page changed, zero where there is none.
func changed(root string, first func(a, b time.Time) bool, patterns ...string) (at time.Time, err error) {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(root, page, pattern))
		if err != nil {
			return at, err
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				return at, err
			}
			if t := info.ModTime(); at.IsZero() || first(t, at) {
				at = t
			}
		}
	}
	return at, nil
}

// make builds the program for one platform, and makes what holds it alone: its package and, for a release, its archive.
func (s *source) make(p platform, whole bool) error {
	if err := s.build(s.program(p), "GOOS="+p.os, "GOARCH="+p.arch, p.oldest); err != nil {
		return err
	}
	if p.debian != "" {
		if err := s.makeDeb(p); err != nil {
			return err
		}
	}
	if !whole {
		return nil
	}
	return s.makeArchive(p)
}

// program is where the program for a platform is built.
func (s *source) program(p platform) string { return filepath.Join(s.work, p.String(), "gpsbridge") }

// build compiles gpsbridge to path.
func (s *source) build(path string, env ...string) error {
	flags := "-s -w -buildid= -X gpsbridge/bridge.version=" + s.version.stamp()
	_, err := command(s.root, append(env, "CGO_ENABLED=0"),
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", path, "./cmd/gpsbridge")
	return err
}

// write writes what was made, and prints its path and size.
func (s *source) write(name string, content []byte) error {
	path := filepath.Join(s.out, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	s.sums[name] = sha256.Sum256(content)
	fmt.Printf("%s  %d KiB\n", path, (len(content)+1023)/1024)
	return nil
}

// progress prints what begins now, and how long all before it took.
func (s *source) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%3.0f s: %s\n", time.Since(s.since).Seconds(), fmt.Sprintf(format, args...))
}

// command runs a program in a directory and returns its standard output.
func command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, complaint.String())
	}
	return string(out), nil
}
