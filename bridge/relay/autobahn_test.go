package relay

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// The opcodes with the bit of a final frame set or not.
const (
	fin      = 0x80
	cont     = 0x00
	text     = 0x01
	binaryOp = 0x02
	closeOp  = 0x08
	pingOp   = 0x09
	pongOp   = 0x0a
)

// sent is one frame of a client, with a random mask.
func sent(first byte, data string) string {
	b := []byte{first}
	switch n := len(data); {
	case n < length16:
		b = append(b, 0x80|byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|length16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|length64), uint64(n))
	}
	var mask [4]byte
	rand.Read(mask[:])
	b = append(b, mask[:]...)
	for i := range len(data) {
		b = append(b, data[i]^mask[i%4])
	}
	return string(b)
}

func sentClose(code int, reason string) string {
	return sent(fin|closeOp, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// fragments is a message in frames of n bytes.
func fragments(data string, n int) string {
	var b strings.Builder
	for first := byte(text); ; first = cont {
		if len(data) <= n {
			b.WriteString(sent(fin|first, data))
			return b.String()
		}
		b.WriteString(sent(first, data[:n]))
		data = data[n:]
	}
}

// jsonText is a JSON text of n bytes: what is not one is refused whatever its frames are.
func jsonText(n int) string { return `"` + strings.Repeat("*", n-2) + `"` }

// TestAutobahnCases goes through the cases that the Autobahn test suite documents for servers (sections 1 to 7, 9 and 10;
// 12 and 13 are about compression, which is not offered). Each sends bytes as a publisher, and wants the messages that come
// back ("text", "ping" answered by "pong") and the code with which the connection is closed. Where the suite sends any text
// there is JSON here, and a binary message is refused with 1003.
func TestAutobahnCases(t *testing.T) {
	type answer struct {
		opcode byte
		data   string
	}
	echo := func(s ...string) (all []answer) {
		for _, s := range s {
			all = append(all, answer{text, s})
		}
		return all
	}
	pongs := func(s ...string) (all []answer) {
		for _, s := range s {
			all = append(all, answer{pongOp, s})
		}
		return all
	}
	bye := sentClose(1000, "")
	const hello, emoji = `"Hello"`, `"κόσμε 🂡"`
	type testCase struct {
		name, bytes string
		want        []answer
		code        int
	}
	cases := []testCase{
		{"1.1.1", sent(fin|text, "") + bye, nil, 1007}, // nothing is not JSON
		{"2.1", sent(fin|pingOp, "") + bye, pongs(""), 1000},
		{"2.2", sent(fin|pingOp, "Hello, world!") + bye, pongs("Hello, world!"), 1000},
		{"2.3", sent(fin|pingOp, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff") + bye, pongs("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), 1000},
		{"2.4", sent(fin|pingOp, strings.Repeat("\xfe", 125)) + bye, pongs(strings.Repeat("\xfe", 125)), 1000},
		{"2.5", sent(fin|pingOp, strings.Repeat("\xfe", 126)), nil, 1002},
		{"2.7", sent(fin|pongOp, "") + bye, nil, 1000},
		{"2.8", sent(fin|pongOp, "unsolicited") + bye, nil, 1000},
		{"2.9", sent(fin|pongOp, "unsolicited") + sent(fin|pingOp, "x") + bye, pongs("x"), 1000},
		{"2.10", strings.Repeat(sent(fin|pingOp, "x"), 10) + bye, pongs(strings.Split("xxxxxxxxxx", "")...), 1000},
		{"5.1", sent(pingOp, "frag") + sent(fin|cont, "ment"), nil, 1002},
		{"5.2", sent(pongOp, "frag") + sent(fin|cont, "ment"), nil, 1002},
		{"5.3", fragments(hello, 4) + bye, echo(hello), 1000},
		{"5.6", sent(text, hello[:3]) + sent(fin|pingOp, "p") + sent(fin|cont, hello[3:]) + bye,
			[]answer{{pongOp, "p"}, {text, hello}}, 1000},
		{"5.9", sent(fin|cont, "x") + sent(fin|text, hello), nil, 1002},
		{"5.10", sent(fin|cont, "x"), nil, 1002},
		{"5.12", sent(cont, "x") + sent(fin|text, hello), nil, 1002},
		{"5.15", sent(text, `"a`) + sent(fin|cont, `b"`) + sent(cont, "c") + sent(fin|text, "d"), echo(`"ab"`), 1002},
		{"5.18", sent(text, "x") + sent(fin|text, "y"), nil, 1002},
		{"5.19", sent(text, `"f1`) + sent(cont, "f2") + sent(fin|pingOp, "p1") + sent(cont, "f3") + sent(cont, "f4") +
			sent(fin|pingOp, "p2") + sent(fin|cont, `f5"`) + bye,
			[]answer{{pongOp, "p1"}, {pongOp, "p2"}, {text, `"f1f2f3f4f5"`}}, 1000},
		{"6.1.2", sent(text, "") + sent(cont, "") + sent(fin|cont, "") + bye, nil, 1007},
		{"6.1.3", sent(text, "") + sent(cont, hello) + sent(fin|cont, "") + bye, echo(hello), 1000},
		{"6.2.1", sent(fin|text, emoji) + bye, echo(emoji), 1000},
		{"6.2.2", fragments(emoji, 4) + bye, echo(emoji), 1000},
		{"6.2.3", fragments(emoji, 1) + bye, echo(emoji), 1000}, // frames end within characters
		{"7.1.1", sent(fin|text, hello) + bye, echo(hello), 1000},
		{"7.1.2", bye + bye, nil, 1000},
		{"7.1.3", bye + sent(fin|pingOp, "x"), nil, 1000},
		{"7.1.4", bye + sent(fin|text, hello), nil, 1000},
		{"7.1.5", sent(text, `"frag`) + bye + sent(fin|cont, `ment"`), nil, 1000},
		{"7.3.1", sent(fin|closeOp, ""), nil, websocket.CloseNoStatusReceived},
		{"7.3.2", sent(fin|closeOp, "a"), nil, 1002},
		{"7.3.3", sentClose(1000, ""), nil, 1000},
		{"7.3.4", sentClose(1000, "Hello"), nil, 1000},
		{"7.3.5", sentClose(1000, strings.Repeat("*", 123)), nil, 1000},
		{"7.3.6", sentClose(1000, strings.Repeat("*", 124)), nil, 1002},
		{"7.5.1", sentClose(1000, "\xce\xba\xed\xa0\x80edited"), nil, 1002},
		{"1.2.1", sent(fin|binaryOp, "") + bye, nil, 1003},
		{"1.2.2", sent(fin|binaryOp, strings.Repeat("\xfe", 125)) + bye, nil, 1003},
	}
	for i, n := range []int{125, 126, 127, 128, 65535, 65536} {
		cases = append(cases, testCase{fmt.Sprintf("1.1.%d", i+2), sent(fin|text, jsonText(n)) + bye, echo(jsonText(n)), 1000})
	}
	for i := range 7 { // reserved bits
		rsv := byte(i+1) << 4
		cases = append(cases, testCase{fmt.Sprintf("3.%d", i+1), sent(fin|text, hello) + sent(fin|rsv|text, hello), echo(hello), 1002})
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} { // reserved opcodes
		cases = append(cases,
			testCase{fmt.Sprintf("4.1 opcode %d", op), sent(fin|op, ""), nil, 1002},
			testCase{fmt.Sprintf("4.2 opcode %d", op), sent(fin|text, hello) + sent(fin|op, "x"), echo(hello), 1002})
	}
	for name, bad := range map[string]string{
		"6.3": "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", "6.6 truncated": "\xce\xba\xe1\xbd",
		"6.8 first byte of six": "\xfc\x84\x80\x80\x80\x80", "6.11 above U+10FFFF": "\xf4\x90\x80\x80",
		"6.14 continuation": "\x80", "6.15 lonely start": "\xc0 ", "6.18 overlong": "\xc0\xaf", "6.20 surrogate": "\xed\xa0\x80",
		"6.21 surrogate pair": "\xed\xa0\x80\xed\xb0\x80", "6.18 overlong NUL": "\xc0\x80", "6.10 impossible": "\xfe\xff",
	} {
		cases = append(cases, testCase{name, sent(fin|text, `"`+bad+`"`), nil, 1007},
			testCase{name + " in frames", fragments(`"`+bad+`"`, 1), nil, 1007})
	}
	for name, good := range map[string]string{
		"6.7 boundary": "\u0001\u007f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff", "6.9 before and after surrogates": "\ud7ff\ue000",
		"6.22 noncharacters": "\ufffe\uffff\U0001fffe\U0010ffff", "6.23 replacement": "\ufffd",
	} {
		good = strings.Map(func(r rune) rune {
			if r < ' ' {
				return ' ' // JSON has no control characters
			}
			return r
		}, good)
		cases = append(cases, testCase{name, sent(fin|text, `"`+good+`"`) + bye, echo(`"` + good + `"`), 1000})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		cases = append(cases, testCase{fmt.Sprint("7.7 code ", code), sentClose(code, ""), nil, code})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, testCase{fmt.Sprint("7.9 code ", code), sentClose(code, ""), nil, 1002})
	}
	for _, n := range []int{64, 256, 1024, 4096, 16384, 65536} { // 9.3: one message in frames of n bytes
		cases = append(cases, testCase{fmt.Sprint("9.3 frames of ", n), fragments(jsonText(65536), n) + bye, echo(jsonText(65536)), 1000})
	}
	cases = append(cases, testCase{"10.1.1", fragments(jsonText(65536), 1300) + bye, echo(jsonText(65536)), 1000})

	r := start(t, Config{PublishToken: "pub"})
	for _, c := range cases {
		for _, chop := range []int{0, 1, 997} { // octets at a time; 0: all at once
			if chop == 1 && len(c.bytes) > 2000 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", c.name, chop), func(t *testing.T) {
				raw := dialRaw(t, r, "Authorization: Bearer pub\r\n")
				defer raw.Close()
				go writeChopped(raw, c.bytes, chop)
				got, code := raw.answers()
				want := c.want
				if code == 1002 && len(got) == 0 {
					want = nil // what came before may or may not be echoed first
				}
				if code != c.code || len(got) != len(want) {
					t.Fatalf("closed with %d after %d answers, want %d after %d", code, len(got), c.code, len(want))
				}
				for i, a := range got {
					if a.opcode != want[i].opcode || string(a.data) != want[i].data {
						t.Errorf("answer %d is %x %.50q, want %x %.50q", i, a.opcode, a.data, want[i].opcode, want[i].data)
					}
				}
			})
		}
	}
}

func writeChopped(w io.Writer, s string, n int) {
	for n > 0 && len(s) > n {
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return
		}
		s = s[n:]
	}
	io.WriteString(w, s)
}

type serverFrame struct {
	opcode byte
	data   []byte
}

// answers reads up to the close frame, and returns its code; 0 when there is none. Pings are the relay's own.
func (c rawClient) answers() (all []serverFrame, code int) {
	for {
		opcode, data, err := c.frame()
		switch {
		case err != nil:
			return all, 0
		case opcode == closeOp && len(data) < 2:
			return all, websocket.CloseNoStatusReceived
		case opcode == closeOp:
			return all, int(binary.BigEndian.Uint16(data))
		case opcode != pingOp:
			all = append(all, serverFrame{opcode, data})
		}
	}
}

// TestCompressionIsNotAgreedTo: the relay offers no extension, whatever a client asks for.
func TestCompressionIsNotAgreedTo(t *testing.T) {
	r := start(t, Config{})
	conn, answer, err := websocket.DefaultDialer.Dial(r.url("ws", "/ws/gps-tracking/van_7/"),
		http.Header{"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits"}})
	if err != nil && answer == nil {
		t.Skip("this client sets the header itself: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := answer.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("extensions %q are agreed to", got)
	}
}
