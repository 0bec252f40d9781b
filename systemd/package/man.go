package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// manuals adds the man pages: gpsbridge(1), made of the help of the program, gpsbridge.toml(5) and gpsbridge-relay.toml(5), made of the
// reference configurations.
func (s *source) manuals(program string) error {
	help, err := command(s.work, nil, program, "help")
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(help, "\n")
	var commands []string
	for _, m := range commandLine.FindAllStringSubmatch(help, -1) {
		text, err := command(s.work, nil, program, m[1], "-h")
		if err != nil {
			return err
		}
		commands = append(commands, text)
	}
	if err := s.doc("/usr/share/man/man1/gpsbridge.1.gz", s.title("GPSBRIDGE", 1, "User Commands")+programManual(first, commands)); err != nil {
		return err
	}
	for page, name := range map[string]string{"gpsbridge.toml": "gpsbridge.toml", "gpsbridge-relay.toml": "relay.toml"} {
		reference, err := os.ReadFile(filepath.Join(s.root, "systemd", name))
		if err != nil {
			return err
		}
		text := s.title(strings.ToUpper(page), 5, "File Formats") + configManual(page, string(reference))
		if err := s.doc("/usr/share/man/man5/"+page+".5.gz", text); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) title(name string, section int, manual string) string {
	return fmt.Sprintf(".TH %s %d %s \"gpsbridge %s\" \"%s\"\n", name, section, s.version.time.Format("2006-01-02"), s.version.debian(), manual)
}

var (
	commandLine = regexp.MustCompile(`(?m)^  gpsbridge (\S+)`)
	usageLine   = regexp.MustCompile(`^gpsbridge (\S+) ?(.*?): (.*)$`)
)

// programManual is gpsbridge(1): first is a sentence on what the program does, commands the help of each command.
func programManual(first string, commands []string) string {
	var synopsis, b strings.Builder
	for _, text := range commands {
		usage, flags, _ := strings.Cut(text, "\n")
		m := usageLine.FindStringSubmatch(usage)
		if m == nil {
			m = []string{usage, usage, "", ""} // in another form: keep it whole
		}
		fmt.Fprintf(&synopsis, ".B gpsbridge %s\n%s\n.br\n", roff(m[1]), roff(m[2]))
		fmt.Fprintf(&b, ".SS gpsbridge %s\n%s\n", roff(m[1]), roff(m[3]))
		b.WriteString(flagList(flags))
	}
	return ".SH NAME\ngpsbridge \\- " + roff(strings.TrimSuffix(strings.TrimPrefix(first, "gpsbridge "), ".")) +
		"\n.SH SYNOPSIS\n.nh\n.ad l\n" + synopsis.String() + ".ad b\n.hy\n.SH COMMANDS\n" + b.String() +
		".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nfailed\n.TP\n2\nwrong usage or configuration\n" +
		".SH FILES\n.TP\n.I /etc/gpsbridge/gpsbridge.toml\nthe configuration of the service\n" +
		".TP\n.I /etc/gpsbridge/relay.toml\nthat of the tracking server\n" +
		".SH SEE ALSO\n.BR gpsbridge.toml (5),\n.BR gpsbridge\\-relay.toml (5),\n.BR systemctl (1),\n.BR journalctl (1)\n"
}

// flagList turns what the program prints of a command's flags into a list; other lines stay text.
func flagList(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		name, usage, sameLine := strings.Cut(line, "\t")
		switch {
		case strings.HasPrefix(line, "  -"):
			fmt.Fprintf(&b, ".TP\n.B %s\n", roff(strings.TrimSpace(name)))
			if sameLine {
				fmt.Fprintln(&b, roff(usage))
			}
		case strings.TrimSpace(line) != "":
			fmt.Fprintln(&b, roff(strings.TrimSpace(line)))
		}
	}
	return b.String()
}

var (
	section = regexp.MustCompile(`^#?(\[\[?[a-z0-9_.]+\]\]?)$`)
	key     = regexp.MustCompile(`^#?([a-z0-9_]+ = .*)$`)
)

// configManual is a page of a reference configuration, whose comments stand before the keys that they explain.
func configManual(page, reference string) string {
	var b, comment strings.Builder
	var keys []string // that the comment explains
	flush := func() {
		for i, k := range keys {
			fmt.Fprintf(&b, "%s\n.B %s\n", []string{".TP", ".TQ"}[min(i, 1)], roff(k))
		}
		b.WriteString(comment.String())
		if len(keys) == 0 && comment.Len() > 0 {
			b.WriteString(".PP\n") // a paragraph of its own
		}
		keys = nil
		comment.Reset()
	}
	fmt.Fprintf(&b, ".SH NAME\n%s \\- configuration of gpsbridge\n.SH DESCRIPTION\n", page)
	for line := range strings.Lines(reference) {
		line = strings.TrimRight(line, "\n")
		if m := key.FindStringSubmatch(line); m != nil {
			keys = append(keys, m[1])
			continue
		}
		if len(keys) > 0 {
			flush()
		}
		text, isComment := strings.CutPrefix(line, "#")
		switch m := section.FindStringSubmatch(line); {
		case m != nil:
			fmt.Fprintf(&b, ".SS %s\n", roff(m[1]))
			flush()
		case !isComment:
			flush()
		case strings.HasPrefix(text, "   "): // a list
			fmt.Fprintf(&comment, ".br\n%s\n", roff(strings.TrimSpace(text)))
		default:
			fmt.Fprintln(&comment, roff(strings.TrimSpace(text)))
		}
	}
	flush()
	return b.String() + ".SH SEE ALSO\n.BR gpsbridge (1)\n"
}

// roff escapes text for the formatter.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, `"`, `\(dq`, "`", `\(ga`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
