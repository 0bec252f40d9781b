package bridge

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// receivers are the packages that get bytes and sentences out of a receiver.
var receivers = []string{
	"nmea", "bridge/receiver", "bridge/receiver/source", "bridge/receiver/protocol", "bridge/receiver/serial", "bridge/receiver/network",
	"bridge/receiver/playback", "bridge/receiver/simulated", "bridge/receiver/kinds", "bridge/receiver/sim", "bridge/receiver/record", "bridge/receiver/share",
}

// The parts know no other part, but the leaves and what is listed.
var parts = append([]string{"bridge/spool", "bridge/uplink", "bridge/track", "bridge/relay", "bridge/layer", "bridge/layer/event", "bridge/relay/api", "bridge/relay/page"}, receivers...)

// daemon are the packages that put the parts together, and the parts.
var daemon = append([]string{"bridge/config", "bridge/pipeline", "bridge/observe"}, parts...)

// mayImport lists the packages of the project that each package may depend on, directly or not. A package that is not
// listed may not exist: add it here.
var mayImport = map[string][]string{
	"nmea":                         {},
	"nmea/nmeatest":                {"nmea"},
	"bridge/deflate":               {},
	"bridge/deflate/deflatetest":   {},
	"bridge/group":                 {},
	"bridge/layer":                 {"bridge/layer/event"},
	"bridge/layer/event":           {},
	"bridge/directory":             {},
	"bridge/problem":               {},
	"bridge/secret":                {},
	"bridge/receiver/source":       {},
	"bridge/receiver/protocol":     {"nmea", "bridge/receiver/source"},
	"bridge/receiver/serial":       {"nmea", "bridge/receiver/source", "bridge/receiver/protocol"},
	"bridge/receiver/network":      {"nmea", "bridge/receiver/source", "bridge/receiver/protocol"},
	"bridge/receiver/playback":     {"nmea", "bridge/receiver/source", "bridge/receiver/protocol", "bridge/receiver/record"},
	"bridge/receiver/simulated":    {"nmea", "bridge/receiver/source", "bridge/receiver/protocol", "bridge/receiver/serial", "bridge/receiver/sim"},
	"bridge/receiver/kinds":        receivers,
	"bridge/receiver/receivertest": {"bridge/receiver", "bridge/receiver/source"},
	"bridge/receiver/sim":          {},
	"bridge/receiver/record":       {},
	"bridge/receiver/share":        {},
	"bridge/receiver":              {"bridge/receiver/source"},
	"bridge/spool":                 {},
	"bridge/delivery":              {},
	"bridge/uplink":                {},
	"bridge/relay":                 {"bridge/track", "bridge/relay/api", "bridge/relay/page"},
	"bridge/track":                 {},
	"bridge/relay/api":             {},
	"bridge/relay/page":            {},
	"bridge/pipeline":              receivers,
	"bridge/config":                append([]string{"bridge/pipeline"}, parts...),
	"bridge/observe":               append([]string{"bridge/pipeline"}, parts...),
	"bridge":                       daemon,
	"bridge/realtest":              {"bridge/realtest/program", "bridge/realtest/django", "bridge/realtest/netns", "bridge/realtest/authority"},
	"bridge/realtest/program":      {},
	"bridge/realtest/django":       {},
	"bridge/realtest/netns":        {},
	"bridge/realtest/authority":    {},
	"bridge/doctor":                append([]string{"bridge"}, daemon...),
	"systemd":                      {},
	"cmd/gpsbridge":                append([]string{"bridge", "bridge/doctor", "systemd", "cmd/internal/command"}, daemon...),
	"cmd/compare": {"cmd/internal/command", "bridge/receiver/sim", "bridge/realtest/program", "bridge/realtest/django",
		"bridge/realtest/netns", "bridge/realtest/authority"},
	"cmd/internal/command": {},
}

// mustNotImport holds what a package must not import itself of the standard library and beyond.
var mustNotImport = map[string][]string{
	"nmea":          {"os", "net", "net/http", "log", "log/slog", "sync", "go.bug.st/serial", "github.com/gorilla/websocket"},
	"bridge/spool":  {"net", "net/http", "encoding/json", "github.com/gorilla/websocket"},
	"bridge/uplink": {"go.bug.st/serial", "github.com/adrianmo/go-nmea"},
	"bridge/relay":  {"go.bug.st/serial", "github.com/adrianmo/go-nmea"},
	"cmd/gpsbridge": {"go.bug.st/serial", "github.com/adrianmo/go-nmea", "github.com/gorilla/websocket"},
}

// leaves are what every package may depend on.
var leaves = []string{"bridge/deflate", "bridge/directory", "bridge/group", "bridge/problem", "bridge/secret"}

// pkg is a package of this module: its name in the module, what it imports itself, and what it depends on.
type pkg struct {
	name          string
	imports, deps []string
}

func packages(t *testing.T) (all []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}}={{join .Imports " "}}={{join .Deps " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		p := strings.Split(line, "=")
		all = append(all, pkg{strings.TrimPrefix(p[0], module), strings.Fields(p[1]), strings.Fields(p[2])})
	}
	return all
}

const module = "gpsbridge/"

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		allowed, listed := mayImport[p.name]
		if !listed {
			t.Errorf("package %s is not in the list of allowed imports", p.name)
			continue
		}
		for _, dep := range p.deps {
			dep, ours := strings.CutPrefix(dep, module)
			if ours && !slices.Contains(leaves, dep) && !slices.Contains(allowed, dep) {
				t.Errorf("%s depends on %s and must not know it", p.name, dep)
			}
		}
		for _, imported := range p.imports {
			if slices.Contains(mustNotImport[p.name], imported) {
				t.Errorf("%s imports %s and must not know it", p.name, imported)
			}
		}
	}
}

// TestImportsOfTestPackages: packages whose name ends in test are for tests.
func TestImportsOfTestPackages(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, imported := range p.imports {
			ours := strings.HasPrefix(imported, module) && !strings.HasPrefix(imported, module+"bridge/realtest")
			if ours && strings.HasSuffix(imported, "test") && !strings.HasSuffix(p.name, "test") {
				t.Errorf("%s imports %s outside its tests", p.name, imported)
			}
		}
	}
}

// TestImportsOfRealtest: real parts are for tests, and for cmd/compare, which measures them beside the daemon.
func TestImportsOfRealtest(t *testing.T) {
	t.Parallel()
	const realtest = module + "bridge/realtest"
	for _, p := range packages(t) {
		if strings.HasPrefix(module+p.name, realtest) || p.name == "cmd/compare" {
			continue
		}
		for _, imported := range p.imports {
			if strings.HasPrefix(imported, realtest) {
				t.Errorf("%s imports %s outside its tests", p.name, imported)
			}
		}
	}
}
