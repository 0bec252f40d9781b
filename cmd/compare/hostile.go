package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attack is what hostile viewers did to a server and to its other viewers. The percentiles are medians of rounds, in which
// viewers are alone and then under attack, so that what else the machine does hits both.
type attack struct {
	Server  string  `json:"server"`
	Viewers int     `json:"viewers"`
	Lost    int     `json:"messages_lost"` // by the other viewers, in all rounds
	Alone   float64 `json:"p99_ms_alone"`
	Under   float64 `json:"p99_ms_under_attack"`
	Peak    float64 `json:"resident_mb_peak"`
	Attacks Harm    `json:"attacks"`
}

// Harm is what attackers have done so far.
type Harm struct {
	Churned int64 `json:"churned"`       // viewers that came and left
	Garbage int64 `json:"garbage"`       // connections that sent what is not a frame
	Flooded int64 `json:"flooded_bytes"` // that were sent at once
	Stalled int64 `json:"stalled"`       // viewers that never read
	Refused int64 `json:"refused"`
}

const (
	hostileRounds = 5
	// stallHistory is how many of the last messages the viewer that never reads asks for, 200 kB: more than the buffers of
	// its connection hold.
	stallHistory = 600
	floodBytes   = 100 << 20
)

// underAttack measures a server without and with attackers.
func underAttack(ctx context.Context, s server, viewers int, o fanoutOptions) (a attack, err error) {
	a = attack{Server: s.title, Viewers: viewers}
	open, err := openSession(ctx, s, viewers, o.cores)
	if err != nil {
		return a, err
	}
	defer open.close()
	attackers, err := startRole("attackers")
	if err != nil {
		return a, err
	}
	defer attackers.end()
	if _, err := open.publish(ctx, 20*o.rate, time.Duration(stallHistory/(20*o.rate)*float64(time.Second))); err != nil {
		return a, err
	}
	var p99s [2][]float64
	for range hostileRounds {
		for i, addr := range []string{"", open.addr} {
			if err := attackers.call(ctx, "Attack", addr, &a.Attacks); err != nil {
				return a, err
			}
			if _, err := open.publish(ctx, o.rate, settleFor); err != nil {
				return a, err
			}
			d, err := open.measure(ctx, o.rate, o.lasts/hostileRounds)
			if err != nil {
				return a, err
			}
			a.Lost += d.Expected - d.Received
			if d.P99 != nil {
				p99s[i] = append(p99s[i], *d.P99)
			}
		}
	}
	for i, p99 := range []*float64{&a.Alone, &a.Under} {
		if s := newSpan(p99s[i]); s != nil {
			*p99 = s.Median
		}
	}
	if err := attackers.call(ctx, "Attack", "", &a.Attacks); err != nil {
		return a, err
	}
	a.Peak, err = memory("VmHWM:", open.programs...)
	return a, err
}

func printAttacks(w io.Writer, all []attack) {
	fmt.Fprintln(w, "server\tviewers\tlost\tp99 alone, ms\tunder attack\tratio\tpeak memory, MB\tattackers came and left\tsent garbage\tMB at once\tnever read\trefused")
	for _, a := range all {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f\t%.1f\t%s\t%.1f\t%d\t%d\t%.0f\t%d\t%d\n", a.Server, a.Viewers, a.Lost, a.Alone, a.Under,
			number(a.Under/a.Alone, 2), a.Peak, a.Attacks.Churned, a.Attacks.Garbage, float64(a.Attacks.Flooded)/1e6, a.Attacks.Stalled, a.Attacks.Refused)
	}
}

// attackers are hostile viewers of four kinds.
type attackers struct {
	churned, garbage, flooded, stalled, refused atomic.Int64 // see Harm
	stop                                        context.CancelFunc
	wg                                          sync.WaitGroup
}

func newAttackers() (*attackers, error) { return &attackers{stop: func() {}}, nil }

// Attack attacks the server at an address, or with an empty one nothing, and reports what was done before.
func (a *attackers) Attack(addr string, done *Harm) error {
	a.stop()
	a.wg.Wait()
	*done = Harm{a.churned.Load(), a.garbage.Load(), a.flooded.Load(), a.stalled.Load(), a.refused.Load()}
	if addr == "" {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.wg.Go(func() { a.each(ctx, time.Second/20, addr, a.stall) })
	a.wg.Go(func() { a.each(ctx, time.Second/20, addr, a.garble) })
	a.wg.Go(func() { a.each(ctx, time.Second/20, addr, a.flood) })
	a.wg.Go(func() { a.each(ctx, time.Second/100, addr, a.visit) })
	return nil
}

// each joins the group and does something there, again and again, no more often than every so long.
func (a *attackers) each(ctx context.Context, every time.Duration, addr string, do func(context.Context, net.Conn)) {
	// Little room for what comes, before the server is promised more.
	narrow := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
	}}
	for next := time.Now(); sleepUntil(ctx, next); next = time.Now().Add(every) {
		conn, _, err := join(narrow, addr, fmt.Sprintf("%s?history=%d", groupPath, stallHistory))
		if err != nil {
			a.refused.Add(1)
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		do(ctx, conn)
		stop()
		_ = conn.Close()
	}
}

// visit leaves at once, every other time without a close frame.
func (a *attackers) visit(_ context.Context, conn net.Conn) {
	if a.churned.Add(1)%2 == 0 {
		_, _ = conn.Write([]byte{closeFrame, masked | 2, 0, 0, 0, 0, 3, 232})
	}
}

// stall never reads, as long as the server holds the connection: it is probed with pings.
func (a *attackers) stall(ctx context.Context, conn net.Conn) {
	a.stalled.Add(1)
	for sleepUntil(ctx, time.Now().Add(time.Second)) {
		if _, err := conn.Write([]byte{pingFrame, masked, 0, 0, 0, 0}); err != nil {
			return
		}
	}
}

// garble sends what is not a frame, of up to 4 kB.
func (a *attackers) garble(_ context.Context, conn net.Conn) {
	garbage := make([]byte, 1+rand.IntN(4<<10))
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	a.garbage.Add(1)
	if _, err := conn.Write(garbage); err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second / 20))
		_, _ = io.Copy(io.Discard, conn) // how it ends is the server's choice
	}
}

// flood sends 100 MB in frames of 4 kB, or in one that announces them, until the server has enough.
func (a *attackers) flood(_ context.Context, conn net.Conn) {
	if a.flooded.Load() >= floodBytes {
		return
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
	head := []byte{textFrame, masked | 126, 16, 0, 0, 0, 0, 0}
	if rand.IntN(2) == 0 {
		head = slices.Concat([]byte{textFrame, masked | 127}, []byte{0, 0, 0, 0, floodBytes >> 24, floodBytes >> 16 & 0xff, 0, 0}, make([]byte, 4))
		if _, err := conn.Write(head); err != nil {
			return
		}
		head = nil
	}
	for piece := append(head, make([]byte, 4<<10)...); a.flooded.Load() < floodBytes; {
		n, err := conn.Write(piece)
		a.flooded.Add(int64(n))
		if err != nil {
			return
		}
	}
}
