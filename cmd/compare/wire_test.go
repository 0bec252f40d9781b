package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gpsbridge/bridge/realtest"
	"gpsbridge/cmd/internal/command"
)

// What goes over the link beside headers of TCP and IP does not depend on the machine: every fix is a frame in a record of its own.
func TestWire(t *testing.T) {
	realtest.Need(t, realtest.Namespaces)
	t.Parallel()
	code, stdout, stderr := invoke(t.Context(), "wire", "--servers", "relay,other", "--programs", "plain,deflate,members,ack,members-ack", "--rates", "10", "--for", "2s", "--json")
	if code != command.Done {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var r wireReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]wireRow)
	for _, row := range r.Rows {
		rows[row.Program] = row
	}
	up := func(program string) float64 {
		row := rows[program]
		if row.Fixes < 20 && row.Server != "constructed" {
			t.Fatalf("%s: %+v, want at least 20 fixes", program, row)
		}
		return float64(row.Traffic.Up-packet*row.Traffic.PacketsUp) / float64(row.Fixes)
	}
	// Pings are some bytes more, and so is what a machine with much other work sends again; there the bytes of the first or the last
	// fix may be on the other side of a mark.
	if text, sent := rows["without compression"].Text, up("without compression"); sent < 0.8*text || sent > 1.5*text+tlsRecord {
		t.Errorf("%.0f bytes are sent for a text of %.0f", sent, text)
	}
	const beside = 2 + maskKey + tlsRecord
	if plain, compressed := up("without compression")-beside, up("with compression")-beside; compressed > plain/5 {
		t.Errorf("%.0f bytes of a fix are %.0f with compression, want at most a fifth", plain, compressed)
	}
	for _, program := range []string{"with compression", "and short acks"} {
		// A busy machine may cut an epoch in two for one of them.
		if row := rows[program]; row.Same == 0 || row.Same < row.Compared/2 {
			t.Errorf("%s: of %d texts %d are those that were sent without", program, row.Compared, row.Same)
		}
	}
	if plain, members := rows["without compression"], rows["and five members"]; members.Text > 0.6*plain.Text || members.Connect < handshakeLeast {
		t.Errorf("five members are %.0f of %.0f bytes, a connection %d", members.Text, plain.Text, members.Connect)
	}
	if echo, short := rows["with compression"], rows["and short acks"]; short.Traffic.Down > 4*echo.Traffic.Down/5 {
		t.Errorf("short acknowledgements are %+v, echoes %+v", short.Traffic, echo.Traffic)
	}
	if short, both := rows["and short acks"], rows["short acks, five members"]; up("short acks, five members") > 1.4*up("and short acks") || both.Text > 0.6*short.Text {
		t.Errorf("short acknowledgements and five members are %+v, with all %+v", both, short)
	}
	if again, kept := up("HTTP, OsmAnd, new connections"), up("HTTP, OsmAnd"); again < 2*kept || up("MQTT, OwnTracks, QoS 1") < tlsRecord {
		t.Errorf("a request sends %.0f bytes, and %.0f with its connection", kept, again)
	}
}

