package event_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/problem"
)

// byDefault is the format that is written before another one is known.
var byDefault = event.Format{Type: "gps_update", Field: "data"}

func ignore(event.Format) {}

// header is what every event of byDefault begins with: two members, the type's name and value, the member's name.
const header = "\x82\xa4type\xaagps_update\xa4data"

func TestAppend(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`null`: "\xc0", ` true`: "\xc3", "false\n": "\xc2",
		`0`: "\x00", `-0`: "\x00", `127`: "\x7f", `128`: "\xcc\x80", `-32`: "\xe0", `-33`: "\xd0\xdf", `-129`: "\xd1\xff\x7f",
		`65535`: "\xcd\xff\xff", `65536`: "\xce\x00\x01\x00\x00", `4294967296`: "\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
		`18446744073709551615`: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", `-9223372036854775808`: "\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
		`1.0`: "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", `1e0`: "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", `-0.0`: "\xcb\x80\x00\x00\x00\x00\x00\x00\x00",
		`""`: "\xa0", `"a\u0062\n"`: "\xa3ab\n", `"\ud83d\ude00"`: "\xa4😀", `"` + strings.Repeat("x", 32) + `"`: "\xd9\x20" + strings.Repeat("x", 32),
		`"\u0078` + strings.Repeat("x", 300) + `"`: "\xda\x01\x2d" + strings.Repeat("x", 301),
		`[]`: "\x90", `{ }`: "\x80", `[1, [2]]`: "\x92\x01\x91\x02",
		`[` + strings.Repeat("1,", 15) + `1]`:      "\xdc\x00\x10" + strings.Repeat("\x01", 16),
		`{"b":1,"a":{"c":null}}`:                   "\x82\xa1b\x01\xa1a\x81\xa1c\xc0",
		`{"a":1,"b":2,"\u0061":{"a":3}}`:           "\x82\xa1a\x81\xa1a\x03\xa1b\x02",
		`[{"a":1,"a":[2,2],"a":3},{"b":1,"b":""}]`: "\x92\x81\xa1a\x03\x81\xa1b\xa0",
	} {
		got, err := byDefault.Append([]byte("before"), []byte(text))
		if err != nil || string(got) != "before"+header+want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, header+want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, ` `, `nul`, `NaN`, `Infinity`, `-Infinity`, `1e400`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `0x1`, `1 2`, `{}{}`, `[1,]`, `{"a":1,}`, `[`, `{`, `{"a"`, `{"a":`,
		`{1:2}`, `{a:1}`, `"`, `"\`, `"\u12`, `"\x41"`, "\"\n\"", "\"\xff\"", "\"\xed\xa0\x80\"", `"\ud800"`, `"\ud800\ud800"`, `"\ude00\ud83d"`, `"\ud800x"`,
		`18446744073709551616`, `-9223372036854775809`, `99999999999999999999999999`,
		strings.Repeat("[", 501) + strings.Repeat("]", 501), strings.Repeat(`{"a":`, 100_000),
	} {
		got, err := byDefault.Append([]byte("before"), []byte(text))
		if problem.CodeOf(err) != group.CodeNotCarried || string(got) != "before" {
			t.Errorf("%.40s: got %q, %v, want a problem %s", text, got, err, group.CodeNotCarried)
		}
	}
}

