package problem_test

import (
	"testing"

	"gpsbridge/bridge/problem"
)

func TestSuggest(t *testing.T) {
	known := []string{"run", "demo", "relay", "decode", "watch", "sim", "doctor", "status", "spool", "check", "version"}
	for word, want := range map[string]string{
		"decod": "decode", "dcode": "decode", "deocde": "decode", "DECODE": "decode", "stat": "status", "doc": "doctor", "rum": "run", "smi": "sim",
		"wathc": "watch", "chek": "check", "checks": "check", "v": "", "x": "", "": "", "start": "", "configure": "", "r": "",
	} {
		if want != "" {
			want = "did you mean " + want + "? "
		}
		if got := problem.Suggest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
