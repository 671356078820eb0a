package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/intake"
)

// maxSealed is the largest sealed file a ticket is made for, in bytes.
const maxSealed = 1 << 30

func ticketCmd() *cobra.Command {
	var key string
	var printers []string
	var copies int
	var life time.Duration
	c := &cobra.Command{
		Use:   "ticket SEALED-FILE --key KEY --printer ID",
		Short: "Sign a ticket: which sealed file may be printed where, how often, until when",
		Long: `Sign a ticket for a file that was sealed with age to the recipient of each printer (platen-fleet printers).
The ticket goes to standard output; it says nothing of the model.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, p := range printers {
				if _, err := evidence.ParsePrinterID(p); err != nil {
					return cli.Usage("--printer: %v", err)
				}
			}
			k, err := consent.LoadKey(key)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			held, err := intake.Hold(f, maxSealed)
			if err != nil {
				return err
			}
			defer held.Close()
			env, err := intake.NewTicket(held, "stl", printers, copies, time.Now().Add(-time.Minute), life).Sign(c.Context(), k)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(append(env, '\n'))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "the operator's private key (platen consent keygen makes one)")
	f.StringSliceVar(&printers, "printer", nil, "id of a printer that may print it; give it several times for several")
	f.IntVar(&copies, "copies", 1, "how often each of them may")
	f.DurationVar(&life, "for", 24*time.Hour, "how long the ticket is good for")
	c.MarkFlagRequired("key")
	c.MarkFlagRequired("printer")
	return c
}