// TestOpen: what applications write, and what becomes of it.
func TestOpen(t *testing.T) {
	t.Parallel()
	a := event.NewApplication("gps_update", "data", ignore)
	for data, want := range map[string]string{
		"\xc0":                                 `null`,
		"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00": `1.0`,
		"\xcb\x43\x41\xc3\x79\x37\xe0\x80\x00": `1e+16`,
		"\xcb\x80\x00\x00\x00\x00\x00\x00\x00": `-0.0`,
		"\xca\x3f\xc0\x00\x00":                 `1.5`,
		"\xd3\xff\xff\xff\xff\xff\xff\xff\xfe": `-2`,
		"\xd1\xff\x7f":                         `-129`,
		"\xd9\x03a\"\x01":                      `"a\"\u0001"`,
		"\x82\xa1a\x92\x01\xc3\xa0\x80":        `{"a":[1,true],"":{}}`,
		"\xa8{\"a\": 1}":                       `{"a": 1}`, // text that is JSON is the message
		"\xa3{a}":                              `"{a}"`,
		"\xa11":                                `"1"`, // the text of a number may well be a string
	} {
		got, _, err := a.Open([]byte("before"), []byte(header+data))
		if err != nil || string(got) != "before"+want {
			t.Errorf("%q: got %q, %v, want %q", data, got, err, want)
		}
	}
	for _, data := range []string{
		"", "\xc1", "\xc4\x01a", "\xd4\x01a", "\xc7\x01\x01a", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\x81\x01\x02", "\x81\xc4\x01a\x02",
		"\xa1\xff", "\xa3\xed\xa0\x80", "\xa5abc", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\x00\x00", strings.Repeat("\x91", 100_000) + "\xc0",
		strings.Repeat("\x91", 501) + "\xc0",
	} {
		got, _, err := a.Open([]byte("before"), []byte(header+data))
		if problem.CodeOf(err) != event.CodeEvent || string(got) != "before" {
			t.Errorf("%.40q: got %q, %v, want a problem %s", data, got, err, event.CodeEvent)
		}
	}
}

