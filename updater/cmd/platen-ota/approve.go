package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/updater/approval"
	"platen/updater/publish"
)

func (o *options) approveCmd() *cobra.Command {
	var s publish.States
	var key string
	var boot []string
	c := &cobra.Command{
		Use:   "approve DIR --board ID --key FILE",
		Short: "Sign which states of a board's printers may open jobs",
		Long: `Approve signs the states in which printers that are bound to an approver may open sealed
jobs: those they get into with the board's newest releases, by starting in one of them, by
updating without a restart of the machine, and by falling back. What was approved for the
board before is replaced: printers no longer show it to their TPMs, which would still take
it from somebody who has kept it. Printers see it after the next publish; a bound printer
does not take a release that was not approved.

The approver's key is one on P-256 (platen-ota key --type p256). It is an offline key, and the
one that decides which systems can open jobs: keep it as you keep the root keys. Its .pub file
is approver_key in the configuration of printers. With another approver a printer has another
recipient, so it is best set before anybody seals a job to the printer.

A state is the value of PCR 14, which the launcher measures the agent into, of the registers
that the root file system was released with (add --pcr) and of those that --pcr names. Without those, whoever starts another system on the board can
measure a released agent and so open jobs: name those of firmware and kernel as soon as the
board measures them.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if s.Board == "" || key == "" {
				return cli.Usage("approve needs --board and --key; see platen-ota approve --help")
			}
			var err error
			if s.Boot, err = registers(boot); err != nil {
				return err
			}
			approver, err := approval.LoadKey(key)
			if err != nil {
				return err
			}
			return o.open(args[0], func(r *publish.Repo) error {
				var rel publish.Release
				err := o.change(r, func() (err error) {
					rel, err = r.Approve(s, approver, o.keys, time.Now())
					return err
				})
				if err != nil {
					return err
				}
				return cli.Print(c, rel, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "release %d for %s: %d states approved (now publish)\n", rel.Release, rel.Board, len(rel.Approvals))
					return err
				})
			})
		},
	}
	o.keysFlag(c)
	f := c.Flags()
	f.StringVar(&s.Board, "board", "", "board whose releases are approved")
	f.StringVar(&key, "key", "", "the approver's private key")
	f.IntVar(&s.Releases, "releases", 3, "how many of the newest releases, at most 4")
	f.StringArrayVar(&boot, "pcr", nil, "a register of the machine and its value, INDEX=SHA256, or FILE:BOOTLOADER, of an image's pcrs.json; repeat it for more")
	return c
}
