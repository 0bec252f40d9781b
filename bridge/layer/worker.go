package layer

import (
	"context"
	"sync"
)

// queueBytes bounds what waits for one worker: some 25,000 messages, a second at the rate of one Redis. A worker that is later than
// that lacks CPU, and so what comes is dropped and counted: a reader that waited for it would keep confirmations and probes from every other
// group, until Redis cut off the connection (client-output-buffer-limit pubsub).
const queueBytes = 8 << 20

// arrival is what came for a group: over its channel, or as the JSON text of an event of Django's beside that.
type arrival struct {
	channel string
	wire    string
	event   []byte
}

// worker handles the arrivals of some groups in order. Its queue is what lies between the goroutine that reads from Redis and it.
type worker struct {
	mu      sync.Mutex
	waiting []arrival
	bytes   int
	wake    chan struct{}
}

func newWorker() *worker { return &worker{wake: make(chan struct{}, 1)} }

// put queues an arrival, and reports false when the queue is full. It does not block.
func (w *worker) put(a arrival) bool {
	w.mu.Lock()
	full := w.bytes >= queueBytes
	if !full {
		w.waiting = append(w.waiting, a)
		w.bytes += len(a.channel) + len(a.wire) + len(a.event)
	}
	w.mu.Unlock()
	signal(w.wake)
	return !full
}

// run hands arrivals to handle until ctx ends.
func (w *worker) run(ctx context.Context, handle func(arrival)) {
	var taken []arrival
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		clear(taken)
		w.mu.Lock()
		taken, w.waiting, w.bytes = w.waiting, taken[:0], 0
		w.mu.Unlock()
		for _, a := range taken {
			handle(a)
		}
	}
}
