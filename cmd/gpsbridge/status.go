package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/observe"
	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/receiver"
	"gpsbridge/cmd/internal/command"
)

func runStatus(ctx context.Context, p command.Process, c command.Command, args []string) error {
	fs := c.Flags()
	flags := addConfigFlags(fs, "listen")
	askedAt(fs)
	asJSON := fs.Bool("json", false, "print the whole status as JSON")
	watch := fs.Bool("watch", false, "show it live until Ctrl-C")
	code := fs.Bool("qr", false, "print the page's address with the viewers' token, and as a QR code for a phone")
	if _, err := c.Parse(p, fs, args, 0); err != nil {
		return err
	}
	flags.useService(p, c)
	config, err := flags.load(p)
	switch {
	case err != nil:
		return err
	case *code && (*watch || *asJSON):
		return command.Misusef("--qr goes with neither --watch nor --json")
	case *watch && *asJSON:
		return command.Misusef("--watch and --json do not go together: run gpsbridge status --json in a loop")
	case *watch:
		return watchStatus(ctx, p.Stdout, config.Relay)
	}
	if *asJSON {
		body, err := fetch(ctx, config.Relay, statusPath)
		if err == nil {
			_, err = fmt.Fprintln(p.Stdout, string(body))
		}
		return err
	}
	if *code {
		st, err := askDaemon(ctx, config.Relay)
		if err == nil {
			err = showPage(p.Stdout, config.Relay, st.DeviceID)
		}
		return err
	}
	st, fixes, err := askAll(ctx, config.Relay)
	if err == nil {
		printStatus(p.Stdout, st, fixes)
	}
	return err
}

// rows writes lines of a name and a text; one without text is left out.
type rows struct{ w io.Writer }

func (r rows) row(name, format string, args ...any) {
	if text := shown(fmt.Sprintf(format, args...)); text != "" {
		fmt.Fprintf(r.w, "%-9s %s\n", name, text)
	}
}

// mostShown bounds a text in bytes: the longest problem has a few hundred.
const mostShown = 2000

// shown is a text in one line of bounded length, as a terminal shows it: parts of it may come from outside, and must not look like
// lines of this program.
func shown(text string) string {
	line := strings.Join(strings.Fields(text), " ")
	return command.Printable(line[:min(len(line), mostShown)])
}

func printStatus(w io.Writer, st observe.Status, fixes []deviceFix) {
	r := rows{w}
	r.row("device", "%s, version %s, up %s", st.DeviceID, st.Version, st.Now.Sub(st.Started).Round(time.Second))
	if st.Problem != nil {
		r.row("reload", "rejected: %s", st.Problem.Error())
	}
	for _, d := range fixes {
		r.position(d, len(fixes) > 1)
	}
	for _, in := range st.Receivers {
		r.receiver(in, len(st.Receivers) > 1)
	}
	if len(st.Uplinks) == 0 {
		r.row("uplink", "none: name a server with --server URL or [[uplink]]")
	}
	for _, u := range st.Uplinks {
		r.uplink(u)
	}
	r.row("spool", "%s", list(fmt.Sprintf("%d waiting, %s of %s, %d dropped",
		st.Spool.Records, mebibytes(st.Spool.Bytes), mebibytes(st.Spool.MaxBytes), st.Spool.Dropped), st.Spool.Problem.Text()))
	if st.Relay != nil {
		r.row("viewers", "%d, %d messages dropped", st.Relay.Viewers, st.Relay.Dropped)
		if st.Relay.TLS != "" {
			r.row("TLS", "SHA-256 %s", st.Relay.TLS)
		}
	}
}

// position is where the vehicle is, how fast it moves, and when that was.
func (r rows) position(d deviceFix, several bool) {
	if d.Fix.Lat == nil || d.Fix.Lon == nil {
		return // a fix without a position: the receiver's row has the reason
	}
	of := ""
	if several {
		of = d.DeviceID + " "
	}
	r.row("position", "%s%.7f %.7f%s, %s", of, *d.Fix.Lat, *d.Fix.Lon, stated(" ± %.1f m", d.Fix.Eph),
		list(stated("altitude %.0f m", d.Fix.AltMSL), kmh(d.Fix.Speed), stated("course %.0f°", d.Fix.Track), stated("%.1f s ago", d.Age)))
}

