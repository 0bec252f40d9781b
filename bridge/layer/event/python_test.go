package event_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/realtest"
)

// python answers lines: the name of a function and its arguments in base64, as one line of base64, or "-" where Python raises.
const python = `
import base64, binascii, hashlib, json, sys
import msgpack
from cryptography.fernet import Fernet, MultiFernet
from channels_redis.utils import _consistent_hash

def refuse(name):
    raise ValueError(name)

def pairs(members):
    for member in members: # those that a later one of the name replaces are refused here too
        msgpack.packb(member)
        json.dumps(member, allow_nan=False)
    return dict(members)

def pack(kind, field, text):
    message = json.loads(text, parse_constant=refuse, object_pairs_hook=pairs)
    json.dumps(message, allow_nan=False) # and 1e400 is infinite
    return msgpack.packb({"type": kind.decode(), field.decode(): message}, use_bin_type=True)

def unpack(field, data):
    event = msgpack.unpackb(data, raw=False)
    return json.dumps(event[field.decode()], ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

def fernet(keys):
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(key).digest())) for key in keys.split()])

def encrypt(keys, now, data):
    return fernet(keys).encrypt_at_time(data, int(now))

def decrypt(keys, ttl, now, token):
    return b"+" + fernet(keys).decrypt_at_time(token, int(ttl), int(now))

def host(name, hosts):
    return str(_consistent_hash(name.decode(), int(hosts))).encode()

for line in sys.stdin:
    name, *args = line.split(" ")
    try:
        answer = base64.b64encode(globals()[name](*map(base64.b64decode, args))).decode()
    except Exception:
        answer = "-"
    print(answer, flush=True)
`

// startPython returns a function that asks it; ok is false where Python raises.
func startPython(t *testing.T) func(t rapid.TB, name string, args ...string) (answer string, ok bool) {
	t.Helper()
	realtest.Need(t, realtest.ChannelsRedis)
	cmd := realtest.Python(t, python)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	process := realtest.Start(t, "Python", cmd)
	t.Cleanup(func() {
		in.Close()
		if code, err := process.Exit(time.Minute); code != 0 || err != nil {
			t.Errorf("Python ended with %d, %v", code, err)
		}
	})
	answers := bufio.NewReader(out)
	return func(t rapid.TB, name string, args ...string) (string, bool) {
		line := name
		for _, arg := range args {
			line += " " + base64.StdEncoding.EncodeToString([]byte(arg))
		}
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := answers.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(answer))
		return string(raw), err == nil
	}
}

