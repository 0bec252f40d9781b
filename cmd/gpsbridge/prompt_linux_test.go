package main

import (
	"io"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"gpsbridge/cmd/internal/command"
)

// A secret that is pasted in several lines is no answer to the next question: that would be shown, and named as wrong.
func TestWhatIsPastedAfterASecretIsDropped(t *testing.T) {
	terminal, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer slave.Close()
	asked := newPrompt(command.Process{Stdin: slave, Stdout: io.Discard})
	answer := func(text string, hidden bool) string {
		t.Helper()
		if _, err := io.WriteString(terminal, text); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(soon); ; time.Sleep(time.Millisecond) { // until the terminal has it all
			if n, err := unix.IoctlGetInt(int(slave.Fd()), unix.TIOCINQ); err != nil || n == len(text) {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("%d bytes came", n)
			}
		}
		line, err := asked.line(t.Context(), "?", hidden)
		if err != nil {
			t.Error(err)
		}
		return line
	}
	if got := answer("SECRET\nthat goes on\n", true); got != "SECRET" {
		t.Errorf("the secret is %q", got)
	}
	if got := answer("y\n", false); got != "y" {
		t.Errorf("the next answer is %q", got)
	}
}
