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
var parts = append([]string{"bridge/spool", "bridge/uplink", "bridge/relay", "bridge/relay/api", "bridge/relay/page"}, receivers...)

// daemon are the packages that put the parts together, and the parts.
var daemon = append([]string{"bridge/config", "bridge/pipeline", "bridge/observe"}, parts...)

// mayImport lists the packages of the project that each package may depend on, directly or not. A package that is not
// listed may not exist: add it here.
var mayImport = map[string][]string{
	"nmea":                         {},
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
	"bridge/relay":                 {"bridge/relay/api", "bridge/relay/page"},
	"bridge/relay/api":             {},
	"bridge/relay/page":            {},
	"bridge/pipeline":              receivers,
	"bridge/config":                append([]string{"bridge/pipeline"}, parts...),
	"bridge/observe":               append([]string{"bridge/pipeline"}, parts...),
	"bridge":                       daemon,
	"bridge/realtest":              {"bridge/realtest/program", "bridge/realtest/django"},
	"bridge/realtest/program":      {},
	"bridge/realtest/django":       {},
	"bridge/doctor":                append([]string{"bridge"}, daemon...),
	"systemd":                      {},
	"cmd/gpsbridge":                append([]string{"bridge", "bridge/doctor", "systemd", "cmd/internal/command"}, daemon...),
	"cmd/compare":                  {"cmd/internal/command", "bridge/receiver/sim", "bridge/realtest/program", "bridge/realtest/django"},
	"cmd/internal/command":         {},
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
var leaves = []string{"bridge/problem", "bridge/secret"}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out))
}

func TestImportsRunOneWay(t *testing.T) {
	const module = "gpsbridge/"
	for _, pkg := range goList(t, "./...") {
		name := strings.TrimPrefix(pkg, module)
		allowed, listed := mayImport[name]
		if !listed {
			t.Errorf("package %s is not in the list of allowed imports", name)
			continue
		}
		for _, dep := range goList(t, "-deps", pkg) {
			dep, ours := strings.CutPrefix(dep, module)
			if ours && dep != name && !slices.Contains(leaves, dep) && !slices.Contains(allowed, dep) {
				t.Errorf("%s depends on %s and must not know it", name, dep)
			}
		}
		for _, imported := range goList(t, "-f", `{{join .Imports "\n"}}`, pkg) {
			if slices.Contains(mustNotImport[name], imported) {
				t.Errorf("%s imports %s and must not know it", name, imported)
			}
		}
	}
}

// TestImportsOfRealtest: real parts are for tests, and for cmd/compare, which measures them beside the daemon.
func TestImportsOfRealtest(t *testing.T) {
	const realtest = "gpsbridge/bridge/realtest"
	for _, line := range goList(t, "-f", `{{.ImportPath}}={{join .Imports "="}}`, "./...") {
		names := strings.Split(line, "=")
		if strings.HasPrefix(names[0], realtest) || names[0] == "gpsbridge/cmd/compare" {
			continue
		}
		for _, imported := range names[1:] {
			if strings.HasPrefix(imported, realtest) {
				t.Errorf("%s imports %s outside its tests", names[0], imported)
			}
		}
	}
}
