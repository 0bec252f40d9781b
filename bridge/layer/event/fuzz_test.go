package event_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/layer/event"
)

// FuzzAppend: what is written is what another reader of JSON reads, and reads back as the same.
func FuzzAppend(f *testing.F) {
	for _, text := range []string{fix, `[{"a":1,"a":{"b":[]},"c":"\ud83d\ude00\u0000"},-129,1e-7,18446744073709551615,null,true]`, `"` + strings.Repeat("ä", 200) + `"`,
		`{"a":[` + strings.Repeat(`{"b":1},`, 20) + `{}]}`} {
		f.Add([]byte(text))
	}
	a := event.NewApplication("gps_update", "data", ignore)
	f.Fuzz(func(t *testing.T, text []byte) {
		written, err := byDefault.Append(nil, text)
		if err != nil {
			return // that what is valid is accepted is compared with Python
		}
		back, _, err := a.Open(nil, written)
		if err != nil {
			t.Fatalf("%q as %q: %v", text, written, err)
		}
		var value, want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("accepted %q: %v", text, err)
		}
		if s, is := want.(string); is && string(back) == s {
			return // text that is JSON is the message
		}
		if err := json.Unmarshal(back, &value); err != nil || !reflect.DeepEqual(value, want) {
			t.Fatalf("%q became %q: %v", text, back, err)
		}
		again, err := byDefault.Append(nil, back)
		if err != nil || string(again) != string(written) {
			t.Fatalf("%q became %q: %q and then %q, %v", text, back, written, again, err)
		}
	})
}

// FuzzOpen: no event makes anything but JSON, nor more of it than six times its size.
func FuzzOpen(f *testing.F) {
	for _, data := range []string{header + "\x81\xa1a\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", header + "\xdc\x00\x01\xda\x00\x02\x01\"", header + "\xde\x00\x01\xd9\x01a\xca\x00\x00\x00\x01",
		header + "\xdd\xff\xff\xff\xff", "\x83\xa4type\xa1x\xa1m\xa2{}\xb0__asgi_channel__\x91\xa1a", `{"type":"x","m":{"a":1},"__asgi_channel__":["a"]}`} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a := event.NewApplication("", "", ignore)
		message, _, err := a.Open(nil, data)
		if err != nil {
			return
		}
		if !json.Valid(message) || len(message) > 6*len(data) {
			t.Fatalf("%q became %q", data, message)
		}
		format := a.Format()
		written, err := format.Append(nil, message)
		if err != nil {
			t.Fatalf("%q became %q, which is not carried: %v", data, message, err)
		}
		again, _, err := a.Open(nil, written)
		if err != nil || string(again) != string(message) {
			t.Fatalf("%q became %q, then %q, %v", data, message, again, err)
		}
	})
}

// FuzzDecrypt: no token that the key did not make is decrypted.
func FuzzDecrypt(f *testing.F) {
	c := event.NewCrypter([]string{"key"})
	now := time.Unix(1_700_000_000, 0)
	f.Add(event.NewCrypter([]string{"another"}).Encrypt(nil, []byte("text"), now))
	f.Add([]byte("gAAAAAAAAAAA"))
	f.Fuzz(func(t *testing.T, token []byte) {
		if text, ok := c.Decrypt(nil, token, now, time.Minute); ok {
			t.Fatalf("%q became %q", token, text)
		}
		back, ok := c.Decrypt(nil, c.Encrypt(nil, token, now), now, time.Minute)
		if !ok || string(back) != string(token) {
			t.Fatalf("%q came back as %q, %t", token, back, ok)
		}
	})
}
