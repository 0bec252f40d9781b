// Command package makes the Debian packages of gpsbridge, for arm64, armhf (ARMv6 and later) and amd64:
//
//	go -C systemd/package run .
//
// It is a module of its own so that what it imports stays out of the program's. The same commit, built by the same Go,
// gives the same bytes: times are the commit's (SOURCE_DATE_EPOCH goes over it), and no path of the machine gets in. The
// version is the tag vX.Y.Z of the commit, or the last one's with the time and the name of the commit added.
//
// Where npm is installed and the page's generated files are missing, go generate makes them first; without npm the page has
// no map. DEBFULLNAME and DEBEMAIL name the maintainer.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// architecture is a package and how to build for it. Names are Debian's.
type architecture struct {
	name string
	env  []string // the oldest processor that Debian, or for armhf Raspberry Pi OS, runs on
}

func architectures() []architecture {
	return []architecture{
		{"arm64", []string{"GOARCH=arm64", "GOARM64=v8.0"}},
		{"armhf", []string{"GOARCH=arm", "GOARM=6"}},
		{"amd64", []string{"GOARCH=amd64", "GOAMD64=v1"}},
	}
}

func main() {
	root := flag.String("root", "../..", "`DIRECTORY` of the project")
	out := flag.String("o", "dist", "`DIRECTORY` for the packages")
	only := flag.String("arch", "", "`ARCHITECTURE` to make instead of all: arm64, armhf or amd64")
	flag.Parse()
	if err := run(*root, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

// run makes the packages and prints their paths.
func run(root, out, only string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "gpsbridge-package-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	s, err := prepare(root, work)
	if err != nil {
		return err
	}
	made := 0
	for _, a := range architectures() {
		if only != "" && only != a.name {
			continue
		}
		path, err := s.makeDeb(a, out)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		fmt.Println(path)
		made++
	}
	if made == 0 {
		return fmt.Errorf("unknown architecture %q: use arm64, armhf or amd64", only)
	}
	return nil
}

// source is what the packages are made of, except the program itself.
type source struct {
	root, work string
	version    version
	maintainer string
	docs       map[string]string // path in the package to a file with its content
}

// completions are where shells of Debian look for their scripts.
var completions = map[string]string{
	"bash": "/usr/share/bash-completion/completions/gpsbridge",
	"zsh":  "/usr/share/zsh/vendor-completions/_gpsbridge",
	"fish": "/usr/share/fish/vendor_completions.d/gpsbridge.fish",
}

// prepare makes what all architectures share: generated files of the page, man pages, completions, changelog, copyright.
func prepare(root, work string) (*source, error) {
	v, err := readVersion(root)
	if err != nil {
		return nil, err
	}
	s := &source{root: root, work: work, version: v, docs: map[string]string{}, maintainer: fmt.Sprintf("%s <%s>",
		cmp.Or(os.Getenv("DEBFULLNAME"), "gpsbridge maintainers"), cmp.Or(os.Getenv("DEBEMAIL"), "gpsbridge@localhost.localdomain"))}
	if err := generate(root); err != nil {
		return nil, err
	}
	native := filepath.Join(work, "gpsbridge-here")
	if err := s.build(native, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH); err != nil {
		return nil, err
	}
	if err := s.manuals(native); err != nil {
		return nil, err
	}
	for shell, path := range completions {
		text, err := command(work, nil, native, "completion", shell)
		if err != nil {
			return nil, err
		}
		if err := s.doc(path, text); err != nil {
			return nil, err
		}
	}
	notice, err := copyright(root)
	if err != nil {
		return nil, err
	}
	if err := s.doc("/usr/share/doc/gpsbridge/copyright", notice); err != nil {
		return nil, err
	}
	return s, s.doc("/usr/share/doc/gpsbridge/changelog.Debian.gz", s.changelog())
}

// generate makes the page's generated files, which are not in the repository, where they are missing and npm is there.
func generate(root string) error {
	const page = "bridge/relay/page"
	made, err := filepath.Glob(filepath.Join(root, page, "dist", "[^.]*"))
	if err != nil || len(made) > 0 {
		return err
	}
	if _, err := exec.LookPath("npm"); err != nil {
		fmt.Fprintln(os.Stderr, "package: npm is missing and "+page+"/dist is empty: the page will have no street map: install npm for it")
		return nil
	}
	_, err = command(root, nil, "go", "generate", "./"+page)
	return err
}

// build compiles gpsbridge to path.
func (s *source) build(path string, env ...string) error {
	flags := "-s -w -buildid= -X gpsbridge/bridge.version=" + s.version.stamp()
	_, err := command(s.root, append(env, "CGO_ENABLED=0"),
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", path, "./cmd/gpsbridge")
	return err
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
