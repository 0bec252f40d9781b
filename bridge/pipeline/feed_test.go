package pipeline

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gpsbridge/bridge/spool"
	"gpsbridge/nmea"
)

// TestAckedSeq has fixes and satellites spooled behind what an earlier run left, and acknowledged in any order. The seq up to
// which all is acknowledged is right, or unknown because satellites lie between.
func TestAckedSeq(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := spool.Open(spool.Options{Readers: []string{"a"}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range rapid.IntRange(0, 3).Draw(t, "left") {
			if _, err := s.Append([]byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		sky := rapid.Bool().Draw(t, "sky")
		fd := NewFeed(FeedConfig{DeviceID: "van_7", Limits: Limits{Sky: sky}, Keep: s.Append, Show: func(string, string, []byte) {}})
		fd.add("receiver")
		places := []uint64{0} // by seq
		t.Repeat(map[string]func(*rapid.T){
			"fix": func(*rapid.T) {
				fd.forward(&nmea.Fix{Mode: nmea.Mode3D}, time.Time{})
				places = append(places, s.Reader("a").Last())
			},
			"sky": func(*rapid.T) { fd.sky(0, &nmea.Sky{}) },
			"ack": func(t *rapid.T) { s.Reader("a").Ack(rapid.Uint64Range(1, s.Reader("a").Last()+1).Draw(t, "pos")) },
			"": func(t *rapid.T) {
				acked, want := s.Reader("a").Acked(), uint64(0)
				for seq, pos := range places {
					if pos <= acked {
						want = uint64(seq)
					}
				}
				switch got := fd.Status().Through(acked); {
				case got == nil && !sky:
					t.Fatal("not known up to which seq all is acknowledged")
				case got != nil && *got != want:
					t.Fatalf("acknowledged up to seq %d, want %d; satellites too: %t", *got, want, sky)
				}
			},
		})
	})
}

// TestMembers holds that servers get the members that are chosen, of each fix from the change on, and viewers all of them.
func TestMembers(t *testing.T) {
	var kept, shown string
	fd := NewFeed(FeedConfig{
		DeviceID: "van_7", Keep: func(msg []byte) (uint64, error) { kept = string(msg); return 1, nil },
		Show: func(_, _ string, msg []byte) { shown = string(msg) },
	})
	fd.add("receiver")
	set := func(v float64) nmea.Value { return nmea.Value{V: v, Set: true} }
	f := nmea.Fix{
		Mode: nmea.Mode3D, Status: nmea.StatusGPS, Time: time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC),
		Lat: set(51.5), Lon: set(-0.125), AltMSL: set(11), Speed: set(3), Track: set(90), HDOP: set(1), USat: set(9), NSat: set(12),
	}
	const all = "class device_id run mode status time lat lon altMSL speed track hdop uSat nSat seq"
	for _, tt := range []struct{ members, want string }{
		{"", all},
		{"time lat lon speed track", "class device_id run mode time lat lon speed track seq"},
		{"nSat eph altMSL", "class device_id run mode altMSL nSat seq"},
		{"status mode", "class device_id run mode status seq"},
		{"mode", "class device_id run mode seq"},
		{"", all},
	} {
		set, unknown, ok := nmea.ParseMembers(strings.Fields(tt.members))
		if !ok {
			t.Fatalf("%q is unknown", unknown)
		}
		fd.Limit(Limits{Members: set})
		fd.forward(&f, f.Time)
		if got := members(t, kept); got != tt.want {
			t.Errorf("members %q: servers get %s\nwant %s", tt.members, got, tt.want)
		}
		if got := members(t, shown); got != all {
			t.Errorf("members %q: viewers get %s\nwant %s", tt.members, got, all)
		}
		head, end := `{"class":"TPV","device_id":"van_7","run":"`+fd.Status().Run+`","mode":3`, `,"seq":`+fmt.Sprint(fd.Status().Reported)+`}`
		for _, msg := range []string{kept, shown} {
			if !strings.HasPrefix(msg, head) || !strings.HasSuffix(msg, end) {
				t.Errorf("the message is not %s...%s:\n%s", head, end, msg)
			}
		}
	}
}

// members are the names of the members of a message, in their order.
func members(t *testing.T, msg string) string {
	t.Helper()
	if !json.Valid([]byte(msg)) {
		t.Fatalf("not JSON: %s", msg)
	}
	var names []string
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(msg, -1) {
		names = append(names, m[1])
	}
	return strings.Join(names, " ")
}

// TestAtOnce holds which fixes do not wait for a batch: the first, the start, a turn, the stop, the loss of the fix and its return.
func TestAtOnce(t *testing.T) {
	drive := newDrive().during(10, at(0)).during(60, at(14)).during(20, course(20)).during(20, course(40)).
		during(30, at(0)).during(5, lost).during(10, found)
	for name, test := range map[string]struct {
		limits Limits
		want   []int // seconds of those that go at once
	}{
		"every fix":           {Limits{}, []int{0, 10, 90, 115, 140, 145}},
		"with a turn":         {Limits{Turn: 15}, []int{0, 10, 70, 90, 115, 140, 145}},
		"a fix each 5 s":      {Limits{Interval: 5 * time.Second}, []int{0, 10, 90, 115, 140, 145}},
		"each 7 s":            {Limits{Interval: 7 * time.Second}, []int{0, 10, 94, 115, 140, 145}}, // the first after the turn
		"each 7 s, and turns": {Limits{Interval: 7 * time.Second, Turn: 45}, []int{0, 10, 115, 140, 145}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			kept, at := 0, 0
			fd := NewFeed(FeedConfig{
				DeviceID: "van_7", Limits: test.limits, Keep: func([]byte) (uint64, error) { kept++; return uint64(kept), nil },
				Show: func(string, string, []byte) {},
				Kept: func(atOnce bool) {
					if atOnce {
						got = append(got, at)
					}
				},
			})
			fd.add("receiver")
			for i, f := range drive.fixes {
				at = i
				fd.forward(&f, f.Time)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("at once %v, want %v", got, test.want)
			}
			if test.limits == (Limits{}) && kept != len(drive.fixes) {
				t.Errorf("%d of %d fixes are kept", kept, len(drive.fixes))
			}
		})
	}
}
