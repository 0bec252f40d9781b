package layer

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"gpsbridge/bridge/group"
)

func channelOf(group string) string { return "channel of " + group }

// joinedMemberships has these devices joined.
func joinedMemberships(devices ...string) *memberships {
	t := newMemberships(Config{}.defaults())
	for _, device := range devices {
		t.join(device)
	}
	joined := t.takeJoins(channelOf)
	t.enter(joined)
	t.confirm(joined)
	return t
}

func TestGroupsAreLeftHalfAMinuteAfterTheLastMember(t *testing.T) {
	now := time.Now()
	m := joinedMemberships("a", "b", "c")
	m.join("a") // a second member
	m.leave("a", now)
	m.leave("b", now)
	m.leave("c", now)
	m.join("c") // before it is left
	if left := m.takeLeaves(now.Add(linger - 1)); left != nil {
		t.Errorf("%v are left too early", names(left))
	}
	if left := names(m.takeLeaves(now.Add(linger))); !slices.Equal(left, []string{"gps_tracking_b"}) {
		t.Errorf("%v are left, not b alone", left)
	}
	m.leave("c", now.Add(linger))
	if left := m.takeLeaves(now.Add(linger + 1)); left != nil {
		t.Errorf("%v are left by an earlier member", names(left))
	}
	if left := names(m.takeLeaves(now.Add(2 * linger))); !slices.Equal(left, []string{"gps_tracking_c"}) {
		t.Errorf("%v are left, not c", left)
	}
	if m.join("b"); len(m.takeJoins(channelOf)) != 1 {
		t.Error("a group that was left is not joined again")
	}
}

func TestAnotherSessionJoinsWhatHasMembers(t *testing.T) {
	m := joinedMemberships("a", "b")
	m.leave("b", time.Now())
	m.restart()
	again := m.join("a")
	if taken := names(m.takeJoins(channelOf)); !slices.Equal(taken, []string{"gps_tracking_a"}) {
		t.Errorf("%v are joined, not a alone", taken)
	}
	select {
	case <-again:
		t.Error("a group counts as joined before it is")
	default:
	}
}

func TestGroupsAreJoinedInBatches(t *testing.T) {
	m := newMemberships(Config{}.defaults())
	for i := range 2*batch + 1 {
		m.join(strconv.Itoa(i))
	}
	for _, want := range []int{batch, batch, 1, 0} {
		if got := len(m.takeJoins(channelOf)); got != want {
			t.Errorf("a batch of %d, want %d", got, want)
		}
	}
}

func TestOwnMessagesAreRecognised(t *testing.T) {
	m := joinedMemberships("a")
	channel := channelOf("gps_tracking_a")
	wires := [][]byte{[]byte("1"), []byte("2"), []byte("3")}
	messages := []group.Message{{Data: []byte{1}, From: 1}, {Data: []byte{2}, From: 2}, {Data: []byte{3}, From: 3}}
	if _, joined := m.expect("elsewhere", wires, messages); joined {
		t.Error("messages are expected of a group that is not joined")
	}
	m.expect("a", wires, messages)
	failed, _ := m.expect("a", [][]byte{[]byte("4")}, []group.Message{{From: 4}})
	m.forget("a", failed)
	for _, wire := range []string{"2", "1", "3"} {
		if device, got, ok := m.receiver(channel, wire); !ok || device != "a" || got.From != int(wire[0]-'0') {
			t.Errorf("%s is %v of %q, %v", wire, got, device, ok)
		}
	}
	for _, wire := range []string{"1", "4", "5"} {
		if device, got, ok := m.receiver(channel, wire); !ok || device != "a" || got.Data != nil {
			t.Errorf("%s is %v of %q, %v", wire, got, device, ok)
		}
	}
	if _, _, ok := m.receiver(channelOf("gps_tracking_b"), "1"); ok {
		t.Error("a group that is not joined receives")
	}
}
