package nmea

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files again from what the package does now")

// TestGolden decodes a capture and compares every byte of what comes out. After a change that is meant, go test -run Golden
// -update writes the file again; what git diff shows of it then belongs in the commit.
func TestGolden(t *testing.T) {
	capture, err := os.Open("testdata/capture.nmea")
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Close()
	var got bytes.Buffer
	if _, err := Decode(t.Context(), &got, capture, DecodeOptions{Sky: true}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/capture.jsonl", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/capture.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := bytes.Split(got.Bytes(), []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(gotLines), len(wantLines)) {
		switch {
		case i >= len(gotLines):
			t.Fatalf("line %d is missing: %s", i+1, wantLines[i])
		case i >= len(wantLines):
			t.Fatalf("line %d is too many: %s", i+1, gotLines[i])
		case !bytes.Equal(gotLines[i], wantLines[i]):
			t.Fatalf("line %d\ngot  %s\nwant %s", i+1, gotLines[i], wantLines[i])
		}
	}
}
