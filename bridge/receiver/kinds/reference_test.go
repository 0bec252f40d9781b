package kinds

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReference: the documents list the sources that exist, as the table does.
func TestReference(t *testing.T) {
	for path, line := range map[string]func(form, help string) string{
		"../../../systemd/gpsbridge.toml": func(form, help string) string { return fmt.Sprintf("#   %-28s %s\n", `"`+form+`"`, help) },
		"../README.md":                    func(form, help string) string { return fmt.Sprintf("| `%s` | %s |\n", form, help) },
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range All {
			if want := line(k.Form, k.Help); !strings.Contains(string(text), want) {
				t.Errorf("%s lacks the line %q", path, want)
			}
		}
	}
}
