package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gpsbridge/cmd/internal/command"
)

// attackers are the viewers that mean harm, in a goroutine each, bounded in what they do a second.
type attackers struct {
	addr                                        string
	churned, garbage, flooded, stalled, refused atomic.Int64 // see harm
	wg                                          sync.WaitGroup
}

func playAttackers(ctx context.Context, w command.Process, _ command.Command, _ []string) error {
	a := new(attackers)
	stop := func() {}
	leave := func() { stop(); a.wg.Wait() }
	defer func() { leave() }()
	return serveRole(ctx, w, func(s siege) (any, error) {
		leave()
		if a.addr = s.Addr; a.addr != "" {
			var attacking context.Context
			attacking, stop = context.WithCancel(ctx)
			a.start(attacking)
		}
		return harm{a.churned.Load(), a.garbage.Load(), a.flooded.Load(), a.stalled.Load(), a.refused.Load()}, nil
	})
}

func (a *attackers) start(ctx context.Context) {
	a.wg.Go(func() { a.each(ctx, time.Second/floodRate, a.stall) })
	a.wg.Go(func() { a.each(ctx, time.Second/garbageRate, a.babble) })
	a.wg.Go(func() { a.each(ctx, time.Second/floodRate, a.flood) })
	a.wg.Go(func() {
		a.each(ctx, churnEvery, func(ctx context.Context) {
			a.wg.Go(func() { a.visit(ctx) })
		})
	})
}

// each does something again and again, no more often than every so long.
func (a *attackers) each(ctx context.Context, every time.Duration, do func(context.Context)) {
	for next := time.Now(); sleepUntil(ctx, next); {
		next = next.Add(every)
		if now := time.Now(); next.Before(now) {
			next = now // what was missed is not made up for
		}
		do(ctx)
	}
}

// enter joins the group. The connection ends with ctx.
func (a *attackers) enter(ctx context.Context, d net.Dialer, query string) (conn net.Conn, leave func()) {
	conn, _, err := join(d, a.addr, groupPath+query)
	if err != nil {
		a.refused.Add(1)
		return nil, nil
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, func() { stop(); _ = conn.Close() }
}

// visit comes and leaves, every other time without a word.
func (a *attackers) visit(ctx context.Context) {
	conn, leave := a.enter(ctx, net.Dialer{}, "")
	if conn == nil {
		return
	}
	defer leave()
	if a.churned.Add(1)%2 == 0 {
		_, _ = conn.Write(appendFrame(nil, closeFrame, true, []byte{3, 232})) // 1000; a server that is gone needs none
	}
}

// stall asks for all that the group keeps, with room for a little of it, and never reads.
func (a *attackers) stall(ctx context.Context) {
	// Before it connects, or the server has been promised more room already.
	narrow := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
	}}
	conn, leave := a.enter(ctx, narrow, fmt.Sprintf("?history=%d", stallHistory))
	if conn == nil {
		return
	}
	defer leave()
	a.stalled.Add(1)
	for held(conn) && sleepUntil(ctx, time.Now().Add(time.Second)) {
	}
}

// held says whether the server still holds the connection: a byte to one that it has closed is answered with a reset, and
// the next one is refused. What is sent are pings without anything.
func held(conn net.Conn) bool {
	_, err := conn.Write(appendFrame(nil, pingFrame, true, nil))
	return err == nil
}

// babble sends what is no frame, of up to 4 kB, and looks how the server takes it.
func (a *attackers) babble(ctx context.Context) {
	conn, leave := a.enter(ctx, net.Dialer{}, "")
	if conn == nil {
		return
	}
	defer leave()
	garbage := make([]byte, 1+rand.IntN(4<<10))
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	a.garbage.Add(1)
	if _, err := conn.Write(garbage); err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second / garbageRate))
		_, _ = io.Copy(io.Discard, conn) // how it ends is the server's choice
	}
}

// flood sends the 100 MB, in one frame that says so, or on every other connection in frames of 4 kB, until the server has
// enough. It begins again until all were sent.
func (a *attackers) flood(ctx context.Context) {
	if a.flooded.Load() >= floodBytes {
		return
	}
	conn, leave := a.enter(ctx, net.Dialer{}, "")
	if conn == nil {
		return
	}
	defer leave()
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
	piece := make([]byte, 32<<10)
	next := appendFrame(nil, textFrame, true, piece[:4<<10])
	if rand.IntN(2) == 0 {
		next = []byte{textFrame, masked | 127, 0, 0, 0, 0, floodBytes >> 24, floodBytes >> 16 & 0xff, floodBytes >> 8 & 0xff, 0, 0, 0, 0, 0}
		if n, err := conn.Write(next); err != nil || n < len(next) {
			return
		}
		next = piece
	}
	for a.flooded.Load() < floodBytes {
		n, err := conn.Write(next)
		a.flooded.Add(int64(n))
		if err != nil {
			return
		}
	}
}
