package pipeline

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gpsbridge/nmea"
)

func TestFixMessageNamesItself(t *testing.T) {
	m := NewMessages("van_7")
	f := nmea.Fix{Mode: nmea.Mode3D}
	f.Lat, f.Lon = nmea.Value{V: 51.5, Set: true}, nmea.Value{V: -0.125, Set: true}
	for seq := 1; seq <= 2; seq++ {
		msg := m.Fix(&f)
		want := fmt.Sprintf(`^{"class":"TPV","device_id":"van_7","run":"[0-9a-f]{16}","mode":3,.*"lat":51\.50*,.*,"seq":%d}$`, seq)
		if !json.Valid(msg) || !regexp.MustCompile(want).Match(msg) {
			t.Errorf("message %s\ndoes not match %s", msg, want)
		}
	}
	if a, b := NewMessages("van_7").Run, m.Run; a == b {
		t.Errorf("two runs are both called %s", a)
	}
}

func TestMessagesDoNotShareMemory(t *testing.T) {
	m := NewMessages("van_7")
	first := m.Fix(&nmea.Fix{})
	kept := string(first)
	m.Fix(&nmea.Fix{Mode: nmea.Mode3D})
	if string(first) != kept {
		t.Errorf("the second message overwrote the first: %s", first)
	}
}

func TestFixMessageAllocatesItselfAlone(t *testing.T) {
	m := NewMessages("van_7")
	f := nmea.Fix{Mode: nmea.Mode3D, Lat: nmea.Value{V: 51.5, Set: true}}
	m.Fix(&f)
	if n := testing.AllocsPerRun(100, func() { m.Fix(&f) }); n != 1 {
		t.Errorf("%g allocations a message, want 1", n)
	}
}

func TestSkyMessage(t *testing.T) {
	msg := NewMessages("van_7").sky(&nmea.Sky{})
	var got struct {
		Class    string `json:"class"`
		DeviceID string `json:"device_id"`
	}
	if err := json.Unmarshal(msg, &got); err != nil || got.Class != "SKY" || got.DeviceID != "van_7" {
		t.Errorf("message %s, %v", msg, err)
	}
	if strings.Contains(string(msg), `"run"`) {
		t.Errorf("a SKY message has a key: %s", msg)
	}
}

func TestLateMessageIsTheSameMessage(t *testing.T) {
	m := NewMessages("van_7")
	msg := m.Fix(&nmea.Fix{Mode: nmea.Mode2D})
	kept := string(msg)
	late := Late(msg)
	var got struct {
		Backlog bool `json:"backlog"`
		Seq     int  `json:"seq"`
	}
	if err := json.Unmarshal(late, &got); err != nil || !got.Backlog || got.Seq != 1 {
		t.Errorf("late message %s, %v", late, err)
	}
	if string(msg) != kept {
		t.Errorf("the message itself was changed to %s", msg)
	}
	if head := strings.TrimSuffix(kept, "}"); !strings.HasPrefix(string(late), head) {
		t.Errorf("late message %s does not begin as %s", late, kept)
	}
}
