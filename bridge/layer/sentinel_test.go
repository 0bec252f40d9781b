package layer

import "testing"

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
