package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/intake"
)

func selfTestCmd() *cobra.Command {
	var clear bool
	c := &cobra.Command{
		Use: "selftest", Short: "Move the empty machine by the published motion, and say how it does", Args: cobra.NoArgs,
		Long: `THE MACHINE MOVES, for three to ten minutes: it homes, and goes along each axis, with everything cold and switched
off. Which motion it is stands at the end of "platen catalogue -o json". It says how long the controller takes to
answer, how quiet the temperature sensors are, how long the axes take, and how far each has slipped by its sweeps.

A machine that has a job, is warm or has its door open refuses, and so does one of which nobody has said that the bed
is clear (--clear, or platen queue bed-clear). "platen cancel" and "platen halt" end it. Recipients are told the same
figures, if their grant has the items: nobody can have a printer test itself from afar.`,
		RunE: func(c *cobra.Command, _ []string) error {
			var view *intake.TestView
			r, err := ask(c.Context(), intake.Request{Op: intake.OpSelfTest, Clear: clear}, nil, func(r intake.Reply) {
				if r.Event == "moving" && cli.OutputOf(c) == cli.Text {
					fmt.Fprintln(c.ErrOrStderr(), "the machine moves")
				}
				if r.Test != nil {
					view = r.Test
				}
			})
			if err != nil {
				return refused(c, r, err)
			}
			if view == nil {
				return fmt.Errorf("the self-test has ended, and its figures were lost: run it again")
			}
			return cli.Print(c, view, func(w io.Writer) error { return writeTest(w, view) })
		},
	}
	c.Flags().BoolVar(&clear, "clear", false, "the bed is clear: I have looked")
	return c
}

func writeTest(w io.Writer, v *intake.TestView) error {
	text := fmt.Sprintf("motion %s: answers within %.1f ms (half), %.1f ms (nine tenths), %.1f ms (all); %d lines again, %d errors; noise %.1f K\n",
		v.Motion, ms(v.Half), ms(v.Most), ms(v.Longest), v.Resends, v.Errors, float64(v.Noise)/1000)
	for _, a := range v.Axes {
		text += fmt.Sprintf("%s: sweeps in %.2f s", a.Axis, float64(a.Sweep)/1000)
		if a.Spread != nil && a.Shift != nil {
			text += fmt.Sprintf(", homes within %.2f mm, has slipped by %.2f mm", float64(*a.Spread)/1000, float64(*a.Shift)/1000)
		} else {
			text += ", its end stop cannot be timed"
		}
		text += "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

func ms(us uint32) float64 { return float64(us) / 1000 }
