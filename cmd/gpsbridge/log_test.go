package main

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestJournalTakesTheLevelFromAPrefix(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	log := slog.New(newHandler(&b, "text", &level, true)).With("uplink", "a")
	log.Debug("not yet")
	log.Info("one")
	level.Set(slog.LevelDebug)
	log.Debug("two")
	log.Warn("three", "n", 3)
	log.Error("four")
	const want = `<6>msg=one uplink=a
<7>msg=two uplink=a
<4>msg=three uplink=a n=3
<3>msg=four uplink=a
`
	if b.String() != want {
		t.Errorf("log\n%swant\n%s", b.String(), want)
	}
}
