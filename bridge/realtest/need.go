package realtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"gpsbridge/bridge/realtest/django"
	"gpsbridge/bridge/realtest/netns"
)

const (
	// EnvReal names the environment variable under which a missing part fails a test instead of skipping it.
	EnvReal = "TEST_GPSBRIDGE_REAL"
	// EnvCorpus names the directory of recorded receiver logs, where it is not ../shared/corpus/gpsd beside the checkout.
	// The value "absent" means that there is none: its tests then skip even under EnvReal, because no package has it.
	EnvCorpus = "TEST_GPSBRIDGE_CORPUS"
	// EnvPython names the Python interpreter that has Django Channels, where it is not the distribution's own.
	EnvPython = django.EnvPython
)

// Part is something real that a test needs and that a machine may lack.
type Part string

// The parts that [Need] can find.
const (
	Django          Part = "Django Channels with Daphne"
	UvicornServer   Part = "Uvicorn with websockets"
	HypercornServer Part = "Hypercorn"
	Websockets      Part = "Python with websockets"
	ChannelsRedis   Part = "channels_redis"
	RedisServer     Part = "redis-server"
	Browser         Part = "Chromium"
	GPSD            Part = "gpsd"
	GPSPipe         Part = "gpspipe"
	GPSBabel        Part = "GPSBabel"
	Corpus          Part = "the recorded receiver logs"
	Root            Part = "root, who may run a program as another user"
	Mount           Part = "a loop device to mount ext4 from"
	Namespaces      Part = "network namespaces"
	GeneratedMap    Part = "the page's generated map"
	Nspawn          Part = "systemd-nspawn with a root file system"
	QEMU            Part = "QEMU"
	HAProxy         Part = "HAProxy"
)

// part says how to find one Part (an error names what is missing) and how to install it.
type part struct {
	find    func() error
	install string
}

// parts finds each part at most once in a test binary: starting an interpreter needs a tenth of a second.
var parts = map[Part]part{
	Django:          {sync.OnceValue(pythonHas("django", "channels", "daphne")), apt("python3-django python3-django-channels daphne")},
	UvicornServer:   {sync.OnceValue(pythonHas("uvicorn", "websockets")), apt("uvicorn python3-websockets")},
	HypercornServer: {sync.OnceValue(pythonHas("hypercorn")), apt("python3-hypercorn")},
	Websockets:      {sync.OnceValue(pythonHas("websockets")), apt("python3-websockets")},
	ChannelsRedis:   {sync.OnceValue(pythonHas("channels_redis", "msgpack", "cryptography")), apt("python3-channels-redis")},
	RedisServer:     {sync.OnceValue(inPath("redis-server")), apt("redis-server")},
	Browser:         {sync.OnceValue(inPath("chromium")), apt("chromium fonts-dejavu-core")},
	GPSD:            {sync.OnceValue(inPath("gpsd")), apt("gpsd")},
	GPSPipe:         {sync.OnceValue(inPath("gpspipe")), apt("gpsd-clients")},
	GPSBabel:        {sync.OnceValue(inPath("gpsbabel")), apt("gpsbabel")},
	GeneratedMap:    {generatedMap, apt("nodejs npm") + " && go generate ./bridge/relay/page"},
	Nspawn: {findNspawn, apt("systemd-container mmdebstrap") + " && mmdebstrap --variant=minbase --include=" + rootFSPackages +
		" bookworm " + RootFS()},
	HAProxy: {sync.OnceValue(inPath("haproxy")), apt("haproxy")},
	QEMU:    {sync.OnceValue(inPath("qemu-system-x86_64")), apt("qemu-system-x86 e2fsprogs kmod")},
	Corpus: {func() error { _, err := corpusDir(); return err },
		"put them in ../shared/corpus/gpsd beside the checkout, or name their directory in " + EnvCorpus},
	Root: {func() error {
		if os.Getuid() != 0 {
			return fmt.Errorf("this is user %d", os.Getuid())
		}
		return nil
	}, "run the tests with sudo"},
	Mount:      {sync.OnceValue(mounts), "run the tests with sudo where loop devices are to be had, after " + apt("e2fsprogs mount")},
	Namespaces: {sync.OnceValue(netns.Lacks), "run the tests with sudo, and " + apt("iproute2 util-linux")},
}

func apt(packages string) string {
	return "apt-get install -y --no-install-recommends " + packages
}

// Need skips the test when one of the parts is missing here, with one line that names it and how to get it. When
// [EnvReal] is set and not empty the test fails instead, so that a run that means to cover everything cannot pass
// without it. With -short it always skips.
func Need(t testing.TB, needed ...Part) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves out the tests with real parts")
	}
	must := os.Getenv(EnvReal) != ""
	for _, name := range needed {
		p, known := parts[name]
		if !known {
			t.Fatalf("need %q: no such part", name)
		}
		err := p.find()
		if err == nil {
			continue
		}
		text := fmt.Sprintf("%s is missing (%v): %s", name, err, p.install)
		if must && !(name == Corpus && os.Getenv(EnvCorpus) == "absent") {
			t.Fatal(text)
		}
		t.Skip(text)
	}
}

// CorpusDir returns the directory of recorded receiver logs (NAME.log, NAME.tpv.jsonl), as [Need] with [Corpus].
func CorpusDir(t testing.TB) string {
	t.Helper()
	Need(t, Corpus)
	dir, err := corpusDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// corpusDir looks where EnvCorpus names a directory, else beside the checkout.
func corpusDir() (string, error) {
	if dir := os.Getenv(EnvCorpus); dir != "" {
		return dir, isDir(dir)
	}
	root, err := django.Checkout()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(root), "shared", "corpus", "gpsd")
	return dir, isDir(dir)
}

// generatedMap looks where go generate puts the map, which a test binary that is built afterwards embeds.
func generatedMap() error {
	root, err := django.Checkout()
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(root, "bridge", "relay", "page", "dist", "map.js.gz"))
	return err
}

func isDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("no directory %s", path)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	return nil
}

// Python returns a run of a Python script by the interpreter that [Need] looked for modules with.
func Python(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	interpreter, err := django.Python()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(interpreter, slices.Concat([]string{"-c", script}, args)...)
}

// pythonHas returns a finder of Python modules.
func pythonHas(modules ...string) func() error {
	return func() error { return django.Lacks(modules...) }
}

// mounts makes a file system and mounts it: containers have root, and may yet lack loop devices or the right to mount.
func mounts() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("this is user %d", os.Getuid())
	}
	dir, err := os.MkdirTemp("", "mount")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image, mounted := filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<20), os.Mkdir(mounted, 0o700)); err != nil {
		return err
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, mounted}, {"umount", mounted}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command[0], err, bytes.ReplaceAll(bytes.TrimSpace(out), []byte("\n"), []byte(" ")))
		}
	}
	return nil
}

func inPath(name string) func() error {
	return func() error {
		_, err := exec.LookPath(name)
		return err
	}
}
