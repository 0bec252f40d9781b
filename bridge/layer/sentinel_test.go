package layer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestMost(t *testing.T) {
	for _, c := range []struct {
		named []string
		name  string
		votes int
	}{
		{[]string{"a", "b", "b"}, "b", 2},
		{[]string{"b", "a", ""}, "b", 1},
		{[]string{"", "", "a"}, "a", 1},
		{[]string{"", "", ""}, "", 0},
	} {
		if name, votes := most(c.named); name != c.name || votes != c.votes {
			t.Errorf("%q: got %q with %d", c.named, name, votes)
		}
	}
}

// TestDividedSentinels: the newest failover counts, unless more than half of the Sentinels agree on another master.
func TestDividedSentinels(t *testing.T) {
	failed := answer{err: errors.New("refused")}
	for name, c := range map[string]struct {
		answers [3]*answer // nil from one that is cut off
		want    string
	}{
		"the second is newer":   {[3]*answer{{address: "old", epoch: 1}, {address: "new", epoch: 2}, nil}, "new"},
		"the first is newer":    {[3]*answer{{address: "new", epoch: 2}, {address: "old", epoch: 1}, nil}, "new"},
		"one refuses":           {[3]*answer{{address: "old", epoch: 1}, &failed, {address: "new", epoch: 2}}, "new"},
		"only one answers":      {[3]*answer{nil, nil, {address: "old"}}, "old"},
		"most agree":            {[3]*answer{{address: "new", epoch: 2}, {address: "old", epoch: 1}, {address: "old", epoch: 1}}, "old"},
		"none answers":          {},
		"all refuse the answer": {[3]*answer{&failed, &failed, &failed}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), sentinelTimeout)
				defer cancel()
				answers := make(chan answer, len(c.answers))
				for i, a := range c.answers {
					if a != nil {
						a := *a
						a.from = i
						answers <- a
					}
				}
				h := &host{sentinels: make([]sentinel, len(c.answers))}
				if got, err := h.count(ctx, answers); got != c.want || (err == nil) != (c.want != "") {
					t.Errorf("got %q, %v, want %q", got, err, c.want)
				}
			})
		})
	}
}
