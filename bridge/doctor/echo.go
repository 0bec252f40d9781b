package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

const (
	// holdTime is how long the connection must stay open after the handshake. Servers that accept and then refuse do it at
	// once; Daphne's application checker, which ends an application that failed, runs each second.
	holdTime = 2 * time.Second
	// echoTime is how long an echo is waited for, of the daemon's own fixes or of the doctor's message: receivers send a fix a
	// second, and a loaded server's echo takes seconds.
	echoTime = 5 * time.Second
)

// heard is what came over a connection.
type heard struct {
	lost error         // why it ended; nil while it is open
	pong time.Duration // after which a ping was answered; 0: it was not
	seq  uint64        // of a message that was waited for; 0: none came
	echo time.Duration // after which it came
}

// listenToGroup judges the group of a device ID by a connection that has just joined it, and closes that. It sends one message
// where no daemon does.
func (w serverWalk) listenToGroup(ctx context.Context, conn *websocket.Conn, name string) {
	if w.daemon.alone && !w.noSend {
		w.sendToGroup(ctx, conn, name)
		return
	}
	before, beside := w.daemon.uplink(w.uplink.Name, w.id)
	limit := holdTime
	if beside {
		limit = echoTime
	}
	h := follow(ctx, conn, limit, nil, w.daemon.newFix(w.id))
	if ctx.Err() != nil {
		return
	}
	w.daemon.ask(ctx)
	after, beside := w.daemon.uplink(w.uplink.Name, w.id)
	switch {
	case h.lost != nil:
		w.add(broken(name, uplink.ExplainLoss(h.lost)))
	case h.seq > 0:
		w.add(ok(name, fmt.Sprintf("the daemon's fix %d came back from the group", h.seq)))
	case h.pong == 0:
		w.add(warning(name, &problem.Problem{Code: NoPong, Cause: fmt.Sprintf("the server has not answered a ping for %v", limit),
			Fix: "it or the network is overloaded; run the doctor again in a while"}))
	case !beside:
		w.add(ok(name, fmt.Sprintf("%s is accepted, a ping answered in %d ms; no fix was sent to see it come back", w.id, max(1, h.pong.Milliseconds()))))
	default:
		w.add(judgeDelivery(name, before, after))
	}
}

// sendToGroup sends the group one message and judges by what becomes of it.
func (w serverWalk) sendToGroup(ctx context.Context, conn *websocket.Conn, name string) {
	messages := pipeline.NewMessages(w.id) // as the daemon sends them while there is no fix
	msg, run := messages.Fix(&nmea.Fix{Mode: nmea.ModeNone}), messages.Run
	h := follow(ctx, conn, echoTime, msg, func(msg []byte) uint64 {
		if r, seq := keyOf(msg); r == run {
			return seq
		}
		return 0
	})
	if ctx.Err() != nil {
		return
	}
	w.add(judgeEcho(name, h, w.uplink.Ack))
}

// judgeEcho judges by what became of the one message that was sent.
func judgeEcho(name string, h heard, ack uplink.AckMode) Link {
	const sent = "one message without a position was sent"
	switch {
	case h.lost != nil:
		p := *uplink.ExplainLoss(h.lost)
		p.Cause, p.Fix = sent+", and then: "+p.Cause, cmp.Or(p.Fix, "read the server's log")
		return broken(name, &p)
	case h.seq > 0:
		return ok(name, fmt.Sprintf("%s, and echoed after %d ms", sent, max(1, h.echo.Milliseconds())))
	case h.pong == 0:
		return warning(name, &problem.Problem{Code: NoPong, Cause: fmt.Sprintf("%s, and no ping was answered for %v", sent, echoTime),
			Fix: "the server or the network is overloaded; run the doctor again in a while"})
	case ack == uplink.AckEcho:
		return broken(name, &problem.Problem{Code: EchoMissing, Key: "ack", Cause: fmt.Sprintf(`%s, and not echoed for %v, while ack = "echo" requires that`, sent, echoTime),
			Fix: "check that the server's channel layer (Redis) is up; for a server that never echoes, remove ack"})
	case ack == uplink.AckNone:
		return ok(name, sent+`; the server does not echo, and ack = "none" requires nothing`)
	}
	return ok(name, fmt.Sprintf("%s; the server does not echo: pong, in %d ms, will acknowledge", sent, max(1, h.pong.Milliseconds())))
}

