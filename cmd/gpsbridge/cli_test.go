package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"gpsbridge/bridge/relay/api"
	"gpsbridge/bridge/spool"
	"gpsbridge/cmd/internal/command"
)

// The exit codes, as the tests of the built program call them.
const (
	exitDone   = command.Done
	exitFailed = command.Failed
	exitUsage  = command.Misuse
)

// gga is an epoch of its own: a position at 09:00:00.
const gga = "$GPGGA,090000.00,5130.0000,N,00007.5000,W,1,09,0.8,11.2,M,46.7,M,,*44\r\n"

// invoke runs a command line and returns its exit code and what it printed.
func invoke(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := command.Process{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs}
	code = commandLine().Dispatch(t.Context(), p, args)
	return code, out.String(), errs.String()
}

func TestWrongUsageIsOneLineAndExitCode2(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(bad, []byte("[relay]\nlissten = \"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token, empty := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ line, want string }{
		{"fly", `unknown command "fly": gpsbridge help`},
		{"run --fly", `gpsbridge run: unknown flag --fly: gpsbridge run -h`},
		{"run now", `"now" is one word too many: gpsbridge run \[-c FILE\]`},
		{"run --device-id van-7", `--device-id: "van-7" is not allowed: use`},
		{"run --device ftp://x", `ftp://x`},
		{"run --device sim:?rate=99", `rate`},
		{"run --listen 0.0.0.0:0", `--listen: .*not a loopback address .*token file`},
		{"run -c " + bad, `bad\.toml:2: unknown key "relay\.lissten"`},
		{"run -c /nonexistent/x.toml", `"/nonexistent/x\.toml" does not exist: name the file with -c`},
		{"check /", `"/" is a directory`},
		{"run --listen=", `--listen "": give it a value`},
		{"sim --link /nonexistent/gps", `--link "/nonexistent/gps": the directory "/nonexistent" does not exist`},
		{"status --listen 8947", `"8947" is not the address of a daemon: use host:port`},
		{"status --listen off", `"off" serves no status`},
		{"check --device auto " + bad, `unknown flag --device`},
		{"check " + bad, `bad\.toml:2: unknown key`},
		{"check", `name one file: gpsbridge check -c FILE`},
		{"check -c " + bad + " " + empty, `name one file`},
		{"relay", `--publish-token-file FILE`},
		{"relay check --pid 3", `--pid is of drain: leave it out, or use gpsbridge relay drain --pid 3`},
		{"relay drain --json", `--json is of doctor: leave it out`},
		{"relay empty", `unknown action "empty": use check, doctor or drain`},
		{"relay --publish-token-file /nonexistent/token", `/nonexistent/token`},
		{"watch --listen 8947", `"8947" is not the address of a daemon: use host:port`},
		{"watch ws://127.0.0.1:8947", `names a server but not a group: name a group's WebSocket URL, such as ws://`},
		{"watch http://127.0.0.1/", `WebSocket URL, such as ws://`},
		{"spool", `no directory: name one with --dir DIRECTORY`},
		{"spool eat --dir /tmp", `unknown action "eat": use ls, dump or drop`},
		{"demo --rate 0", `--rate 0: use 1 to 25`},
		{"sim --rate 26", `26`},
		{"sim --rate fast", `fast`},
		{"decode a b", `"b" is one word too many`},
		{"decode --format xml", `--format "xml" is unknown: use jsonl, geojson, gpx, kml, csv or html`},
		{"decode --format gpx --sky", `--sky and --format gpx do not go together`},
		{"sim --rate 0", `--rate 0: use 1 to 25 fixes a second`},
		{"demo --listen 0.0.0.0:0", `"0\.0\.0\.0:0": the demo serves only this machine`},
		{"relay --listen 0.0.0.0:0 --publish-token-file " + token, `--listen: .*not a loopback address .*token file`},
		{"relay --listen 127.0.0.1:99999 --publish-token-file " + token, `--listen: "127\.0\.0\.1:99999" has no port`},
		{"relay --origin x --listen 127.0.0.1:0 --publish-token-file " + token, `--origin: "x" is not an origin`},
		{"relay --history -1 --publish-token-file " + token, `--history`},
		{"relay --max-conns -1 --publish-token-file " + token, `--max-conns`},
		{"relay --basemap /nonexistent/x.pmtiles --listen 127.0.0.1:0 --publish-token-file " + token, `--basemap: .*/nonexistent/x\.pmtiles`},
		{"relay --device-tokens-file " + empty, `--device-tokens-file: .*empty.* no token`},
		{"watch --token-file /nonexistent/token ws://127.0.0.1:1/", `--token-file: .*/nonexistent/token`},
		{"watch --ca-file /nonexistent/ca.pem wss://127.0.0.1:1/", `--ca-file: .*/nonexistent/ca\.pem`},
		{"run --log-level loud", `--log-level: "loud" is unknown: use "info", "debug", "warn" or "error"`},
		{"run --listen 127.0.0.1:99999", `--listen: .*"127\.0\.0\.1:99999" has no port`},
		{"version now", `"now" is one word too many: gpsbridge version \[--json\]\n$`},
	} {
		code, stdout, stderr := invoke(t, "", strings.Fields(test.line)...)
		if code != exitUsage || strings.Count(stderr, "\n") != 1 || stdout != "" || !regexp.MustCompile(test.want).MatchString(stderr) {
			t.Errorf("gpsbridge %s: exit code %d, stdout %q, stderr %q, want 2, nothing, one line that matches %q",
				test.line, code, stdout, stderr, test.want)
		}
	}
}

func TestFailureIsOneLineAndExitCode1(t *testing.T) {
	noise, empty := filepath.Join(t.TempDir(), "noise"), filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(noise, []byte("\x01\xb5b binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	above := t.TempDir()
	s, err := spool.Open(spool.Options{Dir: filepath.Join(above, "spool", "van_7"), Readers: []string{"server"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Append([]byte("{}"))
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ line, want string }{
		{"decode /nonexistent/drive.log", `/nonexistent/drive\.log: .*: name a file`},
		{"decode /", `gpsbridge decode: / is a directory: name a file`},
		{"decode", `no input: name a file`},
		{"decode " + empty, `no input: name a file`},
		{"decode " + noise, `no NMEA sentence in 10 bytes`},
		{"spool --dir " + noise, `noise" holds no spool: name another`},
		{"spool --dir /nonexistent/spool", `"/nonexistent/spool" holds no spool: name another with --dir DIRECTORY`},
		{"spool --dir " + above, `holds no spool: name another with --dir ` + above + `/spool/van_7`},
		{"status --listen 127.0.0.1:1", `no daemon answers at 127\.0\.0\.1:1: start it with gpsbridge run`},
	} {
		code, _, stderr := invoke(t, "", strings.Fields(test.line)...)
		if code != exitFailed || strings.Count(stderr, "\n") != 1 || !regexp.MustCompile(test.want).MatchString(stderr) {
			t.Errorf("gpsbridge %s: exit code %d, stderr %q, want 1 and one line that matches %q", test.line, code, stderr, test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	code, _, stderr := invoke(t, "")
	if code != exitUsage {
		t.Errorf("no command: exit code %d, want 2", code)
	}
	for _, c := range commandLine().Commands {
		if !strings.Contains(stderr, "gpsbridge "+c.Name+" ") {
			t.Errorf("the help does not name %s", c.Name)
		}
		code, stdout, stderr := invoke(t, "", c.Name, "-h")
		if code != exitDone || stderr != "" || !strings.HasPrefix(stdout, strings.TrimSpace("gpsbridge "+c.Name+" "+c.Args)+": ") {
			t.Errorf("gpsbridge %s -h: exit code %d, stdout %q, stderr %q", c.Name, code, stdout, stderr)
		}
	}
}

func TestDecode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "drive.log")
	if err := os.WriteFile(file, []byte("# a comment\n"+gga), 0o600); err != nil {
		t.Fatal(err)
	}
	fix := regexp.MustCompile(`^{"class":"TPV","mode":3,"status":1,"lat":51\.50*,"lon":-0\.1250*,"altMSL":11\.20*,[^\n]*}\n$`)
	for _, args := range [][]string{{"decode"}, {"decode", "-"}, {"decode", file}, {"decode", file, "--sky"}} {
		code, stdout, stderr := invoke(t, gga, args...)
		if code != exitDone || !fix.MatchString(stdout) || stderr != "" {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
		if strings.Contains(stdout, `"time"`) {
			t.Errorf("%v: a time without a date in the input: %s", args, stdout)
		}
	}
	if code, _, stderr := invoke(t, gga, "decode", "--stats"); code != exitDone || !strings.Contains(stderr, "GGA") {
		t.Errorf("--stats: exit code %d, stderr %q", code, stderr)
	}
}

// A drive of two fixes and a gap, in every format.
func TestDecodeFormats(t *testing.T) {
	v := newVehicle()
	drive := string(v.epochs(0, 2)) + string(v.epochs(1000, 1001))
	for format, want := range map[string]string{
		"jsonl":   `^({"class":"TPV",.*\n){3}$`,
		"gpx":     `^<\?xml .*\n<gpx .*<trk><trkseg>(<trkpt lat="51\.5\d*" lon="-0\.12\d*">.*</trkpt>){2}</trkseg><trkseg><trkpt .*</trkpt></trkseg></trk></gpx>\n$`,
		"kml":     `^<\?xml .*\n<kml .*<LineString><coordinates>-0.12\d*,51.5\d*,11.2 .*</LineString>.*<Point>.*</kml>\n$`,
		"geojson": `^{"type":"FeatureCollection","features":\[.*"LineString".*"Point".*\]}\n$`,
		"csv":     `^time,mode,status,lat,lon,altMSL,.*\n(\d{4}-.*Z,3,1,51\.5\d*,-0\.12\d*,11\.2\d*,.*\n){3}$`,
		"html":    `(?s)^<!doctype html>\n.*<script type="text/plain" id="drive">[A-Za-z0-9+/=]{300,}</script>\n</body>\n</html>\n$`,
	} {
		code, stdout, stderr := invoke(t, drive, "decode", "--format", format)
		if code != exitDone || stderr != "" || !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("%s: exit code %d, stderr %q, stdout\n%s", format, code, stderr, stdout)
		}
		if format == "html" {
			if code, same, stderr := invoke(t, drive, "decode", "--html", "--sky"); code != exitDone || stderr != "" || same != stdout {
				t.Errorf("--html differs from --format html: exit code %d, stderr %q", code, stderr)
			}
		}
		if code, stdout, _ := invoke(t, "noise", "decode", "--format", format); code != exitFailed || stdout != "" {
			t.Errorf("%s without a sentence: exit code %d, stdout %q", format, code, stdout)
		}
	}
	var schema struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	text, err := api.Files.ReadFile("message.schema.json")
	if err != nil || json.Unmarshal(text, &schema) != nil {
		t.Fatal(err)
	}
	members := slices.Sorted(maps.Keys(schema.Defs["TPV"].Properties))
	ofSender := []string{"class", "device_id", "run", "seq", "backlog"}
	if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(csvColumns, ofSender))), members); diff != "" {
		t.Errorf("columns of CSV, -columns +members of a fix:\n%s", diff)
	}
}

// A receiver's port is read for hours: each fix is printed when it comes, and an interrupt ends the waiting for more.
func TestDecodeFollowsAndIsInterrupted(t *testing.T) {
	in, feed := io.Pipe()
	result, out := io.Pipe()
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		p := command.Process{Stdin: in, Stdout: out, Stderr: io.Discard}
		code <- commandLine().Dispatch(ctx, p, []string{"decode"})
		out.Close()
	}()
	go io.WriteString(feed, gga+strings.Replace(gga, "090000.00", "090001.00", 1)[:len(gga)-4]+"45\r\n")
	if line, err := bufio.NewReader(result).ReadString('\n'); err != nil || !strings.Contains(line, "TPV") {
		t.Errorf("line %q, %v", line, err)
	}
	go io.Copy(io.Discard, result) // the fix that was open
	interrupt()
	if c := <-code; c != exitDone {
		t.Errorf("exit code %d", c)
	}
	feed.Close()
}

// TestDecodeOfAPipeWithoutAWriterIsInterrupted: opening it waits for a writer.
func TestDecodeOfAPipeWithoutAWriterIsInterrupted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		p := command.Process{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard}
		code <- commandLine().Dispatch(ctx, p, []string{"decode", pipe})
	}()
	interrupt()
	if c := <-code; c != exitDone {
		t.Errorf("exit code %d", c)
	}
	// A writer, which stays, ends the open: that outlives the command in this process alone.
	if _, err := unix.Open(pipe, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
}

func TestCheckWarnsOfASecretThatEveryUserCanRead(t *testing.T) {
	dir := t.TempDir()
	token, file := filepath.Join(dir, "token"), filepath.Join(dir, "gpsbridge.toml")
	if err := os.WriteFile(file, []byte("[relay]\ntoken_file = \""+token+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(token, []byte("secret-of-the-viewers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o604: true} {
		if err := os.Chmod(token, mode); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := invoke(t, "", "check", file)
		if code != exitDone || strings.Contains(stderr, "readable by every user of this machine") != warns || strings.Contains(stderr, token) != warns {
			t.Errorf("%o: exit code %d, stderr %q", mode, code, stderr)
		}
	}
}

func TestCheckNamesTheDeviceAndTheCost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "good.toml")
	text := "device_id = \"van_7\"\n[report]\ninterval = \"30s\"\n[[uplink]]\nserver = \"wss://tracking.example.org\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const cost = "server tracking.example.org gets a fix every 30s while moving, some 906 bytes each, 282 where the server compresses: at most 3.2 MB a day, 97 MB in 30 days\n"
	if code, stdout, stderr := invoke(t, "", "check", "-c", file); code != exitDone || !strings.Contains(stdout, "of device van_7\n"+cost) {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// TestRelayCheck has what is wrong with a tracking server's file reported as its start does, with file and line, and nothing made.
func TestRelayCheck(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{ // HERE stands for the file's directory, which is all that is there
		"good":               {"[relay]\npublish_token_file = 'HERE/token'\n", ""},
		"viewers elsewhere":  {"[relay]\nlisten = ':8947'\npublish_token_file = 'HERE/a'\ntoken_file = 'HERE/b'\n", ""},
		"of the unit":        {"[relay]\ndevice_tokens_file = '${CREDENTIALS_DIRECTORY}/tokens'\ntls_cert_file = '${CREDENTIALS_DIRECTORY}/a'\ntls_key_file = '${CREDENTIALS_DIRECTORY}/b'\n", ""},
		"a certificate made": {"[relay]\npublish_token_file = 'HERE/token'\ntls_self_signed = true\n", ""},
		"a layer":            {"[relay]\npublish_token_file = 'HERE/token'\n[relay.layer]\nurl = 'redis://127.0.0.1:1'\n", ""},
		"no such key":        {"[relay]\nport = 1\n", `relay.toml:2: unknown key "relay.port"`},
		"without a token":    {"[relay]\npublish_token_file = 'HERE/token'\nlisten = ':8947'\n", "relay.toml:3: relay.listen: "},
		"no device tokens":   {"[relay]\ndevice_tokens_file = 'HERE/tokens'\n", "relay.toml:2: relay.device_tokens_file: "},
		"no certificate":     {"[relay]\npublish_token_file = 'HERE/token'\ntls_cert_file = 'HERE/a'\ntls_key_file = 'HERE/b'\n", "relay.toml:3: relay.tls_cert_file: "},
		"another layer":      {"[relay]\npublish_token_file = 'HERE/token'\n[relay.layer]\nurl = 'http://a'\n", "relay.toml:4: relay.layer.url: "},
		"no trackers":        {"[relay]\n", "no tracker could send"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "relay.toml")
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(tc.text, "HERE", dir)), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := invoke(t, "", "relay", "check", "-c", file)
			good := code == exitDone && stdout == file+" is a good configuration of a tracking server\n" && stderr == ""
			bad := code == exitUsage && stdout == "" && strings.Count(stderr, "\n") == 1 && strings.Contains(stderr, tc.want)
			if tc.want == "" && !good || tc.want != "" && !bad {
				t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, tc.want)
			}
			if made, err := os.ReadDir(dir); err != nil || len(made) != 1 {
				t.Errorf("%v is there, %v", made, err)
			}
		})
	}
	if code, _, stderr := invoke(t, "", "relay", "check"); code != exitUsage || !strings.Contains(stderr, "-c FILE") {
		t.Errorf("without a file: exit code %d, stderr %q", code, stderr)
	}
}

