//go:build !linux

package sim

import (
	"errors"
	"os"
	"time"
)

// Terminal is a pipe that stands for a serial line: what is written to Master comes out at Slave. Other programs cannot open it.
type Terminal struct {
	Path          string
	Master, Slave *os.File
}

// OpenTerminal makes the pipe.
func OpenTerminal() (*Terminal, error) {
	r, w, err := os.Pipe()
	return &Terminal{Path: "sim:", Master: w, Slave: r}, err
}

// Pipe is what the Receiver sends, for this process.
func (r *Receiver) Pipe() *os.File { return r.line.Slave }

// Close ends the line.
func (t *Terminal) Close() error { return errors.Join(t.Master.Close(), t.Slave.Close()) }

// write hands p to the reader. What finds no room is lost, as in a UART. An error means that the pipe is closed.
func (t *Terminal) write(p []byte) error {
	const wait = 20 * time.Millisecond // for a reader that is held up
	if err := t.Master.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := t.Master.Write(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func (t *Terminal) tidy(time.Time) {}

func (t *Terminal) speed() int { return 0 }
