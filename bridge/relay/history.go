package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	shared "gpsbridge/bridge/group"
)

// ask is what a member wants of what was before it joined.
type ask struct {
	newest int        // so many TPV
	after  shared.Key // in place of them, where it is known, those that came after this one
}

// askOf reads ?history=N and ?after=RUN:SEQ. A viewer gets the last fix in any case; a publisher, which waits for its own echoes,
// nothing older unless it asks. With after alone, all that is kept comes where it is not known.
func askOf(query url.Values, publisher bool, kept int) (want ask, err error) {
	if !publisher {
		want.newest = 1
	}
	if text := query.Get("after"); text != "" {
		i := strings.LastIndexByte(text, ':')
		seq, err := strconv.ParseUint(text[i+1:], 10, 64)
		if i < 1 || err != nil || seq == 0 {
			return want, denied{http.StatusBadRequest, fmt.Sprintf("after=%q is not RUN:SEQ of a fix", text)}
		}
		want.after = shared.Key{Run: text[:i], Seq: seq}
		want.newest = max(want.newest, kept)
	}
	if text := query.Get("history"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return want, denied{http.StatusBadRequest, fmt.Sprintf("history=%q is not a number of fixes", text)}
		}
		want.newest = int(n)
		if !publisher {
			want.newest = max(1, int(n))
		}
	}
	return want, nil
}

// stored is what the layer's store has of what a member asked for.
type stored struct {
	messages []*message // in the order of the store
	complete bool
	coming   map[uint64]bool // keys of what is stored, and may come yet
	since    uint64          // the group's count of messages before the store was asked
}

const (
	// storeLimit is how long a member waits for the store before it joins without.
	storeLimit = 5 * time.Second
	// storeAsks is how many members wait for the store at a time: after an outage all ask at once, and the store has fixes to take.
	storeAsks = 8
	// mostComing is how many of the newest stored fixes may be on their way to the group: twice the window of an uplink.
	mostComing = 64
	// longComing is for how long they may be: as long as the layer may need to publish them.
	longComing = time.Minute
)

// stored asks the store for what the group's own history cannot give; nil when that is enough, or all that there is. What came after
// a fix is always asked for: this node may have missed messages, and the store has not. No lock is held meanwhile.
func (h *hub) stored(g *group, want ask) *stored {
	if h.layer == nil || h.layer.Ready() != nil {
		return nil
	}
	since, enough := g.gives(want)
	if enough {
		return nil
	}
	ctx, cancel := context.WithTimeout(h.publishing, storeLimit)
	defer cancel()
	select {
	case h.asking <- struct{}{}:
		defer func() { <-h.asking }()
	case <-ctx.Done():
		return nil
	}
	from, err := h.fromStore(ctx, g.device, want)
	if err != nil {
		h.storeLog.Do(func() {
			h.log.Warn("the store does not answer: members get what this node has", "device_id", g.device, "err", err)
		})
		return nil
	}
	from.since = since
	return from
}

// fromStore asks for the newest fixes, because one of them may come after the member has joined that it is given or had before, and for
// more where that is wanted.
func (h *hub) fromStore(ctx context.Context, device string, want ask) (*stored, error) {
	from, most, count := &stored{coming: make(map[uint64]bool)}, min(want.newest, max(1, h.limits.history)), mostComing
	if want.after == (shared.Key{}) {
		count = max(count, most)
	}
	list, _, err := h.layer.History(ctx, device, shared.Key{}, count)
	if err != nil {
		return nil, err
	}
	recent := from.add(list)
	if want.after == (shared.Key{}) {
		fix, list := newest(recent, lastOf(recent), most)
		from.messages = withFix(fix, list)
		return from, nil
	}
	// The first may be the last fix, before a backlog that is longer than the list.
	i := slices.IndexFunc(list, func(m shared.Message) bool { return m.Key == want.after })
	if i > 0 && len(list)-i-1 <= most {
		from.messages, from.complete = recent[i+1:], true
		return from, nil
	}
	list, from.complete, err = h.layer.History(ctx, device, want.after, most)
	from.messages = from.add(list)
	return from, err
}

// add notes that the messages in list may come, and returns them as messages of this node.
func (s *stored) add(list []shared.Message) []*message {
	messages := framed(list)
	for _, m := range messages {
		s.coming[m.head.key()] = true
	}
	return messages
}