// jsonValues are JSON texts of every kind: as other programs write them too, with space, escapes, repeated names and numbers at the limits.
func jsonValues() *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	number := rapid.OneOf(
		rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
		rapid.Map(rapid.Uint64(), func(n uint64) string { return strconv.FormatUint(n, 10) }),
		rapid.Map(rapid.IntRange(-300, 300), strconv.Itoa),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }),
		rapid.Map(rapid.Uint64(), func(bits uint64) string { return fmt.Sprintf("%v", math.Float64frombits(bits)) }), // NaN and infinities among them
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`),
		rapid.SampledFrom([]string{"-0", "1e400", "-1E-400", "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "01", "1."}),
	)
	text := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) string { return quote(s) }),
		rapid.Map(rapid.StringN(30, 300, -1), func(s string) string { return quote(s) }),
		rapid.StringMatching(`"([ -!#-\[\]-~äß漢😀]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\ud83d\\ude0[0-9a-f]){0,40}"`),
		rapid.SampledFrom([]string{`"\ud800"`, `"\ude00"`, `"\ud83d\ude00\u0000"`, "\"\x7f\"", "\"\x01\"", `"\x"`, `"{\"a\": 1}"`}),
	)
	name := rapid.OneOf(rapid.SampledFrom([]string{`"a"`, `"b"`, `"\u0061"`, `"lat"`}), text)
	leaf := rapid.OneOf(number, text, rapid.SampledFrom([]string{"null", "true", "false", "NaN", "-Infinity", "nul"}))
	value := leaf
	for range 3 { // as deep as objects and arrays lie in each other
		inner := value
		value = rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) string {
			around := func(s string) string { return space.Draw(t, "space") + s + space.Draw(t, "space") }
			parts := rapid.SliceOfN(inner, 0, 4).Draw(t, "parts")
			many := rapid.IntRange(0, 9).Draw(t, "many") == 0
			for many && len(parts) > 0 && len(parts) < 40 { // a header of more than one byte
				parts = append(parts, parts...)
			}
			if rapid.Bool().Draw(t, "array") {
				return around("[" + strings.Join(parts, ",") + "]")
			}
			for i, part := range parts {
				n := strconv.Quote(strconv.Itoa(i))
				if !many || i < 2 {
					n = around(name.Draw(t, "name"))
				}
				parts[i] = n + ":" + part
			}
			return around("{" + strings.Join(parts, ",") + "}")
		}))
	}
	return value
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestAgainstPython: the same bytes as Python's msgpack and json in both directions, and the same refused; each side reads what the
// other one has encrypted.
func TestAgainstPython(t *testing.T) {
	t.Parallel()
	ask := startPython(t)
	types := rapid.SampledFrom([]string{"gps_update", "gps.message", "ä", strings.Repeat("long", 20)})
	t.Run("to msgpack and back", func(t *testing.T) {
		written, refused := 0, 0
		values := jsonValues()
		rapid.Check(t, func(t *rapid.T) {
			f := event.Format{Type: types.Draw(t, "type"), Field: types.Draw(t, "field")}
			text := values.Draw(t, "JSON")
			want, ok := ask(t, "pack", f.Type, f.Field, text)
			got, err := f.Append(nil, []byte(text))
			if (err == nil) != ok || string(got) != want {
				t.Fatalf("%s: got %q, %v, Python has %q, %t", text, got, err, want, ok)
			}
			if !ok {
				refused++
				return
			}
			written++
			wantJSON, ok := ask(t, "unpack", f.Field, want)
			back, _, err := event.NewApplication(f.Type, f.Field, ignore).Open(nil, got)
			if isText := strings.HasPrefix(wantJSON, `"`) && json.Valid(back) && string(back) != wantJSON; isText {
				var inner string
				if err := json.Unmarshal([]byte(wantJSON), &inner); err != nil || inner != string(back) {
					t.Fatalf("%q: got %s, Python has %s", got, back, wantJSON)
				}
				return
			}
			if err != nil || !ok || string(back) != wantJSON {
				t.Fatalf("%q: got %s, %v, Python has %s, %t", got, back, err, wantJSON, ok)
			}
		})
		t.Logf("%d were written, %d refused by both", written, refused)
	})
	t.Run("from any bytes", func(t *testing.T) {
		read, refused := 0, 0
		a := event.NewApplication("gps_update", "data", ignore)
		values := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 30), rapid.SliceOfN(rapid.SampledFrom([]byte("\x00\x01\x81\x92\xa1a\xc0\xc3\xca\xcb\xcc\xd0\xd9\xdc\xde\xe0")), 1, 20))
		rapid.Check(t, func(t *rapid.T) {
			data := header + string(values.Draw(t, "msgpack"))
			want, ok := ask(t, "unpack", "data", data)
			got, _, err := a.Open(nil, []byte(data))
			if ok && strings.Count(want, `":`) != strings.Count(string(got), `":`) {
				return // a repeated name, which no dict has
			}
			if (err == nil) != ok || string(got) != want {
				t.Fatalf("%q: got %s, %v, Python has %s, %t", data, got, err, want, ok)
			}
			if ok {
				read++
			} else {
				refused++
			}
		})
		t.Logf("%d were read, %d refused by both", read, refused)
	})
	t.Run("encrypted", func(t *testing.T) {
		const keys, other, now = "first second", "second first", 1_700_000_000
		c := event.NewCrypter(strings.Fields(keys))
		rapid.Check(t, func(t *rapid.T) {
			data := string(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data"))
			age := rapid.IntRange(-70, 80).Draw(t, "age")
			at, later := strconv.Itoa(now), strconv.Itoa(now+age)
			token := c.Encrypt(nil, []byte(data), time.Unix(now, 0))
			want, fresh := ask(t, "decrypt", other, "70", later, string(token))
			if fresh && want != "+"+data || fresh != (age >= -60 && age <= 70) {
				t.Fatalf("Python decrypted %q as %q, %t after %d s", data, want, fresh, age)
			}
			theirs, _ := ask(t, "encrypt", keys, at, data)
			got, ok := event.NewCrypter(strings.Fields(other)).Decrypt(nil, []byte(theirs), time.Unix(now+int64(age), 0), 70*time.Second)
			if ok != fresh || ok && string(got) != data {
				t.Fatalf("%q came as %q, %t after %d s", data, got, ok, age)
			}
		})
	})
	t.Run("hosts", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			name, hosts := rapid.String().Draw(t, "name"), rapid.IntRange(1, 16).Draw(t, "hosts")
			want, _ := ask(t, "host", name, strconv.Itoa(hosts))
			if got := strconv.Itoa(event.Host(name, hosts)); got != want {
				t.Fatalf("%q of %d: got %s, Python has %s", name, hosts, got, want)
			}
		})
	})
}
