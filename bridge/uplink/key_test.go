package uplink

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestKeysAreFoundAtDepth(t *testing.T) {
	a, b := Key{"r1", 7}, Key{"r1", 8}
	for frame, want := range map[string][]Key{
		`{"class":"TPV","run":"r1","seq":7}`:                                          {a},
		`{"run": "r1", "seq": 7.0}`:                                                   {a},
		`{"run":"r1","seq":"7"}`:                                                      {a},
		`{"run":"r1","seq":7e0}`:                                                      {a},
		`{"type":"fix","data":{"run":"r1","seq":7}}`:                                  {a},
		`{"message":"{\"run\":\"r1\",\"seq\":7}"}`:                                    {a},
		`[{"run":"r1","seq":7}]`:                                                      {a},
		`{"type":"batch","items":[{"run":"r1","seq":7},{"run":"r1","seq":8.0}]}`:      {a, b},
		`["{\"run\":\"r1\",\"seq\":\"7\"}",{"payload":{"fix":{"run":"r1","seq":8}}}]`: {a, b},
		`{"a":{"b":{"c":{"run":"r1","seq":7}}}}`:                                      {a},
		`{"a":{"b":{"c":{"d":{"run":"r1","seq":7}}}}}`:                                nil,
		`{"run":"r1","seq":7,"copy":{"run":"r1","seq":8}}`:                            {a, b},
		`{"run":"r1","seq":1.0}`:                                                      {{"r1", 1}},
		`{"run":"r1","seq":9007199254740991.0}`:                                       {{"r1", 1<<53 - 1}},
		`{"run":"r1","seq":9007199254740992.0}`:                                       nil, // from here on a float is not exact
		`[[[{"run":"r1","seq":7}]]]`:                                                  {a},
		`[[[[{"run":"r1","seq":7}]]]]`:                                                nil,
		`{"run":"r1"}`:                                                                nil,
		`{"run":"r1","seq":0}`:                                                        nil,
		`{"run":"r1","seq":1.5}`:                                                      nil,
		`{"run":5,"seq":7}`:                                                           nil,
		`"running"`:                                                                   nil,
		`not JSON, run`:                                                               nil,
		`{"data":{"class":"SKY"}}`:                                                    nil,
	} {
		got := slices.Collect(Keys([]byte(frame)))
		slices.SortFunc(got, func(x, y Key) int { return int(x.Seq) - int(y.Seq) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", frame, got, want)
		}
	}
}

// A message of another member of the group is not held as the values that it is made of, which would be fifty times as much.
func TestKeysHoldLittle(t *testing.T) {
	frame := []byte(`[` + strings.Repeat(`{"":0},`, maxEcho/7-10) + `{"run":"r1","seq":7}]`)
	var before, at runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range Keys(frame) {
		runtime.GC()
		runtime.ReadMemStats(&at)
	}
	if held := int64(at.HeapAlloc) - int64(before.HeapAlloc); at.HeapAlloc == 0 || held > 8*maxEcho {
		t.Errorf("%d kB are held of a message of %d kB", held>>10, len(frame)>>10)
	}
}

func FuzzKeys(f *testing.F) {
	for _, seed := range []string{`{"run":"r1","seq":7}`, `[{"message":"{\"run\":\"r\",\"seq\":\"7\"}"}]`, `[[[[[["run"]]]]]]`, `{"run":{"run":"run"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		for key := range Keys(frame) {
			if key.Run == "" || key.Seq == 0 {
				t.Errorf("incomplete key %+v", key)
			}
		}
	})
}

// BenchmarkKeys is what each message of the group costs.
func BenchmarkKeys(b *testing.B) {
	const fix = `"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":1843,"mode":3,"time":"2026-11-23T09:00:01.200Z","lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"speed":13.89,"track":84.40}`
	for name, frame := range map[string]string{"echo": "{" + fix, "wrapped": `{"type":"fix","data":{` + fix + "}"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for range Keys([]byte(frame)) {
				}
			}
		})
	}
}