// TestSpoolOfAnotherFormat lists what another version has written as that, not as empty.
func TestSpoolOfAnotherFormat(t *testing.T) {
	dir := t.TempDir()
	header := binary.LittleEndian.AppendUint32([]byte("gpsspool"), spool.Format+1)
	header = append(header, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // 64 KiB from position 1 on
	header = binary.LittleEndian.AppendUint32(header, crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	file := filepath.Join(dir, "00000000000000000001.seg")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600), os.WriteFile(file, header, 0o600)); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s: in format %d, which this version of gpsbridge cannot read\n", file, spool.Format+1)
	if code, stdout, stderr := invoke(t, "", "spool", "--dir", dir, "ls"); code != exitDone || !strings.HasSuffix(stdout, want) {
		t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
	}
}

func TestVersion(t *testing.T) {
	for _, word := range []string{"version", "--version", "-v"} {
		if code, stdout, _ := invoke(t, "", word); code != exitDone || !strings.HasPrefix(stdout, "gpsbridge ") {
			t.Errorf("%s: exit code %d, stdout %q", word, code, stdout)
		}
	}
}

func TestVersionAsJSON(t *testing.T) {
	code, stdout, stderr := invoke(t, "", "version", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitDone || got["program"] != "gpsbridge" || got["version"] == "" {
		t.Errorf("exit code %d, stdout %q, stderr %q, %v", code, stdout, stderr, err)
	}
}

func TestNearestNameIsSuggested(t *testing.T) {
	for line, want := range map[string]string{
		"decod":           `unknown command "decod": did you mean decode? `,
		"run --devise x":  "unknown flag --devise: did you mean --device? ",
		"completion tcsh": `"tcsh" is not a known shell: use bash, zsh, fish`,
	} {
		if code, _, stderr := invoke(t, "", strings.Fields(line)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("gpsbridge %s: exit code %d, stderr %q", line, code, stderr)
		}
	}
}
