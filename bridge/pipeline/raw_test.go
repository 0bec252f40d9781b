package pipeline

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestQuotedIsAJSONStringOfAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		var got string
		if err := json.Unmarshal(quoted(p), &got); err != nil {
			t.Fatalf("%q became %s: %v", p, quoted(p), err)
		}
		var want strings.Builder // Go makes one replacement character of each byte that is no UTF-8
		for _, c := range string(p) {
			want.WriteRune(c)
		}
		if got != want.String() {
			t.Fatalf("%q became %q, want %q", p, got, want.String())
		}
	})
}
