// Package django runs the tracking server of bridge/django. What can be chosen of it is in the environment: see its
// settings.py, and journal.py here, which adds what tests need.
package django

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// EnvPython names the Python interpreter that has Django Channels, where it is not the distribution's own.
const EnvPython = "TEST_GPSBRIDGE_PYTHON"

// Python returns the interpreter to run servers with. The distribution's own comes before PATH, because no other sees
// Debian's packages.
func Python() (string, error) {
	if p := os.Getenv(EnvPython); p != "" {
		return p, nil
	}
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		return "/usr/bin/python3", nil
	}
	return exec.LookPath("python3")
}

// Lacks returns an error that names those of the modules that the interpreter does not have. They are looked up, not
// imported: that is quick and runs none of them.
func Lacks(modules ...string) error {
	interpreter, err := Python()
	if err != nil {
		return err
	}
	const lookUp = `import importlib.util, sys; print(*[m for m in sys.argv[1:] if not importlib.util.find_spec(m)])`
	out, err := exec.Command(interpreter, append([]string{"-c", lookUp}, modules...)...).Output()
	if err != nil {
		return fmt.Errorf("run %s: %w", interpreter, err)
	}
	if lacks := strings.Fields(string(out)); len(lacks) > 0 {
		return fmt.Errorf("%s lacks %s", interpreter, strings.Join(lacks, ", "))
	}
	return nil
}

// Checkout is the directory with go.mod, found upwards from the working directory, which for a test is its package's.
func Checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory: run it in the checkout")
		}
		dir = up
	}
}

// Run returns a run of the interpreter in the project, which keeps its data in dir and accepts every host name.
func Run(dir string, args ...string) (*exec.Cmd, error) {
	interpreter, err := Python()
	if err != nil {
		return nil, err
	}
	root, err := Checkout()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(interpreter, args...)
	cmd.Dir = filepath.Join(root, "bridge", "django")
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "TRACKING_DATA="+dir, "TRACKING_HOSTS=*",
		"PYTHONPATH="+filepath.Join(root, "bridge", "realtest", "django"))
	return cmd, nil
}

// Daphne returns a run of the server of the Channels project on a port of 127.0.0.1, as [Run].
func Daphne(dir string, port int) (*exec.Cmd, error) {
	return Run(dir, "-m", "daphne", "-b", "127.0.0.1", "-p", strconv.Itoa(port), "tracking.asgi:application")
}
