package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/evidence"
	"platen/agent/fleet"
	"platen/agent/fleet/offers"
	"platen/agent/fleet/store"
	"platen/agent/intake"
)

// offered is what offer prints.
type offered struct {
	Schema  int      `json:"schema"`
	Printer string   `json:"printer"`
	Job     string   `json:"job"`
	Sources []string `json:"sources"`
}

func offerCmd() *cobra.Command {
	var dir *string
	var o terms
	var ticket, file string
	c := &cobra.Command{
		Use:   "offer PRINTER --dir DIR (--ticket FILE | --file SEALED-FILE --key KEY)",
		Short: "Offer a sealed job to a printer, which fetches it and waits for its owner",
		Long: `Offer a sealed job to a printer: the fleet that runs over DIR sends it the ticket, now or when the printer
comes back, and says "offered" once the printer has it. The printer fetches the sealed file from where the ticket
says and keeps it in its queue; when it is printed, its owner says there.

With --ticket the ticket exists already and names its sources. With --file everything is done here: the sealed
file is copied into the fleet's folder and served from there, and the ticket is made and signed with --key.

What a printer thinks of an offer it keeps to itself: see its log, or platen queue on it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := evidence.ParsePrinterID(args[0])
			if err != nil {
				return cli.Usage("%q is not the id of a printer: %v", args[0], err)
			}
			if (ticket == "") == (file == "") || (file == "") != (o.key == "") {
				return cli.Usage("give either --ticket, or --file and --key")
			}
			if err := enrolled(*dir, id); err != nil {
				return err
			}
			o.printers = []string{id.String()}
			t, env, err := whatToOffer(c, *dir, ticket, file, &o)
			if err != nil {
				return err
			}
			if !slices.Contains(t.Printers, id.String()) || len(t.Sources) == 0 {
				return fmt.Errorf("the ticket is not for this printer, or says no source: make one with platen-fleet ticket --printer --source")
			}
			job := fmt.Sprintf("%x", []byte(t.Job))
			if err := offers.Put(*dir, id, offers.Offer{Job: job, Until: t.NotAfter, Envelope: env}); err != nil {
				return err
			}
			return cli.Print(c, offered{store.Schema, id.String(), job, t.Sources}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "job", job)
				return err
			})
		},
	}
	dir = dirFlag(c)
	o.flags(c)
	c.Flags().StringVar(&ticket, "ticket", "", "ticket that names the sources of its sealed file")
	c.Flags().StringVar(&file, "file", "", "sealed file to be served and offered")
	return c
}

// enrolled is an error if the fleet does not know a printer.
func enrolled(dir string, id evidence.PrinterID) error {
	recs, err := store.Records(dir)
	if err != nil {
		return err
	}
	for _, r := range recs {
		if r.Printer == id {
			return nil
		}
	}
	return fmt.Errorf("the printer is not enrolled here: see platen-fleet printers --dir %s", dir)
}

// whatToOffer is the ticket that exists, or one for a file that is held from now on.
func whatToOffer(c *cobra.Command, dir, ticket, file string, o *terms) (t intake.Ticket, env []byte, err error) {
	if ticket != "" {
		f, err := os.Open(ticket)
		if err != nil {
			return t, nil, err
		}
		defer f.Close()
		if env, err = io.ReadAll(io.LimitReader(f, intake.MaxTicket+1)); err != nil {
			return t, nil, err
		}
		t, err = intake.PeekTicket(env)
		return t, env, err
	}
	f, err := os.Open(file)
	if err != nil {
		return t, nil, err
	}
	defer f.Close()
	name, err := offers.Hold(dir, f)
	if err != nil {
		return t, nil, err
	}
	source, err := fleet.Source(dir, name)
	if err != nil {
		return t, nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return t, nil, err
	}
	if t, env, err = o.ticket(c, f, []string{source}); err == nil {
		err = offers.Needed(dir, name, t.NotAfter)
	}
	return t, env, err
}
