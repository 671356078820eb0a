package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// receiptView is what receipt verify prints.
type receiptView struct {
	Schema  int       `json:"schema"`
	Printer string    `json:"printer"`
	At      time.Time `json:"at"` // by the printer's clock
	Kept    bool      `json:"kept_identity"`
	Files   uint64    `json:"files"`
	Indices []string  `json:"indices"`
	Marked  bool      `json:"marked"` // as gone, in the fleet's folder
}

// maxReceipt is far beyond the length of any receipt.
const maxReceipt = 64 << 10

func receiptCmd() *cobra.Command {
	parent := &cobra.Command{Use: "receipt", Short: "Receipts that printers signed: for sealed jobs, and for leaving their owners"}
	var dir string
	c := &cobra.Command{
		Use:   "verify FILE [--dir DIR]",
		Short: "Check a receipt, and mark its printer as gone",
		Long: `Check a receipt of platen decommission: the printer's TPM signed it, with the key that is the printer's
identity, before that key was removed. It needs nothing else; compare the id that is printed with that of the
printer that was sold. With --dir a printer of that fleet is marked as gone, unless it kept its identity.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readAtMost(args[0], maxReceipt)
			if err != nil {
				return err
			}
			id, r, err := verify.Receipt(text)
			if err != nil {
				return err
			}
			v := receiptView{Schema: store.Schema, Printer: id.String(), At: time.Unix(int64(r.At), 0).UTC(), Kept: r.Kept, Files: r.Files, Indices: []string{}}
			for _, n := range r.Indices {
				v.Indices = append(v.Indices, fmt.Sprintf("%#x", n))
			}
			if v.Marked, err = markGone(dir, id, r); err != nil {
				return err
			}
			return cli.Print(c, v, func(w io.Writer) error { return writeReceipt(w, v) })
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder of the fleet's state")
	parent.AddCommand(c, deliveryCmd())
	return parent
}

// markGone marks a printer of the fleet in dir as gone.
func markGone(dir string, id evidence.PrinterID, r evidence.Receipt) (bool, error) {
	if dir == "" || r.Kept {
		return false, nil
	}
	if err := enrolled(dir, id); err != nil {
		return false, err
	}
	return true, store.Leave(dir, id, store.Departure{At: time.Now().UTC().Truncate(time.Second), Gone: true})
}

func writeReceipt(w io.Writer, v receiptView) error {
	what := fmt.Sprintf("its identity, its keys and %d files of its owner's are gone", v.Files)
	if v.Kept {
		what = fmt.Sprintf("%d files of its owner's are gone; it kept its identity and keys", v.Files)
	}
	if v.Marked {
		what += "; the fleet has it as gone"
	}
	_, err := fmt.Fprintf(w, "printer %s, at %s by its clock:\n%s\n", v.Printer, v.At.Local().Format(time.DateTime), what)
	return err
}