func TestOpenReturnsTheChannels(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		f := event.Format{Type: "gps_update", Field: "data", JSON: asJSON}
		written, err := f.Append(nil, []byte(`{"lat":1.5}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, names := range [][]string{{"specific.a!b"}, {"specific.a!b", "specific.a!c"}, strings.Split(strings.Repeat("x,", 40), ",")} {
			message, channels, err := event.NewApplication("", "", ignore).Open(nil, event.Address(nil, written, names))
			if err != nil || string(message) != `{"lat":1.5}` || fmt.Sprintf("%s", channels) != fmt.Sprint(names) {
				t.Errorf("JSON %t: got %s to %s, %v, want %s", asJSON, message, channels, err, names)
			}
		}
	}
	// As send() addresses one channel.
	const one = "\x83\xa4type\xaagps_update\xa4data\x80\xb0__asgi_channel__\xa3a!b"
	if _, channels, err := event.NewApplication("", "", ignore).Open(nil, []byte(one)); err != nil || fmt.Sprintf("%s", channels) != "[a!b]" {
		t.Errorf("got %s, %v", channels, err)
	}
}

// TestApplicationLearns: each case is a series of events, and what is known after it.
func TestApplicationLearns(t *testing.T) {
	t.Parallel()
	const skipped = ""
	type step struct{ event, message string }
	for name, test := range map[string]struct {
		typ, field string
		steps      []step
		want       event.Format
		learnt     bool
	}{
		"nothing seen": {want: byDefault},
		"the default":  {steps: []step{{`{"type":"gps_update","data":{"a":1}}`, `{"a":1}`}}, want: byDefault},
		"another type and member": {
			steps: []step{
				{`{"type":"gps_update","data":{"a":1}}`, `{"a":1}`}, // of a node that has not learnt yet
				{`{"type":"joined","by":"x"}`, skipped},
				{`{"type":"gps.message","message":{"a":2},"by":"x"}`, `{"a":2}`},
				{`{"type":"joined","user":{"a":2}}`, skipped},
				{`{"type":"gps.message","message":3}`, `3`},
				{`{"type":"gps_update","data":{"a":4}}`, `{"a":4}`},
			},
			want: event.Format{Type: "gps.message", Field: "message"}, learnt: true},
		"text in the member": {
			steps: []step{{`{"type":"gps.message","message":"{\"a\": 1}"}`, `{"a": 1}`}, {`{"type":"gps.message","message":"hello"}`, `"hello"`}},
			want:  event.Format{Type: "gps.message", Field: "message", Text: true}, learnt: true},
		"text in the default member": {
			steps: []step{{`{"type":"gps_update","data":"[1]"}`, `[1]`}},
			want:  event.Format{Type: "gps_update", Field: "data", Text: true}, learnt: true},
		"two objects": {steps: []step{{`{"type":"x","a":{},"b":{}}`, skipped}}, want: byDefault},
		"no type":     {steps: []step{{`{"data":{}}`, skipped}, {`{"type":5,"data":{}}`, skipped}}, want: byDefault},
		"the type is configured": {typ: "x",
			steps: []step{{`{"type":"y","a":{}}`, skipped}, {`{"type":"x","a":{"b":1},"c":2}`, `{"b":1}`}},
			want:  event.Format{Type: "x", Field: "a"}, learnt: true},
		"the member is configured": {field: "a",
			steps: []step{{`{"type":"y","b":{}}`, skipped}, {`{"type":"x","a":{"b":1},"c":{}}`, `{"b":1}`}},
			want:  event.Format{Type: "x", Field: "a"}, learnt: true},
		"all is configured": {typ: "x", field: "a",
			steps: []step{{`{"type":"gps_update","data":{}}`, skipped}, {`{"type":"x","a":"{}"}`, `{}`}},
			want:  event.Format{Type: "x", Field: "a", Text: true}, learnt: true},
	} {
		t.Run(name, func(t *testing.T) {
			var learnt []event.Format
			a := event.NewApplication(test.typ, test.field, func(f event.Format) { learnt = append(learnt, f) })
			for _, s := range test.steps {
				got, _, err := a.Open(nil, msgpackOf(t, s.event))
				if string(got) != s.message || (err != nil) != (s.message == skipped) {
					t.Errorf("%s: got %q, %v, want %q", s.event, got, err, s.message)
				}
			}
			if got := a.Format(); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if len(learnt) > 1 || test.learnt != slices.Contains(learnt, test.want) {
				t.Errorf("learnt %+v", learnt)
			}
		})
	}
}

// TestJSONEvents: the JSON serializer of channels_redis is recognised, and used from then on.
func TestJSONEvents(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]event.Format{
		`{"type": "gps_update", "data": {"a": 1}}`:        {Type: "gps_update", Field: "data", JSON: true},
		`{"type": "gps.message", "message": "{\"a\":1}"}`: {Type: "gps.message", Field: "message", Text: true, JSON: true},
	} {
		a := event.NewApplication("", "", ignore)
		if got, _, err := a.Open(nil, []byte(data)); err != nil || string(got) != `{"a":1}` {
			t.Errorf("%s: got %s, %v", data, got, err)
		}
		f := a.Format()
		if f != want {
			t.Errorf("%s: got %+v, want %+v", data, f, want)
		}
		written, err := f.Append(nil, []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(string(written), ": ", ":") != strings.ReplaceAll(data, ": ", ":") {
			t.Errorf("wrote %s, want %s", written, data)
		}
		if _, err := f.Append(nil, []byte(`{`)); problem.CodeOf(err) != group.CodeNotCarried {
			t.Errorf("half a message: got %v", err)
		}
	}
}

// msgpackOf is a JSON text as msgpack.
func msgpackOf(t *testing.T, text string) []byte {
	t.Helper()
	data, err := byDefault.Append(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return data[len(header):]
}

func TestApplicationLearnsOnce(t *testing.T) {
	t.Parallel()
	var times atomic.Int64
	a := event.NewApplication("", "", func(event.Format) { times.Add(1) })
	var all sync.WaitGroup
	for i := range 8 {
		data := msgpackOf(t, fmt.Sprintf(`{"type":"t%d","m":{"a":1}}`, i))
		all.Go(func() {
			for range 100 {
				a.Open(nil, data)
			}
		})
	}
	all.Wait()
	f := a.Format()
	if times.Load() != 1 || f.Field != "m" || len(f.Type) != 2 {
		t.Fatalf("got %+v, learnt %d times", f, times.Load())
	}
	a.Open(nil, msgpackOf(t, `{"type":"other","m":{"a":1}}`))
	if again := a.Format(); again != f {
		t.Errorf("learnt %+v after %+v", again, f)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	// Of channels_redis: [_consistent_hash("gps_tracking_%d" % i, n) for i in range(12)]
	for hosts, want := range map[int]string{1: "[0 0 0 0 0 0 0 0 0 0 0 0]", 2: "[0 0 0 0 0 0 0 0 1 1 0 0]", 3: "[0 0 1 0 0 0 0 0 2 2 1 1]", 7: "[2 1 2 2 0 0 0 0 5 5 3 3]"} {
		var got []int
		for i := range 12 {
			got = append(got, event.Host(fmt.Sprintf("gps_tracking_%d", i), hosts))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%d hosts: got %v, want %s", hosts, got, want)
		}
	}
}

func TestFernet(t *testing.T) {
	t.Parallel()
	made := time.Unix(1_700_000_000, 0)
	first, second := event.NewCrypter([]string{"first", "second"}), event.NewCrypter([]string{"second", "first"})
	for _, size := range []int{0, 1, 15, 16, 17, 1000} {
		text := bytes.Repeat([]byte("x"), size)
		token := first.Encrypt(nil, text, made)
		if got, ok := second.Decrypt([]byte("before"), token, made, time.Minute); !ok || string(got) != "before"+string(text) {
			t.Fatalf("%d bytes: got %q, %t", size, got, ok)
		}
		if _, ok := event.NewCrypter([]string{"second"}).Decrypt(nil, token, made, 0); ok {
			t.Error("a key that did not encrypt has decrypted")
		}
		for i := range token {
			changed := bytes.Clone(token)
			changed[i] ^= 1
			if got, ok := first.Decrypt(nil, changed, made, 0); ok && !strings.HasSuffix(string(token[i+1:]), "=") {
				t.Fatalf("decrypted %q with its byte %d changed", got, i)
			}
			if _, ok := first.Decrypt(nil, token[:i], made, 0); ok {
				t.Fatalf("decrypted %d of %d bytes", i, len(token))
			}
		}
	}
	token := first.Encrypt(nil, []byte("x"), made)
	for later, want := range map[time.Duration]bool{-61 * time.Second: false, -60 * time.Second: true, 0: true, 70 * time.Second: true, 71 * time.Second: false} {
		if _, ok := first.Decrypt(nil, token, made.Add(later), 70*time.Second); ok != want {
			t.Errorf("%v later: decrypted %t, want %t", later, ok, want)
		}
	}
	if _, ok := first.Decrypt(nil, token, made.Add(-time.Hour), 0); !ok {
		t.Error("without a limit a time does not matter")
	}
	if event.NewCrypter(nil) != nil {
		t.Error("no keys encrypt nothing")
	}
}

// fix is a message as the daemon sends it.
const fix = `{"class":"TPV","device_id":"van_7","run":"5f1c09ae77b2d041","seq":1843,"mode":3,"status":1,"time":"2026-11-23T09:00:01.200Z",` +
	`"lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"altHAE":57.9,"geoidSep":46.7,"speed":13.89,"track":84.40,"climb":0.1,"magvar":0.6,` +
	`"hdop":0.80,"vdop":1.10,"pdop":1.36,"eph":15.2,"epv":25.3,"uSat":9,"nSat":14}`

func BenchmarkAppend(b *testing.B) {
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		room, _ = byDefault.Append(room[:0], []byte(fix))
	}
}

func BenchmarkOpen(b *testing.B) {
	data, err := byDefault.Append(nil, []byte(fix))
	if err != nil {
		b.Fatal(err)
	}
	a := event.NewApplication("gps_update", "data", ignore)
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		room, _, _ = a.Open(room[:0], data)
	}
}

func BenchmarkAppendManyMembers(b *testing.B) {
	var text strings.Builder
	for i := range 8000 {
		fmt.Fprintf(&text, `,"%d":1`, i)
	}
	message := []byte("{" + text.String()[1:] + "}")
	var room []byte
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		room, _ = byDefault.Append(room[:0], message)
	}
}
