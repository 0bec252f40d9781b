package relay

import (
	"context"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	shared "gpsbridge/bridge/group"
	"gpsbridge/bridge/problem"
)

const (
	// publishLimit is how long the layer may take for what a publisher has sent: more than it needs to find that a server is gone, and Redis' Sentinels
	// to replace one.
	publishLimit = 10 * time.Second
	// returnLimit is how long after that a message may take to come back from the layer.
	returnLimit = 5 * time.Second
	// groupLost is the reason in the close frame of a publisher whose messages the layer did not take.
	groupLost = "the group cannot be reached: send again"
)

// outbox is what a publisher has sent and the layer has not given back yet. Guarded by the viewer's mu.
type outbox struct {
	waiting queue // to be published
	sent    queue // published, or about to be. They come back in this order
	running bool  // publishAll
	failed  bool  // nothing is published any more: a later message must not be in the group without an earlier one
}

func (o *outbox) len() int   { return o.waiting.len() + o.sent.len() }
func (o *outbox) bytes() int { return o.waiting.bytes + o.sent.bytes }

// post has m published. Its echo is due when it comes back.
func (v *viewer) post(m *message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.outbox.failed {
		return
	}
	v.add(&v.outbox.waiting, m)
	if !v.outbox.running {
		v.outbox.running = true
		v.hub.running.Go(v.publishAll)
		return
	}
	signal(v.posted)
}

// publishAll is the goroutine that gives the layer what waits, in its order, until all has come back.
func (v *viewer) publishAll() {
	overdue := time.NewTimer(returnLimit)
	defer overdue.Stop()
	for {
		batch, out := v.nextBatch()
		switch {
		case len(batch) > 0:
			ctx, cancel := context.WithTimeout(v.hub.publishing, publishLimit)
			err := v.hub.layer.Publish(ctx, v.group.device, batch)
			cancel()
			switch {
			case problem.CodeOf(err) == shared.CodeNotCarried: // nor will it be when it comes again
				v.giveUp(websocket.CloseInvalidFramePayloadData, closeReason(err), err.Error())
			case err != nil:
				v.giveUp(websocket.CloseServiceRestart, groupLost, err.Error())
			}
			overdue.Reset(returnLimit)
		case out == 0:
			return
		default:
			select {
			case <-v.posted: // or one came back
				overdue.Reset(returnLimit)
			case <-overdue.C:
				v.giveUp(websocket.CloseServiceRestart, groupLost, "what was published did not come back")
			}
		}
	}
}

// nextBatch takes all that waits; out is how many have not come back. With none of either the goroutine ends.
func (v *viewer) nextBatch() (batch []shared.Message, out int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := &v.outbox
	batch = make([]shared.Message, 0, o.waiting.len())
	for o.waiting.len() > 0 {
		m := o.waiting.pop()
		o.sent.push(m)
		batch = append(batch, shared.Message{Data: m.data, Key: m.head.groupKey(), Backlog: m.head.Backlog, From: v})
	}
	o.running = o.len() > 0
	return batch, o.len()
}

// returned is the message with data that this publisher has sent; nil where it is not in the outbox any more.
func (v *viewer) returned(data []byte) *message {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.outbox.sent.messages() {
		if &m.data[0] == &data[0] {
			return m
		}
	}
	return nil
}

// settle takes a message that came back out of the outbox, if it is there. Under mu.
func (v *viewer) settle(m *message) {
	i := slices.Index(v.outbox.sent.messages(), m)
	if i < 0 {
		return
	}
	v.outbox.sent.remove(i)
	m.release(&v.hub.queued)
	signal(v.room)
	signal(v.posted)
}

// giveUp drops what the layer has not given back and closes the publisher, which sends it again: it is not known whether the group
// has it.
func (v *viewer) giveUp(code int, reason, why string) {
	v.mu.Lock()
	first := !v.outbox.failed
	v.outbox.failed = true
	v.clearOutbox()
	v.mu.Unlock()
	if first {
		n := v.hub.unpublished.Add(1)
		v.hub.layerLog.Do(func() {
			v.hub.log.Warn("publisher closed: the group did not take its messages", "device_id", v.group.device, "publisher", v.peer, "err", why, "so_far", n)
		})
	}
	v.shut(code, reason)
	signal(v.wake)
}

// clearOutbox drops what is in the outbox. Under mu.
func (v *viewer) clearOutbox() {
	for _, q := range []*queue{&v.outbox.waiting, &v.outbox.sent} {
		for q.len() > 0 {
			q.pop().release(&v.hub.queued)
		}
		*q = queue{}
	}
	signal(v.posted)
}
