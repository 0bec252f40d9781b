package command

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

// invoke runs a command line of a program whose one command takes flags of every kind and a word, and returns the given error.
func invoke(t *testing.T, fails error, args ...string) (code int, stdout, stderr string, words []string) {
	t.Helper()
	var out, errs bytes.Buffer
	fly := Command{Name: "fly", Args: "[--far] [FILE]", About: "goes away", Run: func(_ context.Context, p Process, c Command, args []string) (err error) {
		fs := c.Flags()
		fs.Bool("far", false, "far away")
		fs.Int("rate", 5, "fixes a second in `HZ`")
		fs.Float64("high", 0, "so many `METRES`")
		fs.Duration("for", time.Second, "`TIME` in the air")
		fs.String("c", "", "configuration `FILE`")
		fs.Func("only", "one `PLACE` alone", func(string) error { return errors.New("no such place") })
		if words, err = c.Parse(p, fs, args, 1); err != nil {
			return err
		}
		return fails
	}}
	g := Program{Name: "bird", About: "bird is one.", Start: "bird fly", Commands: []Command{fly}, Hidden: []Command{{Name: "nest", Run: fly.Run}}}
	code = g.Dispatch(t.Context(), Process{Stdout: &out, Stderr: &errs}, args)
	return code, out.String(), errs.String(), words
}

func TestMisuseIsOneLineWithTheFix(t *testing.T) {
	for line, want := range map[string]string{
		"swim":              `^bird: unknown command "swim": bird help lists the commands\n$`,
		"help swim":         `^bird: unknown command "swim": `,
		"-v":                `^bird: unknown command "-v": `,
		"fly --near":        `^bird fly: unknown flag --near: bird fly -h lists the flags\n$`,
		"fly -x":            `unknown flag -x: `,
		"fyl":               `^bird: unknown command "fyl": did you mean fly\? bird help lists the commands\n$`,
		"help fl":           `unknown command "fl": did you mean fly\? `,
		"fly --raet 3":      `unknown flag --raet: did you mean --rate\? bird fly -h lists the flags\n$`,
		"fly --hi":          `unknown flag --hi: did you mean --high\? `,
		"fly --rate":        `--rate needs a value: `,
		"fly -c":            `-c needs a value: `,
		"fly --rate 1.5":    `--rate "1\.5": use a whole number: bird fly -h`,
		"fly --rate 9e99":   `--rate "9e99": use a whole number: `,
		"fly --high much":   `--high "much": use a number: `,
		"fly --for 10":      `--for "10": use a time, such as "10s": `,
		"fly --far=often":   `--far "often": it takes no value: `,
		"fly --only London": `--only "London": no such place: `,
		"fly -c=":           `-c is "": give it a value, or leave it out\n$`,
		"fly a b":           `"b" is one word too many: bird fly \[--far\] \[FILE\]\n$`,
		"fly a --far b":     `"b" is one word too many: `,
	} {
		code, stdout, stderr, _ := invoke(t, nil, strings.Fields(line)...)
		if code != Misuse || stdout != "" || strings.Count(stderr, "\n") != 1 || !regexp.MustCompile(want).MatchString(stderr) {
			t.Errorf("bird %s: exit code %d, stdout %q, stderr %q, want %d, nothing, %q", line, code, stdout, stderr, Misuse, want)
		}
	}
}

func TestHelp(t *testing.T) {
	const flags = `bird fly [--far] [FILE]: goes away
  -c FILE
    	configuration FILE
  --far
    	far away
  --for TIME
    	TIME in the air (default 1s)
  --high METRES
    	so many METRES
  --only PLACE
    	one PLACE alone
  --rate HZ
    	fixes a second in HZ (default 5)
`
	const all = "bird is one.\n\n  bird fly      goes away\n\nStart with: bird fly. The flags of a command: bird COMMAND -h\n"
	for line, want := range map[string]string{
		"fly -h": flags, "fly --help": flags, "fly a -h": flags, "help fly": flags, "-h fly": flags, "help": all, "--help": all, "-h": all,
	} {
		if code, stdout, stderr, _ := invoke(t, nil, strings.Fields(line)...); code != Done || stdout != want || stderr != "" {
			t.Errorf("bird %s: exit code %d, stderr %q, stdout\n%swant\n%s", line, code, stderr, stdout, want)
		}
	}
	if code, stdout, stderr, _ := invoke(t, nil); code != Misuse || stdout != "" || stderr != all {
		t.Errorf("no command: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestErrorsBecomeExitCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
		text string
	}{
		{nil, Done, ""},
		{errors.New("no wind"), Failed, "bird fly: no wind\n"},
		{Misusef("no %s", "wings"), Misuse, "bird fly: no wings\n"},
		{errors.Join(errors.New("no wind"), AsMisuse(errors.New("no wings\n"))), Misuse, "bird fly: no wind; no wings\n"},
		{ErrReported, Failed, ""},
	} {
		if code, stdout, stderr, _ := invoke(t, test.err, "fly"); code != test.code || stdout != "" || stderr != test.text {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q, want %d and %q", test.err, code, stdout, stderr, test.code, test.text)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWhatIsNotPrintedIsNotDone(t *testing.T) {
	prints := Command{Name: "sing", Run: func(_ context.Context, p Process, _ Command, args []string) error {
		_, _ = p.Stdout.Write([]byte("la"))
		if len(args) > 0 {
			return Misusef("no song")
		}
		return nil
	}}
	g := Program{Name: "bird", Commands: []Command{prints}}
	for _, test := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"sing"}, Failed, "bird: print: no space left\n"},
		{[]string{"help"}, Failed, "bird: print: no space left\n"},
		{[]string{"sing", "what"}, Misuse, "bird sing: no song\n"},
	} {
		var errs bytes.Buffer
		if code := g.Dispatch(t.Context(), Process{Stdout: fullDisk{}, Stderr: &errs}, test.args); code != test.code || errs.String() != test.text {
			t.Errorf("%q: exit code %d, stderr %q, want %d and %q", test.args, code, errs.String(), test.code, test.text)
		}
	}
}

func TestWordsStandBetweenFlags(t *testing.T) {
	for _, line := range []string{"fly a", "fly --far a --rate 3", "nest a", "fly -- a"} {
		if code, _, stderr, words := invoke(t, nil, strings.Fields(line)...); code != Done || stderr != "" || len(words) != 1 || words[0] != "a" {
			t.Errorf("bird %s: exit code %d, stderr %q, words %q", line, code, stderr, words)
		}
	}
	if _, _, _, words := invoke(t, nil, "fly", "--", "--far"); len(words) != 1 || words[0] != "--far" {
		t.Errorf("words after --: %q", words)
	}
}
