package serial

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// auto finds the port of a receiver: the first, in order of rank, on which sentences of a GPS receiver come. It listens only,
// one port after the other, and leaves alone what is the system's console or another program's.
type auto struct {
	finder

	silent time.Duration // for how long a port may be silent in this round
	left   string        // the node of a port that was left: the others come first, once
	noFix  bool          // it was left because its receiver has never had a fix, and one with a fix is wanted
	yields time.Duration // after how long without a first fix that happens
}

const (
	// firstSilent is how long a silent port is listened to before the next one. Receivers send once a second; another second
	// covers a slow start. It doubles with each round, for those that send every 5 s.
	firstSilent = 2 * time.Second
	// firstYield is how long a receiver may be without its first fix before other ports are tried: a cold start takes half a
	// minute with a free view. It doubles each time that the others were no better.
	firstYield = time.Minute
	mostYield  = 16 * time.Minute
	// fixedPasses is how many bursts may be wrong at a speed that the configuration gives: the first may be the end of one.
	fixedPasses = 3
)

// NewAuto is the source "auto".
func NewAuto(_ string, o *source.Options) (source.Source, error) {
	return &auto{finder: finder{baud: baudOf(o), system: machine}}, nil
}

func (*auto) Traits() source.Traits { return source.Traits{} }

func (a *auto) Open(ctx context.Context, h source.Host) (source.Stream, error) {
	a.remember("auto", h)
	names := a.system.names()
	ports, refused := a.usable(a.listened)
	if len(ports)+len(refused) == 0 {
		return nil, a.system.noPort()
	}
	a.silent, a.yields = max(a.silent, firstSilent), cmp.Or(a.yields, firstYield)
	left, noFix := a.left, a.noFix
	a.left, a.noFix = "", false
	var first []refusal // of ports that send something
	for _, p := range ports {
		s, err := a.try(ctx, h, p, names, len(ports) == 1, noFix && p.node != left)
		if err == nil {
			a.silent = 0
			return s, nil
		}
		if ctx.Err() != nil || errors.Is(err, source.ErrElsewhere) {
			return nil, err
		}
		if why := (refusal{p.Path, problem.Of(err)}); why.Code == source.Silent {
			refused = append(refused, why)
		} else {
			first = append(first, why)
		}
	}
	a.silent = min(2*a.silent, max(h.Silence, firstSilent))
	return nil, summary(append(first, refused...))
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

// try listens on one port. Only means that there is no other, fix that only a receiver with a fix is wanted.
func (a *auto) try(ctx context.Context, h source.Host, p Port, names []string, only, fix bool) (source.Stream, error) {
	u := &hunt{host: h, fix: fix, passes: 1, silent: a.silent, position: true, unreported: !only}
	if a.baud > 0 {
		u.speeds, u.fixed, u.passes = &search{order: []int{a.baud}}, true, fixedPasses
	}
	if only {
		u.silent = freshSilence * h.Silence
	}
	u.leave = func() bool { return !slices.Equal(names, a.system.names()) }
	s, err := a.find(ctx, p, u)
	if err != nil {
		return nil, err
	}
	s.elsewhere = func() bool { return a.elsewhere(p) }
	s.yield = a.yieldFrom(p, time.Now())
	s.health.begin(time.Now())
	return s, nil
}

// yieldFrom watches a receiver that was found, until it has had a fix.
func (a *auto) yieldFrom(p Port, since time.Time) func(fixed bool, now time.Time) bool {
	ever := false
	return func(fixed bool, now time.Time) bool {
		if ever = ever || fixed; ever || now.Sub(since) < a.yields {
			return false
		}
		since, a.yields = now, min(2*a.yields, mostYield)
		a.noFix = a.elsewhere(p)
		return a.noFix
	}
}

// usable lists the ports without a problem, the one that worked last first, and the problems of the others. again means
// to look through the processes even if that was just done.
func (a *auto) usable(again bool) (ports []Port, refused []refusal) {
	all := a.system.list()
	a.system.judge(all, a.look(a.system, nodes(all), again))
	for _, p := range all {
		if p.Problem == nil {
			ports = append(ports, p)
		} else {
			refused = append(refused, refusal{p.Path, p.Problem})
		}
	}
	place := func(p Port) int { // what worked last comes first, what was left last
		switch {
		case p.node == a.left:
			return 1
		case p.Path == a.memory.last.Path:
			return -1
		}
		return 0
	}
	slices.SortStableFunc(ports, func(p, q Port) int { return cmp.Compare(place(p), place(q)) })
	return ports, refused
}

// elsewhere reports whether there is another port than the one that is silent.
func (a *auto) elsewhere(silent Port) bool {
	ports, _ := a.usable(false)
	others := slices.ContainsFunc(ports, func(p Port) bool { return p.node != silent.node })
	if others {
		a.left = silent.node
	}
	return others
}
