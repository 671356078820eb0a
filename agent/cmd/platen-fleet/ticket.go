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

// maxSealed is the largest sealed file a ticket is made for, in bytes.
const maxSealed = 1 << 30

// terms are what a ticket says besides its file.
type terms struct {
	key      string
	printers []string
	copies   int
	life     time.Duration
}

// flags gives a command that makes tickets what they say.
func (o *terms) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "the operator's private key (platen consent keygen makes one)")
	f.IntVar(&o.copies, "copies", 1, "how often each printer may print it")
	f.DurationVar(&o.life, "for", 24*time.Hour, "how long the ticket is good for")
}

// ticket signs a ticket for a sealed file that can be fetched from sources.
func (o *terms) ticket(c *cobra.Command, f *os.File, sources []string) (intake.Ticket, []byte, error) {
	k, err := consent.LoadKey(o.key)
	if err != nil {
		return intake.Ticket{}, nil, err
	}
	held, err := intake.Hold(f, maxSealed)
	if err != nil {
		return intake.Ticket{}, nil, err
	}
	defer held.Close()
	t := intake.NewTicket(held, "stl", o.printers, o.copies, time.Now().Add(-time.Minute), o.life)
	t.Sources = sources
	env, err := t.Sign(c.Context(), k)
	if err == nil { // as a printer will
		_, err = intake.OpenTicket(c.Context(), env, []ed25519.PublicKey{k.Public().(ed25519.PublicKey)})
	}
	return t, env, err
}

func ticketCmd() *cobra.Command {
	var o terms
	var sources []string
	c := &cobra.Command{
		Use:   "ticket SEALED-FILE --key KEY --printer ID",
		Short: "Sign a ticket: which sealed file may be printed where, how often, until when",
		Long: `Sign a ticket for a file that was sealed with age to the recipient of each printer (platen-fleet printers).
The ticket goes to standard output; it says nothing of the model.

With --source it says where the sealed file can be fetched from, so that it can be offered to printers. Whoever
can fetch the file gets ciphertext. The URL is in clear in the ticket: let it say nothing of the model either.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, p := range o.printers {
				if _, err := evidence.ParsePrinterID(p); err != nil {
					return cli.Usage("--printer: %v", err)
				}
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			_, env, err := o.ticket(c, f, sources)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(append(env, '\n'))
			return err
		},
	}
	o.flags(c)
	c.Flags().StringSliceVar(&o.printers, "printer", nil, "id of a printer that may print it; give it several times for several")
	c.Flags().StringSliceVar(&sources, "source", nil, "https URL of the sealed file; give it several times for several, the best first")
	c.MarkFlagRequired("key")
	c.MarkFlagRequired("printer")
	return c
}
