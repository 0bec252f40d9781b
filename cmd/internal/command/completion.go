package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Shells are those that Completion writes for.
var Shells = []string{"bash", "zsh", "fish"}

// flagsOf returns the flags that a command defines.
func (g Program) flagsOf(c Command) (flags []*flag.Flag) {
	c.program = g.Name
	p := Process{Stdout: io.Discard, Stderr: io.Discard, flags: func(fs *flag.FlagSet) {
		fs.VisitAll(func(f *flag.Flag) { flags = append(flags, f) })
	}}
	_ = c.Run(context.Background(), p, c, nil) // ends in Parse
	return flags
}

// Completion writes a script with which a shell completes the program's commands, their flags, and files.
func (g Program) Completion(w io.Writer, shell string) error {
	write := map[string]func() string{"bash": g.bash, "zsh": g.zsh, "fish": g.fish}[shell]
	if write == nil {
		return Misusef("%q is not a known shell: use %s", shell, strings.Join(Shells, ", "))
	}
	_, err := io.WriteString(w, write())
	return err
}

// dashedFlags lists a command's flags as they are typed.
func (g Program) dashedFlags(c Command) (names []string) {
	for _, f := range g.flagsOf(c) {
		names = append(names, dashed(f.Name))
	}
	return append(names, "-h")
}

// bash completes file names (-o default) where no word of the list fits.
func (g Program) bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# bash completion for %[1]s: source it, or copy it to /usr/share/bash-completion/completions/%[1]s\n_%[1]s() {\n"+
		"  local words\n  case \"$COMP_CWORD ${COMP_WORDS[1]}\" in\n    '1 '*) words='%[2]s' ;;\n", g.Name, strings.Join(append(g.names(), "help"), " "))
	fmt.Fprintf(&b, "    *' help') words='%s' ;;\n", strings.Join(g.names(), " "))
	for _, c := range g.Commands {
		fmt.Fprintf(&b, "    *' %s') words='%s' ;;\n", c.Name, strings.Join(slices.Concat(g.dashedFlags(c), c.Words), " "))
	}
	fmt.Fprintf(&b, "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F _%[1]s %[1]s\n", g.Name)
	return b.String()
}

// zsh describes what it offers.
func (g Program) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n# zsh completion for %[1]s: copy it to a directory of $fpath as _%[1]s\n_%[1]s() {\n  local -a list\n"+
		"  if (( CURRENT == 2 )); then\n    list=(\n", g.Name)
	for _, c := range g.Commands {
		fmt.Fprintf(&b, "      %s\n", quoted(c.Name+":"+c.About))
	}
	fmt.Fprintf(&b, "    )\n    _describe command list\n    return\n  fi\n  case $words[2] in\n")
	for _, c := range g.Commands {
		fmt.Fprintf(&b, "    %s) _arguments", c.Name)
		for _, f := range g.flagsOf(c) {
			value, usage := flag.UnquoteUsage(f)
			argument := ""
			if value != "" {
				argument = ":" + value + ":_files"
			}
			fmt.Fprintf(&b, " %s", quoted(dashed(f.Name)+"["+strings.NewReplacer("[", "(", "]", ")", ":", ",").Replace(usage)+"]"+argument))
		}
		if len(c.Words) > 0 {
			fmt.Fprintf(&b, " %s", quoted("*:word:("+strings.Join(c.Words, " ")+")"))
		} else {
			fmt.Fprintf(&b, " '*:file:_files'")
		}
		b.WriteString(" ;;\n")
	}
	fmt.Fprintf(&b, "  esac\n}\nif [[ $funcstack[1] == _%[1]s ]]; then _%[1]s \"$@\"; else compdef _%[1]s %[1]s; fi\n", g.Name)
	return b.String()
}

func (g Program) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %[1]s: copy it to ~/.config/fish/completions/%[1]s.fish\n", g.Name)
	for _, c := range g.Commands {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -f -a %s -d %s\n", g.Name, c.Name, quoted(c.About))
		in := quoted("__fish_seen_subcommand_from " + c.Name)
		for _, f := range g.flagsOf(c) {
			value, usage := flag.UnquoteUsage(f)
			name, takes := "-l "+f.Name, ""
			if len(f.Name) == 1 {
				name = "-s " + f.Name
			}
			if value != "" {
				takes = " -r"
			}
			fmt.Fprintf(&b, "complete -c %s -n %s %s%s -d %s\n", g.Name, in, name, takes, quoted(usage))
		}
		if len(c.Words) > 0 {
			fmt.Fprintf(&b, "complete -c %s -n %s -f -a %s\n", g.Name, in, quoted(strings.Join(c.Words, " ")))
		}
	}
	return b.String()
}

// quoted is a word of a shell, whatever characters it has.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
