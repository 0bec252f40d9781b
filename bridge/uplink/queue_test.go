package uplink

import (
	"sync"
	"testing"
	"time"
)

// fakeQueue is a queue in memory; position n is record n.
type fakeQueue struct {
	mu      sync.Mutex
	data    [][]byte
	acked   []bool
	added   []time.Time
	ackedAt []time.Time // of the first acknowledgement
	low     uint64
	changed chan struct{} // closed at each change
}

func newQueue(records int) *fakeQueue {
	q := &fakeQueue{changed: make(chan struct{})}
	for i := range records {
		q.add(record(i + 1))
	}
	return q
}

func (q *fakeQueue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *fakeQueue) add(data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.data, q.acked = append(q.data, data), append(q.acked, false)
	q.added, q.ackedAt = append(q.added, time.Now()), append(q.ackedAt, time.Time{})
	q.wake()
}

// addEach adds records up to one, each some time after the one before.
func (q *fakeQueue) addEach(every time.Duration, upTo int) {
	for seq := int(q.Last()) + 1; seq <= upTo; seq++ {
		if every > 0 {
			pass(every)
		}
		q.add(record(seq))
	}
}

func (q *fakeQueue) Next(after uint64) (uint64, []byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := max(after, q.low); i < uint64(len(q.data)); i++ {
		if !q.acked[i] {
			return i + 1, q.data[i], nil
		}
	}
	return 0, nil, nil
}

func (q *fakeQueue) Arrival() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

func (q *fakeQueue) Ack(pos uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.acked[pos-1] {
		q.acked[pos-1], q.ackedAt[pos-1] = true, time.Now()
	}
	for q.low < uint64(len(q.data)) && q.acked[q.low] {
		q.low++
	}
	q.wake()
}

func (q *fakeQueue) Acked() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.low
}

func (q *fakeQueue) Last() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return uint64(len(q.data))
}

// await waits until everything up to pos is acknowledged.
func (q *fakeQueue) await(t testing.TB, pos uint64, limit time.Duration) {
	t.Helper()
	timeout := time.After(limit)
	for {
		q.mu.Lock()
		low, changed := q.low, q.changed
		q.mu.Unlock()
		if low >= pos {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("acknowledged up to %d of %d within %s", low, pos, limit)
		}
	}
}
