// Package django is a tracking server of Django Channels: the application, and how Daphne and Uvicorn serve it. What can
// be chosen of it is in the environment; see settings.py and consumers.py.
package django

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed *.py
var files embed.FS

// EnvPython names the Python interpreter that has Django Channels, where it is not the distribution's own.
const EnvPython = "TEST_GPSBRIDGE_PYTHON"

// Python returns the interpreter to run servers with. The distribution's own comes before PATH: Debian's packages are
// seen by no other.
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

// Write lays the application out in folder, as the Python package "tracking".
func Write(folder string) error {
	if err := os.CopyFS(filepath.Join(folder, "tracking"), files); err != nil {
		return fmt.Errorf("write the Django application: %w", err)
	}
	return nil
}

// Journal is the file in folder in which the application writes what its consumers have taken up.
func Journal(folder string) string {
	return filepath.Join(folder, "processed.jsonl")
}

// Daphne returns the server of the Channels project for the application in folder, on a port of 127.0.0.1.
func Daphne(folder string, port int) (*exec.Cmd, error) {
	return Serve(folder, "-m", "daphne", "-b", "127.0.0.1", "-p", strconv.Itoa(port), "tracking.asgi:application")
}

// Serve returns a run of the interpreter with these arguments for the application in folder.
func Serve(folder string, args ...string) (*exec.Cmd, error) {
	interpreter, err := Python()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(interpreter, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "TRACKING_JOURNAL="+Journal(folder), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1")
	return cmd, nil
}