// mebibytes and megabytes print a number of bytes: disks and the spool's limits are in the first unit, traffic is billed in
// the second.
func mebibytes(n int64) string   { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
func megabytes(n float64) string { return fmt.Sprintf("%.1f MB", n/1e6) }

func (r rows) receiver(in pipeline.ReceiverStatus, several bool) {
	reading, feeds := in.State == receiver.Reading, ""
	switch {
	case several && in.Active:
		feeds = "feeds " + in.DeviceID
	case several && reading:
		feeds = "stands by for " + in.DeviceID
	}
	port := in.Port
	if port == in.Source {
		port = ""
	}
	r.row("receiver", "%s", list(strings.TrimSpace(fmt.Sprintf("%s %s %s %s", in.Source, port, in.State, in.Problem.Error())), feeds))
	r.row("line", "%s", lineHealth(in))
	if reading {
		r.row("types", "%s", typeRates(in))
	}
	r.row("trouble", "%s", in.Warning.Error())
	r.row("fix", "%s, %d fixes from %d sentences, %d bad checksums, %d bytes of noise",
		fixAge(in), in.Fixes, in.Sentences, in.BadChecksum, in.NoiseBytes)
}

// lineHealth is the state of the port and its driver.
func lineHealth(in pipeline.ReceiverStatus) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if in.Baud > 0 {
		add("%d baud", in.Baud)
	}
	if in.LineUse != nil {
		add("%.0f %% in use", *in.LineUse*100)
	}
	if in.Protocol != "" {
		add("%s", in.Protocol)
	}
	if in.LastByteAge != nil {
		add("last byte %.1f s ago", *in.LastByteAge)
	}
	if in.FramingErrors != nil && in.Overruns != nil {
		add("%d framing errors, %d overruns", *in.FramingErrors, *in.Overruns)
	}
	if in.Name != "" {
		add("%s", in.Name)
	}
	return strings.Join(parts, ", ")
}

// typeRates are the sentence types and how many come a second.
func typeRates(in pipeline.ReceiverStatus) string {
	var names []string
	for name := range in.Types {
		names = append(names, name)
	}
	slices.Sort(names) // not by rate: the order of a live picture must not change
	for i, name := range names {
		names[i] = fmt.Sprintf("%s:%.1f/s", name, in.Types[name].Rate)
	}
	return strings.Join(names, ", ")
}

func fixAge(in pipeline.ReceiverStatus) string {
	used := ""
	if in.USat != nil {
		used = fmt.Sprintf(", %.0f satellites used", *in.USat)
	}
	if in.NSat != nil {
		used += fmt.Sprintf(", %.0f in view", *in.NSat)
	}
	switch {
	case !in.Stale():
		return fmt.Sprintf("%s, %.1f s old", in.Mode, *in.FixAge) + used
	case in.FixAge != nil:
		return fmt.Sprintf("no fix, the last one %.0f s ago", *in.FixAge) + used
	}
	return "no fix yet" + used
}

func (r rows) uplink(u observe.UplinkStatus) {
	retry := ""
	if u.RetryIn > 0 {
		retry = fmt.Sprintf("; next attempt in %.0f s", u.RetryIn)
	}
	r.row("uplink", "%s %s %s%s", u.Name, u.State, u.Problem.Text(), retry)
	r.row("warning", "%s", u.Warning.Text())
	if u.Clock != "" {
		r.row("clock", "certificates are verified at the time of the %s", u.Clock)
	}
	held := ""
	if u.HeldBack > 0 {
		held = fmt.Sprintf(" and %d held back for a batch", u.HeldBack)
	}
	r.row("delivery", "%d messages acknowledged (%s), %d waiting, %d of them sent%s, %d sent again, %d quarantined", u.Acked, u.Ack, u.Behind, u.Outstanding, held, u.Resent, u.Quarantined)
	r.row("compression", "%s", u.Compression.Text())
	perFix, perDay, compressed := "", "", ""
	if u.Compressed {
		compressed = "compressed"
	}
	if u.BytesPerFix > 0 {
		perFix = fmt.Sprintf("%.0f bytes a message", u.BytesPerFix)
	}
	if u.BytesPerDay > 0 { // not in its first minute
		perDay = megabytes(u.BytesPerDay) + " a day"
	}
	r.row("traffic", "%s", list(megabytes(float64(u.SentBytes))+" sent", megabytes(float64(u.ReceivedBytes))+" received", megabytes(float64(u.HeaderBytes))+" of TCP and IP", perFix, perDay, compressed))
}