// framed are stored messages as those of this node.
func framed(list []shared.Message) (messages []*message) {
	for _, m := range list {
		head, err := parseHeader(m.Data)
		if err != nil {
			continue // the store has JSON
		}
		head.Run, head.Seq = m.Key.Run, m.Key.Seq
		messages = append(messages, newMessage(head, m.Data))
	}
	return messages
}

// lastOf is the last fix among messages in the order they came; nil for none.
func lastOf(messages []*message) (fix *message) {
	for _, m := range messages {
		if fix == nil || m.head.newer(fix.head) {
			fix = m
		}
	}
	return fix
}

// gives reports whether the group's own history has what is wanted, and how many messages the group has had.
func (g *group) gives(want ask) (n uint64, enough bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	have := g.history.len()
	if have == 0 && g.fix != nil {
		have = 1
	}
	return g.n, want.after == shared.Key{} && have >= min(want.newest, max(1, g.hub.limits.history))
}

// past is what the group's own history has of what is wanted: the last fix where it is not in list, and list. Under g.mu, as the list
// is the group's.
func (g *group) past(want ask) (fix *message, list []*message, complete bool) {
	if i := g.find(want.after); i >= 0 {
		return nil, g.history.messages()[i+1:], g.hub.layer == nil
	}
	fix, list = newest(g.history.messages(), g.fix, want.newest)
	return fix, list, false
}

// find is the place of a fix in the history; -1 where it is not there, and for no key. A message of the program itself has a key in its
// text alone. Under g.mu.
func (g *group) find(key shared.Key) int {
	if key == (shared.Key{}) {
		return -1
	}
	list, seq := g.history.messages(), strconv.AppendUint(nil, key.Seq, 10)
	for i, m := range slices.Backward(list) {
		if !bytes.Contains(m.data, seq) {
			continue
		}
		if head, err := parseHeader(m.data); err == nil && head.Run == key.Run && head.Seq == key.Seq {
			return i
		}
	}
	return -1
}

// newest returns the last want of a list, and before them the last fix where it is not among them: a backlog that came after it fills
// the list.
func newest(list []*message, last *message, want int) (fix *message, of []*message) {
	list = list[len(list)-min(want, len(list)):]
	if want == 0 || last == nil || slices.Contains(list, last) {
		return nil, list
	}
	if len(list) == want {
		list = list[1:]
	}
	return last, list
}

// withFix is a list with a fix before it, if there is one.
func withFix(fix *message, list []*message) []*message {
	if fix == nil {
		return slices.Clone(list)
	}
	return append([]*message{fix}, list...)
}

// merge is what the store has, with what came to the group meanwhile. What is stored and has not come yet will come; v skips it then.
// Under g.mu.
func (g *group) merge(v *viewer, from *stored) []*message {
	here, given, list := make(map[uint64]*message), make(map[uint64]bool), g.history.messages()
	for _, m := range list {
		here[m.head.key()] = m
	}
	all := from.messages
	for i, m := range all {
		key := m.head.key()
		given[key] = true
		if same := here[key]; same != nil {
			all[i] = same // one copy for all members
		}
	}
	v.skipEnd = time.Now().Add(longComing)
	for key := range from.coming {
		if here[key] == nil && !slices.Contains(g.seen, key) {
			v.skip = append(v.skip, key)
		}
	}
	then := slices.IndexFunc(list, func(m *message) bool { return m.n > from.since || given[m.head.key()] })
	if then < 0 {
		return all
	}
	for _, m := range list[then:] {
		if !from.coming[m.head.key()] {
			all = append(all, m)
		}
	}
	return all
}

// skips reports whether v got the message with key from the store already. Under group.mu.
func (v *viewer) skips(key uint64, now time.Time) bool {
	if len(v.skip) == 0 {
		return false
	}
	if now.After(v.skipEnd) {
		v.skip = nil
		return false
	}
	return key != 0 && slices.Contains(v.skip, key)
}

// fixes are all TPV that are kept, in the order they came.
func (g *group) fixes() []*message {
	g.mu.Lock()
	defer g.mu.Unlock()
	fix, list := newest(g.history.messages(), g.fix, max(1, g.history.len()))
	return withFix(fix, list)
}

// historyMessage is what a member that asked for what came after a fix gets first.
func historyMessage(device string, complete bool) *message {
	text, _ := json.Marshal(struct { // strings and truth values always encode
		Class    string `json:"class"`
		DeviceID string `json:"device_id"`
		Complete bool   `json:"complete"`
	}{"HISTORY", device, complete})
	return newMessage(header{}, text)
}
