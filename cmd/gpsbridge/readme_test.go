package main

import (
	"flag"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/realtest"
	"gpsbridge/bridge/realtest/program"
	"gpsbridge/cmd/internal/command"
)

// root is the project's directory, seen from this package.
const root = "../.."

// readmes returns the project's documentation in Markdown, by path from root.
func readmes(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "dist" || d.Name() == ".git"):
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		texts[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(readmes(t)["README.md"], "\n"); n == 0 || n > 130 {
		t.Errorf("README.md has %d lines, want at most 130: what is not for a newcomer belongs beside its code", n)
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)

func TestLinksOfTheDocumentationResolve(t *testing.T) {
	for path, text := range readmes(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links %s: %v", path, m[1], err)
			}
		}
	}
}

// commandLines are the lines of an indented or fenced block that run gpsbridge, without what a shell adds.
func commandLines(text string) (lines []string) {
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		code, indented := strings.CutPrefix(line, "    ")
		if !indented && !fenced {
			continue
		}
		for part := range strings.SplitSeq(strings.ReplaceAll(code, "&&", "\n"), "\n") {
			part, _, _ = strings.Cut(part, " #")
			part = strings.TrimPrefix(strings.TrimSpace(part), "sudo ")
			part = strings.TrimPrefix(part, "go run ./cmd/")
			if rest, ok := strings.CutPrefix(strings.TrimPrefix(part, "./"), "gpsbridge "); ok {
				lines = append(lines, rest)
			}
		}
	}
	return lines
}

// TestCommandsOfTheDocumentationExist: each command and each of its flags in the documentation is one of the program's.
func TestCommandsOfTheDocumentationExist(t *testing.T) {
	flags := map[string]*flag.FlagSet{}
	for _, c := range commandLine().Commands {
		flags[c.Name] = flagsOf(t, c)
	}
	seen := 0
	for path, text := range readmes(t) {
		for _, line := range commandLines(text) {
			words := strings.Fields(line)
			if len(words) == 0 || strings.ToUpper(words[0]) == words[0] { // "gpsbridge COMMAND -h"
				continue
			}
			seen++
			fs := flags[words[0]]
			if fs == nil {
				t.Errorf("%s: gpsbridge %s: there is no such command", path, line)
				continue
			}
			for _, word := range words[1:] {
				name, dashed := strings.CutPrefix(strings.Trim(word, "[]"), "-")
				name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
				if dashed && name != "" && name != "h" && fs.Lookup(name) == nil {
					t.Errorf("%s: gpsbridge %s: %s has no flag %s", path, line, words[0], word)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands found in the documentation", seen)
	}
}

// flagsOf finds out the flags of a command from its help.
func flagsOf(t *testing.T, c command.Command) *flag.FlagSet {
	t.Helper()
	_, help, _ := invoke(t, "", c.Name, "-h")
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, m := range regexp.MustCompile(`(?m)^  --?([a-z-]+)`).FindAllStringSubmatch(help, -1) {
		fs.String(m[1], "", "")
	}
	return fs
}

// TestReadmeListsTheCommands: those of the help, in its order.
func TestReadmeListsTheCommands(t *testing.T) {
	_, list, _ := strings.Cut(readmes(t)["README.md"], "## Commands\n")
	list, _, _ = strings.Cut(list, "\n## ")
	var listed, known []string
	for _, line := range commandLines(list) {
		listed = append(listed, strings.Fields(line)[0])
	}
	for _, c := range commandLine().Commands {
		known = append(known, c.Name)
	}
	if !slices.Equal(listed, known) {
		t.Errorf("README.md lists %q, the program has %q", listed, known)
	}
}

// block returns the fenced block of README.md that begins with a line.
func block(t *testing.T, first string) string {
	t.Helper()
	_, rest, found := strings.Cut(readmes(t)["README.md"], first+"\n")
	text, _, ends := strings.Cut(rest, "```")
	if !found || !ends {
		t.Fatalf("README.md has no block that begins with %q", first)
	}
	return text
}

// TestReadmeConnectsDjango serves the application of README.md with Daphne, and has the daemon's command of README.md send to it:
// each fix comes back, so the daemon goes by the echo.
func TestReadmeConnectsDjango(t *testing.T) {
	realtest.Need(t, realtest.Django)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tracking/__init__.py":  "",
		"tracking/consumers.py": block(t, "# consumers.py"),
		"tracking/routing.py":   block(t, "# routing.py"),
		"asgi.py": `from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], INSTALLED_APPS=["channels"], CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
import django
django.setup()
from channels.routing import ProtocolTypeRouter, URLRouter
from tracking.routing import websocket_urlpatterns
application = ProtocolTypeRouter({"websocket": URLRouter(websocket_urlpatterns)})
`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), text)
	}
	port := realtest.FreePort(t)
	const run = `import runpy; runpy.run_module("daphne", run_name="__main__", alter_sys=True)`
	server := realtest.Python(t, run, "-b", "127.0.0.1", "-p", strconv.Itoa(port), "asgi:application")
	server.Dir = dir
	daphne := realtest.Start(t, "Daphne", server)
	if err := daphne.Await(t.Context(), soon, program.Listens(port)); err != nil {
		t.Fatal(err)
	}
	lines := commandLines(readmes(t)["README.md"])
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "run ") })
	if i < 0 {
		t.Fatal("README.md does not run the daemon")
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	args := strings.Fields(strings.ReplaceAll(lines[i], "127.0.0.1:8000", address))
	d := startDaemonCmd(t, gpsbridge(t, append(args, "--listen", "127.0.0.1:0")...))
	d.waitStatus("the fixes to be echoed", func(st observe.Status) bool { return st.Uplinks[0].Acked > 2 && st.Uplinks[0].Ack == "echo" })
}
