package program

import (
	"strings"
	"sync"
)

// tailSize is what a tail keeps: a traceback of Django under load is a few kilobytes, and they come in rows.
const tailSize = 64 << 10

// tail is a writer that keeps the end of what was written. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	data []byte        // guarded by mu
	more chan struct{} // guarded by mu; closed and replaced at each write
}

func newTail() *tail {
	return &tail{more: make(chan struct{})}
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, p...)
	if extra := len(w.data) - tailSize; extra > tailSize {
		w.data = append(w.data[:0], w.data[extra:]...)
	}
	close(w.more)
	w.more = make(chan struct{})
	return len(p), nil
}

// text returns the end of what was written, and a channel that is closed at the next write.
func (w *tail) text() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.data[max(0, len(w.data)-tailSize):]), w.more
}

// lastLines is the end of a text that is short enough to be read in the report of a failure.
func lastLines(text string) string {
	const lines, bytes = 30, 4 << 10
	text = text[max(0, len(text)-bytes):]
	for i, n := len(text)-1, 0; i >= 0; i-- {
		if i < len(text)-1 && text[i] == '\n' {
			if n++; n == lines {
				return text[i+1:]
			}
		}
	}
	return text
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return "it printed nothing"
	}
	return text[strings.LastIndexByte(text, '\n')+1:]
}
