package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Shells are those that Completion writes for.
var Shells = []string{"bash", "zsh", "fish"}

// completionScripts have %[1]s for the program. They ask it what may follow the words so far; where nothing fits, they complete
// file names.
var completionScripts = map[string]string{
	"bash": `# bash completion for %[1]s: source it, or copy it to /usr/share/bash-completion/completions/%[1]s
_%[1]s() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(%[1]s complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null | cut -f 1)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _%[1]s %[1]s
`,
	"zsh": `#compdef %[1]s
# zsh completion for %[1]s: copy it to a directory of $fpath as _%[1]s
_%[1]s() {
  local -a list
  list=("${(@f)$(%[1]s complete "${(@)words[2,CURRENT-1]}" 2>/dev/null | sed 's/:/\\:/g; s/\t/:/')}")
  _describe word list || _files
}
if [[ $funcstack[1] == _%[1]s ]]; then _%[1]s "$@"; else compdef _%[1]s %[1]s; fi
`,
	"fish": `# fish completion for %[1]s: copy it to ~/.config/fish/completions/%[1]s.fish
complete -c %[1]s -n __fish_use_subcommand -f
complete -c %[1]s -a '(%[1]s complete (commandline -opc)[2..] 2>/dev/null)'
`,
}

// Completion writes a script with which a shell completes the program's commands, their flags, and files. The program needs
// Complete among its hidden commands.
func (g Program) Completion(w io.Writer, shell string) error {
	script, known := completionScripts[shell]
	if !known {
		return Misusef("%q is not a known shell: use %s", shell, strings.Join(Shells, ", "))
	}
	_, err := fmt.Fprintf(w, script, g.Name)
	return err
}

// Complete is the command that the scripts run: it prints what may follow some words, each with a tab and what it is.
func (g Program) Complete() Command {
	return Command{Name: "complete", Run: func(_ context.Context, p Process, _ Command, words []string) error {
		if len(words) == 0 || helps(words[0]) {
			for _, c := range g.Commands {
				fmt.Fprintf(p.Stdout, "%s\t%s\n", c.Name, c.About)
			}
			return nil
		}
		c, _ := g.find(words[0])
		for _, f := range flagsOf(c) {
			_, usage := flag.UnquoteUsage(f)
			fmt.Fprintf(p.Stdout, "%s\t%s\n", dashed(f.Name), usage)
		}
		for _, word := range c.Words {
			fmt.Fprintln(p.Stdout, word)
		}
		return nil
	}}
}

// flagsOf returns the flags that a command defines.
func flagsOf(c Command) (flags []*flag.Flag) {
	p := Process{Stdout: io.Discard, Stderr: io.Discard, flags: func(fs *flag.FlagSet) {
		fs.VisitAll(func(f *flag.Flag) { flags = append(flags, f) })
	}}
	if c.Run != nil {
		_ = c.Run(context.Background(), p, c, nil) // ends in Parse
	}
	return flags
}
