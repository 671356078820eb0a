package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manCmd prints a manual page of the whole command in man(7) macros, so that
// packages can ship it: platen man | gzip > platen.1.gz
func manCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man",
		Short:  "Print the manual page",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return writeMan(c.OutOrStdout(), root)
		},
	}
}

func writeMan(w io.Writer, root *cobra.Command) error {
	var b strings.Builder
	name := root.Name()
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"%s %s\" \"Platen\"\n", strings.ToUpper(name), name, version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", name, roff(root.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\nCOMMAND [OPTIONS]\n", name)
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(root.Long))
	b.WriteString(".SH COMMANDS\n")
	manTree(&b, root)
	b.WriteString(".SH OPTIONS\n")
	manFlags(&b, root.PersistentFlags())
	b.WriteString(".SH EXIT STATUS\n0 success, 1 failed, 2 wrong usage, 3 works but needs attention, 4 not running.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func manTree(b *strings.Builder, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "completion" || sub.Name() == "help" {
			continue
		}
		if sub.Runnable() {
			text := sub.Long
			if text == "" {
				text = sub.Short
			}
			fmt.Fprintf(b, ".SS %s\n%s\n", roff(sub.UseLine()), roff(text))
			manFlags(b, sub.LocalNonPersistentFlags())
		}
		manTree(b, sub)
	}
}

func manFlags(b *strings.Builder, fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		short := ""
		if f.Shorthand != "" {
			short = "\\-" + f.Shorthand + ", "
		}
		fmt.Fprintf(b, ".TP\n.B %s\\-\\-%s\n%s\n", short, roff(f.Name), roff(f.Usage))
	})
}

// roff escapes text for man(7): backslashes, hyphens, and lines that would begin
// with a control character.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		} else if l == "" {
			lines[i] = ".PP"
		}
	}
	return strings.Join(lines, "\n")
}
