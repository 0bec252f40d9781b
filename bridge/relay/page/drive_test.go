package page

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// written returns what is in the file of a drive: its first line, and the classes and times of the messages.
func written(t *testing.T, d *Drive, to *bytes.Buffer) (every float64, of map[string][]time.Time) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`id="drive">([^<]*)</script>`).FindStringSubmatch(to.String())
	if found == nil {
		t.Fatal("the file has no data")
	}
	text, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(found[1])))
	if err != nil {
		t.Fatal(err)
	}
	of = map[string][]time.Time{}
	for lines := json.NewDecoder(text); ; {
		var m struct {
			Class string
			Time  time.Time
			Every float64
		}
		if err := lines.Decode(&m); err == io.EOF {
			return every, of
		} else if err != nil {
			t.Fatal(err)
		}
		every += m.Every
		of[m.Class] = append(of[m.Class], m.Time)
	}
}

// Ten hours at 2 Hz are thinned evenly, and the satellites with it.
func TestDriveIsThinnedEvenly(t *testing.T) {
	var b bytes.Buffer
	d := NewDrive(&b, "drive.log")
	begin := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	const long = 10 * time.Hour
	for at := time.Duration(0); at < long; at += time.Second / 2 {
		stamp := begin.Add(at).Format(time.RFC3339Nano)
		for _, class := range []string{"TPV", "SKY"} {
			if err := d.Add(fmt.Appendf(nil, `{"class":%q,"time":%q}`, class, stamp)); err != nil {
				t.Fatal(err)
			}
		}
	}
	every, of := written(t, d, &b)
	if every != 2 {
		t.Errorf("a fix every %v s, want 2", every)
	}
	for class, step := range map[string]time.Duration{"TPV": 2 * time.Second, "SKY": 20 * time.Second} {
		times := of[class]
		if len(times) != int(long/step) {
			t.Errorf("%d %s, want %d", len(times), class, long/step)
		}
		for i, at := range times {
			if want := begin.Add(time.Duration(i) * step); !at.Equal(want) {
				t.Fatalf("%s %d is of %v, want %v", class, i, at, want)
			}
		}
	}
}

// A receiver that does not know the time is taken for one of 1 Hz.
func TestDriveWithoutTime(t *testing.T) {
	var b bytes.Buffer
	d := NewDrive(&b, "")
	for range 40 {
		for _, class := range []string{"TPV", "SKY"} {
			if err := d.Add(fmt.Appendf(nil, `{"class":%q}`, class)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, of := written(t, d, &b); len(of["TPV"]) != 40 || len(of["SKY"]) != 5 {
		t.Errorf("%d fixes and %d skies, want 40 and 5", len(of["TPV"]), len(of["SKY"]))
	}
}
