package doctor

import (
	"cmp"
	"strings"
)

// State is how a link was found.
type State string

// The states of a link.
const (
	OK      State = "ok"
	Broken  State = "broken"
	Skipped State = "skipped" // not in use here, or not to be seen while an earlier link is broken
	Warning State = "warning" // works, and will not for long or not always
)

// Link is one place of the chain.
type Link struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Seen  string `json:"seen"` // what was found, in half a line
	Mend  string `json:"mend"` // what to do; empty while there is nothing to do

	mark string // between Seen and Mend in the sentence that both are of; "" for mendMark
}

// Sentence is the trouble of a link and its mend in one line, as the daemon's own status and log word it.
func (l Link) Sentence() string {
	if l.Mend == "" {
		return l.Seen
	}
	return l.Seen + cmp.Or(l.mark, mendMark) + l.Mend
}

// mendMark stands before the mend in the sentences of package uplink, and in those of this package.
const mendMark = "; "

// part cuts a sentence of another package into what was seen and the mend, which stands behind its last mark that is not in
// brackets. A sentence without the mark is all seen.
func part(sentence, mark string) (seen, mend string) {
	depth := 0
	for i := len(sentence) - 1; i > 0; i-- {
		switch {
		case sentence[i] == ')':
			depth++
		case sentence[i] == '(':
			depth--
		case depth == 0 && strings.HasPrefix(sentence[i:], mark):
			return sentence[:i], sentence[i+len(mark):]
		}
	}
	return sentence, ""
}

// FirstBroken returns the first broken link of a chain. It is false when none is.
func FirstBroken(links []Link) (Link, bool) { return first(links, Broken) }

// FirstWarning returns the first link of a chain that warns. It is false when none does.
func FirstWarning(links []Link) (Link, bool) { return first(links, Warning) }

func first(links []Link, s State) (Link, bool) {
	for _, l := range links {
		if l.State == s {
			return l, true
		}
	}
	return Link{}, false
}

// chain collects links in their order.
type chain struct {
	links []Link
	each  func(Link)
}

func (c *chain) add(l Link) {
	c.links = append(c.links, l)
	if c.each != nil {
		c.each(l)
	}
}

// broken adds a broken link by a sentence of another package that cuts at a mark.
func (c *chain) broken(name, sentence, mark string) {
	seen, mend := part(sentence, mark)
	c.add(Link{Name: name, State: Broken, Seen: seen, Mend: mend, mark: mark})
}

// blocked adds a link that cannot be seen because of another.
func (c *chain) blocked(name, by string) {
	c.add(Link{Name: name, State: Skipped, Seen: "not to be seen: " + by + " is broken"})
}
