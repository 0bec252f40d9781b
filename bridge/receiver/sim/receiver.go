package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Receiver plays a Generator on a pseudo-terminal, as a receiver on a serial line. It never waits for a reader: as on a
// real line, what is not read is lost, and a reader that opens the port gets what is sent from then on. Readers may come and go.
type Receiver struct {
	config Config // checked, but for Start
	line   *Terminal
	link   string
	close  func() error

	// owned by Run
	uart    UART // of the reader
	garbled []byte
}

// Open makes the pseudo-terminal, and where link is not empty a symbolic link to it, which replaces a symbolic link that is
// there. Nothing is sent before Run.
func Open(c Config, link string) (*Receiver, error) {
	start := c.Start
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	c.Start = start
	line, err := OpenTerminal()
	if err != nil {
		return nil, err
	}
	r := &Receiver{config: c, line: line, link: link}
	r.close = sync.OnceValue(r.shut)
	if err := r.makeLink(); err != nil {
		return nil, errors.Join(err, line.Close())
	}
	return r, nil
}

// Path is the device to open: the link where there is one, else such as /dev/pts/3.
func (r *Receiver) Path() string {
	if r.link != "" {
		return r.link
	}
	return r.line.Path
}

// lateMost is how much later than it is due an epoch is still sent.
const lateMost = 2 * time.Second

// Run sends until ctx ends or the Receiver is closed, and returns nil for both. It does not close the terminal.
func (r *Receiver) Run(ctx context.Context) error {
	c, now := r.config, time.Now()
	if c.Start.IsZero() {
		c.Start = now.Truncate(time.Second).Add(time.Second) // on a whole second, as the epochs of receivers are
	}
	ahead := c.Start.Sub(now)
	if ahead < 0 || ahead > time.Second {
		ahead = 0 // else the receiver shows the current time, and sends each epoch when it is
	}
	g, w := newGenerator(c), newWire(c.Baud)
	var burst []byte
	for {
		due := now.Add(ahead + g.sinceStart())
		if time.Since(due) > lateMost {
			g.Skip() // the machine slept: a receiver would have gone on
			continue
		}
		burst = g.AppendEpoch(burst[:0])
		if !sleepUntil(ctx, due) {
			return nil
		}
		r.line.tidy(time.Now())
		if !r.send(ctx, w, due, burst) {
			return nil
		}
	}
}

// wire knows when bytes are on the line. The bytes of a burst count from its beginning, so nothing drifts.
type wire struct {
	byteAt time.Duration // how long a byte takes; 0 for a line without limit
	chunk  int           // bytes that are written together
	free   time.Time     // when the line has sent all that it was given
}

// chunkTime is how long the bytes that are written together take: coarse enough that a slow machine keeps up, fine enough
// that for a reader it is as a UART's FIFO (16 bytes at 9600 baud take 17 ms).
const chunkTime = 10 * time.Millisecond

func newWire(baud int) *wire {
	if baud == 0 {
		return &wire{chunk: 1 << 20}
	}
	byteAt := 10 * time.Second / time.Duration(baud)
	return &wire{byteAt: byteAt, chunk: max(int(chunkTime/byteAt), 1)}
}

// Close ends Run, hangs up and removes the link. What has the port open sees it vanish.
func (r *Receiver) Close() error { return r.close() }

// send writes a burst at the speed of the line, at due or when the line is free. It returns false when ctx has ended or the
// terminal was closed.
func (r *Receiver) send(ctx context.Context, w *wire, due time.Time, burst []byte) bool {
	if w.free.After(due) {
		due = w.free
	}
	for sent := 0; sent < len(burst); {
		piece := burst[sent:min(sent+w.chunk, len(burst))]
		sent += len(piece)
		w.free = due.Add(time.Duration(sent) * w.byteAt)
		if !sleepUntil(ctx, w.free) || r.line.write(r.received(piece, sent == len(burst))) != nil {
			return false
		}
	}
	return true
}

// received is what comes out at the reader's end of bytes that are sent; last says that nothing follows at once.
func (r *Receiver) received(sent []byte, last bool) []byte {
	if !r.config.Garble || r.config.Baud == 0 {
		return sent
	}
	r.garbled = r.uart.Receive(r.garbled[:0], sent, r.config.Baud, r.line.speed(), last)
	return r.garbled
}

// makeLink puts the link in place in one step, so that a reader never finds it missing.
func (r *Receiver) makeLink() error {
	if r.link == "" {
		return nil
	}
	if info, err := os.Lstat(r.link); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("link %s: a file of this name exists: remove it, or use another name", r.link)
	}
	temp := fmt.Sprintf("%s.%d", r.link, os.Getpid())
	if err := os.Symlink(r.line.Path, temp); err != nil {
		return fmt.Errorf("link %s: %w", r.link, errors.Unwrap(err))
	}
	if err := os.Rename(temp, r.link); err != nil {
		return errors.Join(fmt.Errorf("link %s: %w", r.link, errors.Unwrap(err)), os.Remove(temp))
	}
	return nil
}

// shut removes the link, unless another receiver has taken it over, and closes the terminal.
func (r *Receiver) shut() error {
	var err error
	if target, readErr := os.Readlink(r.link); r.link != "" && readErr == nil && target == r.line.Path {
		err = os.Remove(r.link)
	}
	return errors.Join(err, r.line.Close())
}

// sleepUntil waits, and returns false when ctx has ended.
func sleepUntil(ctx context.Context, t time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(t)):
		return true
	}
}
