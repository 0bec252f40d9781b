package pipeline

import (
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