func TestTrafficIsOfThePackets(t *testing.T) {
	const dev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9000      90    0    0    0     0          0         0     9000      90    0    0    0     0       0          0
  wire:   45354     104    0    0    0     0          0         0    49153     191    0    0    0     0       0          0
`
	got, err := parseTraffic([]byte(dev))
	if want := (traffic{46479, 43898, 191, 104}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err := parseTraffic([]byte(dev[:300])); err == nil {
		t.Errorf("without the link: %+v, want an error", got)
	}
}

// The floors that are stated for messages of 35 bytes: 280 bytes with an echo, 167 without, 98 where ten go together.
func TestFloor(t *testing.T) {
	for _, test := range []struct {
		together int
		noEcho   bool
		want     float64
	}{{1, false, 278}, {1, true, 167}, {10, false, 98}} {
		if got := floorOf(35, test.together, test.noEcho); math.Abs(got-test.want) > 0.5 {
			t.Errorf("%d together, without echo %t: %.1f, want %.0f", test.together, test.noEcho, got, test.want)
		}
	}
	// Ten of 330 bytes need three packets each way.
	if got, want := floorOf(330, 10, false), (2*(10*334+22+3*52)+10*4+52)/10.0; got != want {
		t.Errorf("ten plain ones: %.1f, want %.1f", got, want)
	}
}

func TestCompressedPayloadReferToThoseBefore(t *testing.T) {
	text := []byte(`{"class": "TPV", "seq": 1, "lat": 51.50336350}`)
	texts := [][]byte{text, text, text}
	first, err := payloads(texts[:1], 0, false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := payloads(texts, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := payloads(texts, 0, true)
	if want := float64(len(text) - 5); err != nil || plain != want || again > first/4 {
		t.Errorf("plain %g (%v), compressed %g at first and %g then; want %g, and a quarter at the most then", plain, err, first, again, want)
	}
}

func TestSameTexts(t *testing.T) {
	a, b := map[string]string{}, map[string]string{}
	for _, text := range []string{`{"class":"TPV","device_id":"a","run":"x","seq":1,"time":"1"}`, `{"class":"TPV","device_id":"a","run":"x","seq":2,"time":"2"}`, `{"class":"SKY","run":"x","time":"3"}`} {
		if at, rest, ok := withoutNames([]byte(text)); ok {
			a[at] = rest
		}
		if at, rest, ok := withoutNames([]byte(strings.ReplaceAll(strings.Replace(text, `"x"`, `"y"`, 1), `"seq":2`, `"seq":3,"mode":3`))); ok {
			b[at] = rest
		}
	}
	if compared, same := sameTexts(a, b); compared != 2 || same != 1 {
		t.Errorf("%d of %d are the same, want 1 of 2", same, compared)
	}
}

// An epoch of a log begins with the first sentence of another time; what has none goes with those before it.
func TestRecordedEpochs(t *testing.T) {
	log := "# a receiver\n$GPGSA,A,3\n$GPGGA,090000.00,5130\n$GPGLL,5130,N,00007,W,090000.00,A\n$GPGSV,1,1,00\r\n" +
		"$GPRMC,,V\n\n$GNRMC,090001.00,A\n$GNGGA,090001.00,5130\n$GNZDA,090002.00,23\n"
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	epochs, err := recorded(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range epochs {
		got = append(got, strings.ReplaceAll(string(e.data), "\r\n", " "))
	}
	want := []string{
		"$GPGSA,A,3 $GPGGA,090000.00,5130 $GPGLL,5130,N,00007,W,090000.00,A $GPGSV,1,1,00 $GPRMC,,V ",
		"$GNRMC,090001.00,A $GNGGA,090001.00,5130 ", "$GNZDA,090002.00,23 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("epochs %q, want %q", got, want)
	}
	if code, _, stderr := invoke(t.Context(), "wire", "--log", path); code != command.Misuse || !strings.Contains(stderr, "has 3 epochs") {
		t.Errorf("a short log: exit code %d: %s", code, stderr)
	}
}

func TestWireTable(t *testing.T) {
	r := wireReport{machine: machine{CPUs: 2}, Seconds: 60, Rows: []wireRow{
		{Server: "Uvicorn", Program: "plain", Rate: 1, Fixes: 10, Traffic: traffic{5000, 4000, 20, 10}, Text: 330, Floor: 880.4, Aim: 280,
			Connect: 4000, Resumed: 900, CPU: 1500, Private: 4.96, Compared: 10, Same: 9},
		{Server: "Daphne", LeftOut: "not installed"},
	}}
	var b strings.Builder
	if err := r.print(&b); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"Uvicorn plain 1 330 500 400 900 3.00 880 280 77.8 2.33 4000 900 1500 5.0 9/10 ", "Daphne left out: not installed"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}
