package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/slicer"
	"platen/slicer/profile"
)

// complete lets a shell complete keys after -s and the names of profiles.
func complete(c *cobra.Command) error {
	return errors.Join(
		c.RegisterFlagCompletionFunc("set", func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			return completeSet(begun), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}),
		c.RegisterFlagCompletionFunc("profile", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return profile.Names(), cobra.ShellCompDirectiveDefault
		}))
}

// completeSet lists what may follow -s: keys, and after the key of a choice its words.
func completeSet(begun string) (out []string) {
	key, _, chosen := strings.Cut(begun, "=")
	for i := range slicer.Table() {
		r := &slicer.Table()[i]
		switch {
		case !chosen && strings.HasPrefix(r.Key, key):
			out = append(out, r.Key+"=")
		case chosen && r.Key == key:
			words := r.Choices()
			if r.Switch() {
				words = []string{"true", "false"}
			}
			for _, w := range words {
				out = append(out, key+"="+w)
			}
		}
	}
	return out
}

// entry is one setting as it is printed.
type entry struct {
	Key     string   `json:"key"`
	Section string   `json:"section"`
	Group   string   `json:"group"`
	Value   string   `json:"value"`
	Default string   `json:"default"`
	Unit    string   `json:"unit,omitempty"`
	Range   string   `json:"range"`
	Choices []string `json:"choices,omitempty"`
	Follows string   `json:"follows,omitempty"`
	Doc     string   `json:"doc"`
}

func settingsCmd(o *options) *cobra.Command {
	var markdown, asTOML bool
	c := &cobra.Command{
		Use:   "settings [WORD]",
		Short: "List all settings with values, ranges and meaning",
		Long: `List all settings, or those with WORD in their key or meaning: value, range, meaning. The value is that of the
profiles and flags given along, so that this says what they do:

  platen-slice settings --profile petg retract
  platen-slice settings --profile petg -s walls=3 --toml > mine.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case markdown:
				return slicer.Reference(c.OutOrStdout())
			case asTOML:
				_, err := c.OutOrStdout().Write(profile.Format(slicer.Default(), o.settings, true))
				return err
			}
			word := strings.Join(args, "")
			list := entries(o.settings, word)
			if len(list) == 0 {
				return cli.Usage("no setting has %q in its key or meaning", word)
			}
			return cli.Print(c, list, func(w io.Writer) error { return printEntries(w, list) })
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "print the reference page")
	c.Flags().BoolVar(&asTOML, "toml", false, "print a profile with every setting and its meaning")
	return c
}

func entries(s slicer.Settings, word string) (list []entry) {
	base := slicer.Default()
	word = strings.ToLower(word)
	for i := range slicer.Table() {
		r := &slicer.Table()[i]
		if !strings.Contains(r.Key, word) && !strings.Contains(strings.ToLower(r.Doc), word) {
			continue
		}
		list = append(list, entry{
			Key: r.Key, Section: string(r.Section), Group: r.Group, Value: r.Text(&s), Default: r.Text(&base),
			Unit: r.Unit(), Range: r.Range(), Choices: r.Choices(), Follows: r.Follows(), Doc: r.Doc,
		})
	}
	return list
}

func printEntries(w io.Writer, list []entry) error {
	group := ""
	for _, e := range list {
		if e.Group != group {
			if group = e.Group; e.Key != list[0].Key {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s [%s]\n", e.Group, e.Section)
		}
		if _, err := fmt.Fprintf(w, "  %-28s %-10s %s (%s)\n", e.Key, e.Value, e.Doc, e.Range); err != nil {
			return err
		}
	}
	return nil
}

// builtin is one profile as it is printed.
type builtin struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

func profilesCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "profiles [NAME]",
		Short: "List the profiles that come along, or print one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				p, ok := profile.Find(args[0])
				if !ok {
					return cli.Usage("there is no profile %q: use one of %s", args[0], strings.Join(profile.Names(), ", "))
				}
				_, err := c.OutOrStdout().Write(p.Text)
				return err
			}
			var list []builtin
			for _, n := range profile.Names() {
				p, _ := profile.Find(n)
				list = append(list, builtin{n, p.Doc})
			}
			return cli.Print(c, list, func(w io.Writer) error {
				for _, b := range list {
					if _, err := fmt.Fprintf(w, "%-8s %s\n", b.Name, b.Doc); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
