package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/slicer/profile/prusa"
)

// imported is what import-ini prints.
type imported struct {
	Profile string       `json:"profile"`
	Lines   []prusa.Line `json:"settings"`
}

func importCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "import-ini FILE",
		Short: "Turn a config of PrusaSlicer into a profile",
		Long: `Turn a config of PrusaSlicer into a profile on standard output. FILE is a config.ini (File, Export, Export
Config), G-code that PrusaSlicer has written, or a 3MF project of it. What was changed or has no equivalent is
told on standard error, setting by setting; -o json has all of it.

  platen-slice import-ini config.ini > mine.toml`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			st, err := f.Stat()
			if err != nil {
				return err
			}
			if !st.Mode().IsRegular() {
				return fmt.Errorf("read %s: not a regular file", args[0])
			}
			config, err := prusa.Read(f, st.Size())
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			text, lines, err := prusa.Import(config)
			if err != nil {
				return err
			}
			return cli.Print(c, imported{string(text), lines}, func(w io.Writer) error {
				if err := told(c.ErrOrStderr(), lines); err != nil {
					return err
				}
				_, err := w.Write(text)
				return err
			})
		},
	}
}

// told says what is not as it was, reason by reason.
func told(w io.Writer, lines []prusa.Line) error {
	taken := 0
	var reasons []string // in order of appearance
	keys := map[string][]string{}
	for _, l := range lines {
		switch l.Outcome {
		case prusa.Taken:
			taken++
			continue
		case prusa.Unused:
			continue
		}
		why := string(l.Outcome) + ": " + l.Reason
		if keys[why] == nil {
			reasons = append(reasons, why)
		}
		keys[why] = append(keys[why], l.Key)
	}
	slices.Sort(reasons)
	for _, why := range reasons {
		if _, err := fmt.Fprintf(w, "%s\n    %s\n", why, strings.Join(keys[why], " ")); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d settings taken as they are\n", taken)
	return err
}
