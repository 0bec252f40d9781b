package receiver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// auto finds the port of a receiver: the first, in order of rank, on which a valid sentence comes. It listens only, one port
// after the other, and leaves alone what is the system's console or another program's.
type auto struct {
	baud   int // 0: to be found
	system system
	setting
	lookout

	patience time.Duration // for a port that is silent, in this round
	stale    bool          // a port was listened to since the last look at who holds what
	left     string        // the node of a port that fell silent: the others get their turn first, once
}

const (
	// firstPatience is how long a silent port is listened to before the next one gets its turn. Receivers send once a second;
	// another covers a slow start. It doubles with each round, for those that send every 5 s.
	firstPatience = 2 * time.Second
	// fixedPasses is how many bursts may be wrong at a speed that the user wants: the first may be the end of one.
	fixedPasses = 3
)

func (*auto) finite() bool { return false }

func (a *auto) open(ctx context.Context) (stream, error) {
	names := a.system.names()
	ports, troubles := a.usable(a.stale)
	a.stale = false
	if len(ports)+len(troubles) == 0 {
		return stream{}, &problem.Problem{Code: source.NoPort, Cause: fmt.Sprintf("no receiver found (looked for %s)", strings.Join(a.system.patterns(), ", ")),
			Fix: "plug one in, or name its port with --device"}
	}
	if a.patience == 0 {
		a.patience = firstPatience
	}
	a.left = ""
	var first []refusal // of ports that send something
	for _, p := range ports {
		s, err := a.try(ctx, p, names, len(ports) == 1)
		if err == nil {
			a.patience = 0
			s.elsewhere = func() bool { return a.elsewhere(p) }
			return s, nil
		}
		if ctx.Err() != nil || errors.Is(err, errElsewhere) {
			return stream{}, err
		}
		if why := (refusal{p.Path, problem.Of(err)}); why.Code == source.Silent {
			troubles = append(troubles, why)
		} else {
			first = append(first, why)
		}
		a.status.binary(err)
	}
	a.patience = min(2*a.patience, max(a.silence, firstPatience))
	return stream{}, summary(append(first, troubles...))
}

// refusal is why a port is not the receiver's.
type refusal struct {
	port string
	*problem.Problem
}

// summary makes one problem of those of all ports. The first one decides the code; but ports are only silent when all are.
func summary(all []refusal) *problem.Problem {
	first := max(0, slices.IndexFunc(all, func(r refusal) bool { return r.Code != source.Silent }))
	sum := *all[first].Problem
	var causes, fixes []string
	same := true
	for _, r := range all {
		causes = append(causes, r.Cause)
		fixes = append(fixes, filepath.Base(r.port)+": "+r.Fix)
		same = same && r.Fix == sum.Fix
	}
	sum.Cause = strings.Join(causes, "; ")
	if !same {
		sum.Fix = strings.Join(fixes, "; ")
	}
	return &sum
}

// try listens on one port.
func (a *auto) try(ctx context.Context, p Port, names []string, only bool) (stream, error) {
	h := &hunt{port: p.Path, speeds: newSearch(a.memory.baud(p.Path)), passes: 1, silent: a.patience, turn: a.turn}
	if a.baud > 0 {
		h.speeds, h.fixed, h.passes = &search{order: []int{a.baud}}, true, fixedPasses
	}
	c, err := openFresh(p.Path, h.speeds.order[0])
	if err != nil {
		return stream{}, a.named(a.system, p.Path, err)
	}
	h.line, a.stale = c, true
	if only {
		h.tell = a.status.hunting
		h.silent = a.silence
	}
	h.leave = func() bool { return !slices.Equal(names, a.system.names()) }
	f, err := listen(ctx, h)
	if err != nil {
		return stream{}, err
	}
	a.memory.keep(p.Path, f.baud)
	return newStream(c, p.Path, p, f, a.baud > 0, a.setting), nil
}

// usable lists the ports that nothing speaks against, the one that worked last first, and what speaks against the others.
// again says to look through the processes even if that was just done.
func (a *auto) usable(again bool) (ports []Port, troubles []refusal) {
	all := a.system.list()
	a.system.judge(all, a.look(a.system, nodes(all), again))
	for _, p := range all {
		if p.Problem == nil {
			ports = append(ports, p)
		} else {
			troubles = append(troubles, refusal{p.Path, p.Problem})
		}
	}
	slices.SortStableFunc(ports, func(p, q Port) int {
		switch a.left {
		case p.node:
			return 1
		case q.node:
			return -1
		}
		return a.memory.order(p.Path, q.Path)
	})
	return ports, troubles
}

// elsewhere says whether there is another port than the one that is silent.
func (a *auto) elsewhere(silent Port) bool {
	ports, _ := a.usable(false)
	others := slices.ContainsFunc(ports, func(p Port) bool { return p.node != silent.node })
	if others {
		a.left = silent.node
	}
	return others
}

// names lists what is there, cheaply, to see whether it has changed.
func (s system) names() (all []string) {
	for _, pattern := range s.patterns() {
		names, err := filepath.Glob(pattern)
		if err == nil { // else the pattern is malformed
			all = append(all, names...)
		}
	}
	return all
}

// heardConn is a conn of which the beginning was read already.
type heardConn struct {
	conn
	heard []byte
}

func (h *heardConn) Read(p []byte) (int, error) {
	if len(h.heard) == 0 {
		return h.conn.Read(p)
	}
	n := copy(p, h.heard)
	h.heard = h.heard[n:]
	return n, nil
}
