package relay

import (
	"errors"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// write is the goroutine that writes: messages, pings, the close frame.
func (v *viewer) write() {
	defer close(v.writeDone)
	ping := time.NewTicker(v.hub.limits.ping)
	defer ping.Stop()
	for {
		select {
		case <-v.readDone:
			return
		case <-v.quit:
			v.finish()
			return
		case <-ping.C:
			if !v.wrote(v.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(v.hub.limits.slow))) {
				return
			}
		case <-v.wake:
			if !v.drain() {
				return
			}
		}
	}
}

// Bounds of what is written at once, which has one slow timeout for it all: no
// more than a full socket buffer takes at once when the kernel reports that there
// is room again, which it does when a third of the 64 kB is free.
const (
	batchBytes    = 8 << 10
	batchMessages = 16
)

// send writes what is queued, as much as goes out at once, until the time that
// it is given. more is false when nothing was queued.
func (v *viewer) send(until time.Time) (more bool, err error) {
	batch, all := v.batch[:0], v.frames[:0]
	for size := 0; size < batchBytes && len(all) < batchMessages; {
		m := v.next()
		if m == nil {
			break
		}
		batch, all = append(batch, m), append(all, m.frame)
		size += len(m.frame)
	}
	if len(all) == 0 {
		v.mu.Lock()
		v.losing = time.Time{}
		v.mu.Unlock()
		return false, nil
	}
	v.batch, v.frames = batch, all
	if err = v.wire.send(&all, until); err == nil {
		v.hub.delivered.Add(int64(len(v.frames)))
	}
	for _, m := range v.batch {
		m.release(&v.hub.queued)
	}
	clear(v.batch)
	clear(v.frames)
	return true, err
}

// drain writes until nothing is queued, or until shut, or for half a ping
// interval, so that a viewer with much to read is pinged too.
func (v *viewer) drain() bool {
	start := time.Now()
	for now := start; now.Sub(start) <= v.hub.limits.ping/2; now = time.Now() {
		more, err := v.send(now.Add(v.hub.limits.slow))
		if !v.wrote(err) {
			return false
		}
		if !more {
			return true
		}
		select {
		case <-v.quit:
			return true
		default:
		}
	}
	signal(v.wake)
	return true
}

// finish sends what is queued and the close frame, within limits.linger in all,
// and leaves the reader as long again to see the answer.
func (v *viewer) finish() {
	end := time.Now().Add(v.hub.limits.linger)
	more, err := v.send(end)
	for more && err == nil {
		more, err = v.send(end)
	}
	if err == nil {
		v.mu.Lock()
		frame := websocket.FormatCloseMessage(v.code, v.reason)
		v.mu.Unlock()
		err = v.conn.WriteControl(websocket.CloseMessage, frame, end.Add(v.hub.limits.linger/4))
	}
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		v.conn.Close()
		return
	}
	v.conn.SetReadDeadline(time.Now().Add(v.hub.limits.linger))
}

// wrote handles the result of a write. After an error the connection is useless, except when the reader sent a close frame: then the reader ends it.
func (v *viewer) wrote(err error) bool {
	if err == nil {
		return true
	}
	if errors.Is(err, websocket.ErrCloseSent) {
		return false
	}
	if isTimeout(err) && v.shut(websocket.CloseTryAgainLater, "") {
		v.closedSlow("it read no data", v.hub.limits.slow)
	}
	v.conn.Close()
	return false
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
