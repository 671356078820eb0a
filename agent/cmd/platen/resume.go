package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/confine"
	"platen/agent/intake"
)

// resuming asks whoever sits at the terminal whether a broken print may go on, by what only
// they can see.
func resuming(c *cobra.Command, yes bool) error {
	b, err := brokenPrint(c.Context())
	if err != nil || b == nil {
		return err // the agent says that there is none
	}
	if b.Code != "" {
		return refused(c, intake.Reply{Error: b.Why, Code: b.Code}, errors.New(b.Why))
	}
	what := fmt.Sprintf(`The print that the power loss broke goes on at layer %d. Look at the printer: the part stands on the bed as it
was left, holds to it, and nothing but what is printed is below the nozzle, which nobody has moved. The bed and
the nozzle are heated, the nozzle is lifted, and X and Y are homed.`, b.Layer)
	if b.Layer == 0 {
		what = "The print that the power loss broke had laid down next to nothing: it begins anew. Look at the printer: the bed is clear."
	}
	return confirm(c, yes, what)
}

// brokenPrint is the print that a power loss broke; nil if there is none.
func brokenPrint(ctx context.Context) (b *intake.BrokenView, err error) {
	_, err = ask(ctx, intake.Request{Op: intake.OpStatus}, nil, func(r intake.Reply) {
		if r.Status != nil {
			b = r.Status.Broken
		}
	})
	return b, err
}

// digest is the SHA-256 of a file, by which the printer knows it again after a power loss.
// Where the file is read does not change.
func digest(f *os.File) ([]byte, error) {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err // the agent says why it takes no other
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, math.MaxInt64)); err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	return h.Sum(nil), nil
}

func discardCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "discard",
		Short: "Forget a print that a power loss broke; the bed is clear",
		Long: `Forget a print that a power loss broke. Say so once the bed is clear: the next print homes all axes. A sealed
job's copy stays counted; an operator's re-credit gives it back.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := brokenPrint(c.Context())
			if err != nil {
				return err
			}
			if b != nil {
				if err := confirm(c, yes, "The broken print cannot go on after this. Look at the printer: the bed is clear."); err != nil {
					return err
				}
			}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpDiscard}, nil, nil)
			return refused(c, r, err)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// brokenText is what the status says of a broken print.
func brokenText(b *intake.BrokenView) string {
	if b.Code != "" {
		return b.Why
	}
	return fmt.Sprintf("at layer %d: platen print --resume and the same file, or clear the bed and platen discard", b.Layer)
}

// doctorPrint finds a print that a power loss broke, if the agent runs.
func doctorPrint(ctx context.Context) []confine.Finding {
	b, err := brokenPrint(ctx)
	if err != nil {
		return nil
	}
	if b == nil {
		return []confine.Finding{{Name: "print", What: "no power loss has broken one"}}
	}
	f := confine.Finding{Name: "print", Level: confine.Warn, What: fmt.Sprintf("a power loss has broken one at layer %d", b.Layer), Remedy: brokenText(b)}
	return []confine.Finding{f}
}

// errResumeQueue says where a broken print goes on.
var errResumeQueue = cli.Usage("a broken print goes on at once: leave --queue out")
