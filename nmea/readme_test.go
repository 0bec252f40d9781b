package nmea

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReadme holds that README.md has every quantity with its unit and decimals, in their order.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.HasPrefix(cells[1], " `") {
			rows = append(rows, strings.Join(strings.Fields(strings.Join(cells[1:4], " ")), " "))
		}
	}
	for i, q := range quantities {
		want := strings.Join(strings.Fields(fmt.Sprintf("`%s` %s %d", q.key, q.unit, q.decimals)), " ")
		if i >= len(rows) || rows[i] != want {
			t.Errorf("row %d of the table is not %q: %q", i, want, rows)
		}
	}
	if len(rows) != len(quantities) {
		t.Errorf("%d rows, %d quantities", len(rows), len(quantities))
	}
}
