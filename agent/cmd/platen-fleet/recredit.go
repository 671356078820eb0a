package main

import (
	"crypto/ed25519"
	"os"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/intake"
)

func recreditCmd() *cobra.Command {
	var key, printer, ticket string
	var count uint64
	var copies int
	c := &cobra.Command{
		Use:   "recredit --key KEY --printer ID --count N [--ticket FILE --copies K]",
		Short: "Sign a re-credit: copies that were counted and not printed, or a new start for a printer's record",
		Long: `Sign a re-credit for a printer: with --ticket, copies of its job were counted that were not printed, and
are given back. Without it, the printer begins its record of copies anew, as after a new disk; tickets from
before are not taken any more.

The count is the one that "platen status" of the printer shows. A re-credit is good once, at that count;
"platen recredit FILE" hands it to the printer. It goes to standard output.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := evidence.ParsePrinterID(printer); err != nil {
				return cli.Usage("--printer: %v", err)
			}
			k, err := consent.LoadKey(key)
			if err != nil {
				return err
			}
			r := intake.Recredit{Printer: printer, Count: count, Issued: time.Now().UTC().Truncate(time.Second)}
			if ticket != "" {
				env, err := os.ReadFile(ticket)
				if err != nil {
					return err
				}
				t, err := intake.OpenTicket(c.Context(), env, []ed25519.PublicKey{k.Public().(ed25519.PublicKey)})
				if err != nil {
					return err
				}
				r.Job, r.Copies = t.Job, copies
			}
			env, err := r.Sign(c.Context(), k)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(append(env, '\n'))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "the operator's private key, which signed the ticket too")
	f.StringVar(&printer, "printer", "", "id of the printer")
	f.Uint64Var(&count, "count", 0, "the printer's count of copies, as platen status shows it")
	f.StringVar(&ticket, "ticket", "", "ticket of the job whose copies are given back")
	f.IntVar(&copies, "copies", 1, "how many of them")
	c.MarkFlagRequired("key")
	c.MarkFlagRequired("printer")
	c.MarkFlagRequired("count")
	return c
}
