package record

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gpsbridge/bridge/problem"
)

const (
	// defaultTotal keeps some two days of a receiver at 1 Hz.
	defaultTotal = 128 << 20
	// largestFile and smallestFile bound a file.
	largestFile, smallestFile = 16 << 20, 4 * maxSize
	// flushEvery is how often what has come is written: half a minute later the kernel would write of itself, so it is nothing to
	// the card to wait less, and something to a reader that follows the file.
	flushEvery = 10 * time.Second
	// defaultMinFree leaves others room on the disk: the spool above all, which stops growing at half of that.
	defaultMinFree = 128 << 20
)

// How blocks are made: one a burst, as long as that is, and ended where a line ends.
const (
	burstGap    = 100 * time.Millisecond // ends one
	goodSize    = 2 << 10                // is enough, at the end of a line
	goodPieces  = 64
	maxSize     = 16 << 10 // ends a block anywhere
	wakeAt      = 64 << 10 // of blocks: they are written before their time
	memoryLimit = 1 << 20  // of blocks that the disk has not written; above it they are lost
)

// Config is where to record.
type Config struct {
	// Path of the newest file. Older ones are beside it, with a number that grows after their name: Path.000001 and so on.
	Path string
	// Source is noted in the files, such as "/dev/ttyUSB0".
	Source string
	// Total in bytes, at least 128 KiB, is what all files may have: the oldest are removed. A new one is begun at an eighth of it.
	Total int64
	// MinFree in bytes is left free on the disk. Below it the recording ends. Negative is none.
	MinFree int64
	// Log gets one line when the recording ends by itself. Default: none.
	Log *slog.Logger
}

// fileSize is when a new file is begun.
func (c Config) fileSize() int64 { return min(largestFile, max(c.Total/8, smallestFile)) }

func (c *Config) complete() error {
	c.Total, c.MinFree = cmp.Or(c.Total, defaultTotal), cmp.Or(c.MinFree, defaultMinFree)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Path == "":
		return &problem.Problem{Code: UnusablePath, Key: "record", Cause: "it is empty", Fix: "name a file"}
	case c.Total < 2*c.fileSize():
		return &problem.Problem{Code: TooSmall, Key: "record_max", Cause: fmt.Sprintf("a total of %d bytes is too small for files of %d", c.Total, c.fileSize()),
			Fix: "use twice that or more"}
	}
	return nil
}

// Codes of the problems of this package. Those that a configuration can cause have the key "record" or "record_max".
const (
	UnusablePath problem.Code = "record-path"      // not a file, or not a recording, or it cannot be made
	Claimed      problem.Code = "record-claimed"   // another program records there
	TooSmall     problem.Code = "record-too-small" // the sizes of Config
	DiskFull     problem.Code = "record-disk-full" // less than Config.MinFree is free
	WriteFailed  problem.Code = "record-failed"
)

// Status is a picture of a Writer at one moment.
type Status struct {
	Path  string `json:"path"`
	Bytes uint64 `json:"bytes"` // of the receiver's, taken so far
	Lost  uint64 `json:"lost"`  // of those: the disk was too slow
	// Problem is why no more is recorded, nil while it is.
	Problem *problem.Problem `json:"problem,omitempty"`
}

// Writer records. Its methods may be called from several goroutines.
type Writer struct {
	config Config
	began  time.Time
	wake   chan struct{} // there is much to write
	quit   chan struct{}
	ended  sync.WaitGroup

	files files // of the goroutine that writes

	mu     sync.Mutex
	open   block
	blocks []byte // encoded, to be written
	missed int    // bytes that were lost after blocks
	note   string // to be written in front of the next block; "" for none
	closed bool
	status Status
}

// Create begins a recording. A recording that is there already is kept, as an older file. The error is a *problem.Problem.
func Create(c Config) (*Writer, error) { return create(c, nil) }

