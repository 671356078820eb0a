package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

// revoked is what revoke prints.
type revoked struct {
	Schema  int    `json:"schema"`
	Printer string `json:"printer"`
	Revoked bool   `json:"revoked"`
}

func revokeCmd() *cobra.Command {
	var dir *string
	var undo bool
	c := &cobra.Command{
		Use:   "revoke PRINTER --dir DIR",
		Short: "Take a printer out of the fleet",
		Long: `Take a printer out of the fleet: from this moment nothing that it sends is believed and it gets no
certificate; the fleet that runs over DIR drops its connection within seconds. Its history stays.

At a broker of your own (up --broker) what comes through its connection is refused all the same. For the
broker to end it as well, have it read the list of revoked certificates, which the fleet keeps in
DIR/ca/crl.pem (see ca crl): crlfile in Mosquitto, which reads it when it is restarted.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := evidence.ParsePrinterID(args[0])
			if err != nil {
				return cli.Usage("%q is not the id of a printer: %v", args[0], err)
			}
			if err := enrolled(*dir, id); err != nil {
				return err
			}
			if undo {
				err = store.Readmit(*dir, id)
			} else {
				err = store.Leave(*dir, id, store.Departure{At: time.Now().UTC().Truncate(time.Second)})
			}
			if err != nil {
				return err
			}
			return cli.Print(c, revoked{store.Schema, id.String(), !undo}, func(w io.Writer) error {
				text := "revoked"
				if undo {
					text = "let in again"
				}
				_, err := fmt.Fprintln(w, text)
				return err
			})
		},
	}
	dir = dirFlag(c)
	c.Flags().BoolVar(&undo, "undo", false, "let it in again")
	return c
}