// judgeDelivery judges by the daemon's own counts, when none of its fixes came by in echoTime.
func judgeDelivery(name string, before, after observe.UplinkStatus) Link {
	acked := after.Acked > before.Acked
	switch {
	case after.State != uplink.Connected:
		return broken(name, notConnected(after))
	case after.Sent == before.Sent && after.LastAckAge != nil:
		return ok(name, fmt.Sprintf("the daemon's last fix was acknowledged %.0f s ago, none was sent since", *after.LastAckAge))
	case after.Sent == before.Sent:
		return skipped(name, "the daemon has sent no fix yet")
	case acked && after.Warning != nil:
		return warning(name, after.Warning)
	case acked && after.Ack == uplink.AckEcho:
		return warning(name, &problem.Problem{Code: GroupNotShared, Cause: "fixes come back to the daemon, and not to other members of the group",
			Fix: "let all processes of the server share one channel layer (Redis)"})
	case acked:
		return ok(name, fmt.Sprintf("the server sends nothing back, the daemon goes by %s", after.Ack))
	}
	return broken(name, &problem.Problem{Code: NoDelivery, Cause: fmt.Sprintf("the server accepts the daemon's fixes and has sent none back for %v", echoTime),
		Fix: "check that its channel layer (Redis) is up, and read its log"})
}

// keyOf is what identifies a message, "" and 0 for one that is not a tracker's.
func keyOf(msg []byte) (run string, seq uint64) {
	var key struct {
		Run string `json:"run"`
		Seq uint64 `json:"seq"`
	}
	if json.Unmarshal(msg, &key) != nil {
		return "", 0
	}
	return key.Run, key.Seq
}

// follow sends a message if there is one, pings, and listens until a message that isNew came by, the limit is over or the
// connection ends, and closes it. After its own message it holds the connection for holdTime: a server may echo it and fail then.
func follow(ctx context.Context, conn *websocket.Conn, limit time.Duration, message []byte, isNew func([]byte) uint64) (h heard) {
	began := time.Now()
	pongs, fixes, lost := make(chan struct{}, 1), make(chan uint64, 1), make(chan error, 1)
	conn.SetPongHandler(func(string) error {
		pongs <- struct{}{} // one ping, one pong
		conn.SetPongHandler(nil)
		return nil
	})
	var reader sync.WaitGroup
	reader.Go(func() { read(conn, isNew, fixes, lost) })
	defer func() {
		closing := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = conn.WriteControl(websocket.CloseMessage, closing, time.Now().Add(time.Second)) // a courtesy
		_ = conn.Close()
		reader.Wait()
	}()
	if message != nil {
		_ = conn.SetWriteDeadline(began.Add(limit))
		h.lost = conn.WriteMessage(websocket.TextMessage, message)
	}
	if err := conn.WriteControl(websocket.PingMessage, nil, began.Add(limit)); err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		h.lost = err
	}
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		select {
		case <-pongs:
			h.pong = max(time.Since(began), 1)
		case h.seq = <-fixes:
			h.echo = time.Since(began)
			if message == nil {
				return h
			}
			over.Reset(min(holdTime, limit) - h.echo)
		case err := <-lost:
			h.lost = err // the reader's error has the close code, the writer's does not
			return h
		case <-over.C:
			return h
		case <-ctx.Done():
			return h
		}
	}
}

// read reads until the connection ends, and passes on the first new fix.
func read(conn *websocket.Conn, isNew func([]byte) uint64, fixes chan<- uint64, lost chan<- error) {
	var msg bytes.Buffer
	for found := false; ; {
		whole, err := uplink.Next(conn, &msg, func() {})
		if err != nil {
			lost <- err
			return
		}
		if !whole || found {
			continue
		}
		if seq := isNew(msg.Bytes()); seq > 0 {
			found = true
			fixes <- seq
		}
	}
}
