package bridge

import (
	"log/slog"
	"testing"
)

func TestEchoesAreRemembered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	e := newEchoServers(dir, log)
	if e.from("wss://a/ws/van_7/") {
		t.Error("a server that was never seen")
	}
	e.saw("wss://user:secret@a/ws/van_7/?token=secret")
	e.saw("wss://b/ws/van_7/")
	for _, known := range []*echoServers{e, newEchoServers(dir, log)} {
		if !known.from("wss://a/ws/van_7/?token=other") || !known.from("wss://b/ws/van_7/") || known.from("wss://c/ws/van_7/") {
			t.Errorf("remembered: %v", known.servers)
		}
	}
	memory := newEchoServers("", log)
	memory.saw("wss://a/")
	if !memory.from("wss://a/") {
		t.Error("forgotten without a disk")
	}
}
