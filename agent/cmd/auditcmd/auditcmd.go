// Package auditcmd is the command that checks an exported audit log, at a printer or
// anywhere else. Start at [Verify].
package auditcmd

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/audit"
	"platen/agent/cli"
	"platen/agent/evidence"
)

// maxExport bounds an exported log in bytes.
const maxExport = 16 << 20

// Verify is "verify FILE": it needs no printer and no network.
func Verify() *cobra.Command {
	var printer, nonce, earlier string
	var list bool
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check an exported log with nothing but the printer's id", Args: cobra.ExactArgs(1),
		Long: `Checks that no entry of an exported log was changed, removed or inserted, and that this printer's TPM has
signed it to its end. The printer's id is the digest of the key that signs. With an earlier export of the same
printer it also checks that the log goes on where that one was.`,
		RunE: func(c *cobra.Command, args []string) error {
			id, err := evidence.ParsePrinterID(printer)
			if err != nil {
				return cli.Usage("--printer: %v", err)
			}
			var entries []audit.Entry
			rep, err := verify(args[0], id, func(e audit.Entry) error {
				if list {
					entries = append(entries, e)
				}
				return nil
			})
			if err == nil && nonce != rep.Nonce && nonce != "" {
				err = fmt.Errorf("the export was not made for this nonce: it may be an older one")
			}
			if err == nil && earlier != "" {
				err = extends(earlier, args[0], id)
			}
			if err != nil {
				return err
			}
			return cli.Print(c, result{rep, entries}, func(w io.Writer) error { return show(w, rep, entries) })
		},
	}
	c.Flags().StringVar(&printer, "printer", "", "id of the printer")
	c.Flags().StringVar(&nonce, "nonce", "", "what the export was asked to be signed with")
	c.Flags().StringVar(&earlier, "earlier", "", "an earlier export of this printer")
	c.Flags().BoolVar(&list, "list", false, "print the entries as well")
	c.MarkFlagRequired("printer")
	return c
}

// result is what -o json prints.
type result struct {
	audit.Report
	Entries []audit.Entry `json:"entries,omitempty"`
}

func verify(path string, id evidence.PrinterID, each func(audit.Entry) error) (audit.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return audit.Report{}, err
	}
	defer f.Close()
	return audit.Verify(io.LimitReader(f, maxExport), id, each)
}

func extends(earlier, later string, id evidence.PrinterID) error {
	was, err := verify(earlier, id, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", earlier, err)
	}
	b, err := os.ReadFile(later)
	if err != nil {
		return err
	}
	return audit.Extends(was, b)
}

func show(w io.Writer, rep audit.Report, entries []audit.Entry) error {
	for _, e := range entries {
		if _, err := fmt.Fprintf(w, "%6d  %s  %-12s %s\n", e.N, e.At.Format("2006-01-02 15:04:05"), e.Event, detail(e)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "entries %d to %d: nothing was changed, and printer %s has signed them, count %d, at %s\n",
		rep.First, rep.Last.N, rep.Printer, rep.Count, rep.At.Format("2006-01-02 15:04:05"))
	return err
}

func detail(e audit.Entry) string {
	s := e.Code
	for _, f := range []struct{ name, value string }{{"recipient", e.Recipient}, {"job", e.Job}, {"digest", e.Digest}} {
		if f.value != "" {
			s += " " + f.name + " " + f.value
		}
	}
	if e.Serial != 0 {
		s += fmt.Sprintf(" number %d", e.Serial)
	}
	return s
}