func create(c Config, open opener) (*Writer, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	began := time.Now()
	source := strings.Map(printable, c.Source)
	head := fmt.Sprintf("%s begun %s, %s\n", magic, began.UTC().Format("2006-01-02T15:04:05.000000Z"), source)
	w := &Writer{config: c, began: began, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	w.status.Path = c.Path
	w.files = files{path: c.Path, head: head, size: c.fileSize(), total: c.Total, minFree: c.MinFree, open: open}
	if open == nil {
		w.files.open = w.files.create
	}
	if err := w.files.begin(); err != nil {
		return nil, explain(c.Path, err)
	}
	w.ended.Go(w.run)
	return w, nil
}

// printable keeps a note on its line.
func printable(c rune) rune {
	if c < ' ' {
		return ' '
	}
	return c
}

// Data takes the next bytes of the receiver. It does not wait for the disk, and does not keep p.
func (w *Writer) Data(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.status.Problem != nil {
		return
	}
	at := time.Since(w.began).Truncate(time.Microsecond)
	w.status.Bytes += uint64(len(p))
	for len(p) > 0 {
		n := min(len(p), maxPiece)
		w.add(at, p[:n])
		p = p[n:]
	}
}

// add adds a piece to the open block, and ends that before or after it. The caller holds mu.
func (w *Writer) add(at time.Duration, p []byte) {
	b := &w.open
	if !b.empty() && b.endsLine() && at-b.pieces[len(b.pieces)-1].at >= burstGap {
		w.closeBlock()
	}
	b.add(at, p)
	enough := len(b.data) >= goodSize || len(b.pieces) >= goodPieces
	if b.endsLine() && enough || len(b.data) >= maxSize || len(b.pieces) >= maxPieces {
		w.closeBlock()
	}
}

// closeBlock encodes the open block, or loses it when too much waits for the disk. The caller holds mu.
func (w *Writer) closeBlock() {
	switch b := &w.open; {
	case b.empty():
		return
	case len(w.blocks)+len(b.data) > memoryLimit && len(w.blocks) > 0:
		w.missed += len(b.data)
		w.status.Lost += uint64(len(b.data))
	default:
		w.noteMissed()
		if w.note != "" {
			w.blocks = fmt.Appendf(w.blocks, "# %s\n", w.note)
			w.note = ""
		}
		w.blocks = b.appendTo(w.blocks)
	}
	w.open.reset()
	if len(w.blocks) >= wakeAt {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// noteMissed notes in the file that bytes are missing. The caller holds mu.
func (w *Writer) noteMissed() {
	if w.missed > 0 {
		w.blocks = fmt.Appendf(w.blocks, "# %d bytes are missing here, the disk was too slow\n", w.missed)
		w.missed = 0
	}
}

// Note writes a line for people in front of what comes next, such as that the port was opened again. Where nothing comes
// before the next Note, that one is written alone: a port that is silent and opened again and again costs no writes.
func (w *Writer) Note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeBlock()
	w.note = strings.Map(printable, text)
}

// Status returns how the recording goes.
func (w *Writer) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Close writes what has come and closes the file. It must be called once, and nothing after it but Status. The error is that
// of this last write, a *problem.Problem; an end of the recording that was logged before is none.
func (w *Writer) Close() error {
	close(w.quit)
	w.ended.Wait()
	if w.Status().Problem != nil {
		return nil
	}
	w.mu.Lock()
	w.closeBlock()
	w.noteMissed()
	blocks := w.blocks
	w.closed = true
	w.mu.Unlock()
	if err := errors.Join(w.files.write(blocks), w.files.close()); err != nil {
		return explain(w.config.Path, err)
	}
	return nil
}

// run writes until Close is called or the disk is full.
func (w *Writer) run() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var spare []byte
	for {
		due := false
		select {
		case <-w.quit:
			return
		case <-tick.C:
			due = true
		case <-w.wake:
		}
		blocks := w.next(spare[:0], due)
		if err := w.files.write(blocks); err != nil {
			w.stop(err)
			return
		}
		spare = blocks
	}
}

// next returns what is to be written, and gives the memory spare for what comes next. When it is due, the open block is
// ended that has waited for as long.
func (w *Writer) next(spare []byte, due bool) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if due && !w.open.empty() && time.Since(w.began)-w.open.pieces[0].at >= time.Second {
		w.closeBlock()
	}
	blocks := w.blocks
	w.blocks = spare
	return blocks
}

// stop ends the recording because of err.
func (w *Writer) stop(err error) {
	w.mu.Lock()
	p := explain(w.config.Path, err)
	w.status.Problem = p
	w.open, w.blocks = block{}, nil
	w.mu.Unlock()
	_ = w.files.close() // the problem is reported already
	w.config.Log.Error("recording stopped", "file", w.config.Path, "problem", p)
}
