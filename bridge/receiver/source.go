package receiver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

// opener is one kind of origin of bytes. It opens and never retries.
type opener interface {
	// open returns an open stream, or a *problem.Problem. It gives up when ctx ends.
	open(ctx context.Context) (stream, error)
	// finite says that the source has an end, and that it cannot be opened again where it stopped.
	finite() bool
}

// stream is an open source.
type stream struct {
	conn
	port   string // what is open, for the status
	rester rester // of the same conn; nil where it cannot be left alone
	// line looks after a serial line; nil where there is none.
	line *health
	// content listens to a source that has an end; nil where there is none.
	content *content
	// elsewhere is asked in a silence whether another port may have the receiver; nil where there is none.
	elsewhere func() bool
}

// setting is what a source is given beside its written form.
type setting struct {
	status  *tracker
	memory  *memory
	silence time.Duration // Config.Silence
	turn    func(within time.Duration)
}

func (s *setting) use(given setting) { *s = given }

// settable is a source that wants it.
type settable interface{ use(setting) }

// rester is a conn that can be left alone: what arrives meanwhile wakes nobody and is not lost.
type rester interface {
	// rest returns at a time, or with an error when the conn is closed. It changes the read deadline.
	rest(until time.Time) error
	// mostRest is how long nothing is lost.
	mostRest() time.Duration
}

// conn is what a source opens. As with files and network connections, Close may be called from another goroutine and ends
// a blocked Read at once, and may be called twice. Read returns an error matching os.ErrDeadlineExceeded when the
// deadline passes. SetReadDeadline may return os.ErrNoDeadline where a read never blocks for long.
type conn interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

// allowedSources ends the errors of parseSource.
const allowedSources = `use "auto", a device such as "/dev/ttyUSB0?baud=9600", "tcp://host:port", "udp://:port", "gpsd://host:port", ` +
	`"file:PATH?rate=1", "sim:?rate=1" or "-" (standard input)`

// parseSource makes a source of its written form.
func parseSource(s string) (opener, error) {
	rest, query := s, ""
	if i := strings.LastIndexByte(s, '?'); i >= 0 {
		rest, query = s[:i], s[i+1:]
	}
	o, err := parseOptions(query)
	if err != nil {
		return nil, inSource(s, err)
	}
	var src opener
	switch {
	case rest == "-":
		src = stdin{}
	case rest == "auto":
		src = &auto{baud: o.baud(), system: machine}
	case strings.HasPrefix(rest, "/"):
		src = &serialPort{path: rest, baud: o.baud(), system: machine}
	case rest == "sim:":
		src, err = simulatedFrom(o)
	case strings.HasPrefix(rest, "tcp://"):
		src, err = tcpFrom(strings.TrimPrefix(rest, "tcp://"))
	case strings.HasPrefix(rest, "udp://"):
		src, err = udpFrom(strings.TrimPrefix(rest, "udp://"), o)
	case strings.HasPrefix(rest, "gpsd://"):
		src, err = gpsdFrom(strings.TrimPrefix(rest, "gpsd://"))
	case strings.HasPrefix(rest, "file:"):
		src, err = fileFrom(strings.TrimPrefix(rest, "file:"), o)
	default:
		return nil, &problem.Problem{Code: source.Unknown, Key: "source", Cause: fmt.Sprintf("%q is not known", s), Fix: allowedSources}
	}
	if err := o.finish(err); err != nil {
		return nil, inSource(s, err)
	}
	return src, nil
}

// invalid is the problem of a part of a source.
func invalid(fix, cause string, args ...any) *problem.Problem {
	return &problem.Problem{Code: source.InvalidOption, Key: "source", Cause: fmt.Sprintf(cause, args...), Fix: fix}
}

// inSource names the source in which something is wrong.
func inSource(s string, err error) *problem.Problem {
	p := *problem.Of(err)
	p.Code, p.Key, p.Cause = cmp.Or(p.Code, source.InvalidOption), "source", fmt.Sprintf("%q: %s", s, p.Cause)
	return &p
}

// options are the "?name=value&..." of a source. The first wrong one is kept, as an error that finish returns, so that the
// sources read their options as plain values.
type options struct {
	values url.Values
	known  []string // the names that were asked for
	err    error
}

func parseOptions(query string) (*options, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, invalid("use name=value, joined by &", "options %q cannot be read", query)
	}
	return &options{values: values}, nil
}

// text returns an option as it was written, and whether it was given.
func (o *options) text(name string) (string, bool) {
	o.known = append(o.known, name)
	v, given := o.values[name]
	if len(v) > 1 {
		o.fail(invalid("give it once", "option %q is given %d times", name, len(v)))
	}
	if !given {
		return "", false
	}
	return v[0], true
}

// integer returns an option that is a whole number from lo to hi.
func (o *options) integer(name string, fallback, lo, hi int) int {
	text, given := o.text(name)
	if !given {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < lo || n > hi {
		o.fail(invalid(fmt.Sprintf("use a whole number from %d to %d", lo, hi), "option %s=%s", name, text))
	}
	return n
}

// flag returns an option that is 0 or 1.
func (o *options) flag(name string) bool {
	return o.integer(name, 0, 0, 1) == 1
}

// The speeds of a line that a driver can be asked for. Receivers use 4800 to 921600.
const (
	minBaud     = 300
	maxBaud     = 4_000_000
	defaultBaud = 9600 // what most receivers come with
)

// baud is the speed that the user wants, 0 for none.
func (o *options) baud() int {
	return o.integer("baud", 0, minBaud, maxBaud)
}

func (o *options) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// finish returns what was wrong: an option, one that nobody asked for, or err.
func (o *options) finish(err error) error {
	if o.err != nil {
		return o.err
	}
	names := make([]string, 0, len(o.values))
	for name := range o.values {
		names = append(names, name)
	}
	slices.Sort(names) // so that the error is the same each time
	for _, name := range names {
		if !slices.Contains(o.known, name) {
			if len(o.known) == 0 {
				return invalid("this source takes none", "option %q is not known", name)
			}
			return invalid("use "+strings.Join(o.known, ", "), "option %q is not known", name)
		}
	}
	return err
}
