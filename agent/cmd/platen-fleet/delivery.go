package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// deliveryView is what receipt job prints.
type deliveryView struct {
	Schema  int       `json:"schema"`
	Printer string    `json:"printer"`
	At      time.Time `json:"at"` // by the printer's clock
	Job     string    `json:"job"`
	Digest  string    `json:"sha256"` // of the sealed file
}

// errOtherFile reports a receipt for another file than the one at hand.
var errOtherFile = errors.New("the receipt is for another sealed file than this one: keep it")

func deliveryCmd() *cobra.Command {
	var sealed string
	c := &cobra.Command{
		Use:   "job FILE [--file SEALED]",
		Short: "Check a printer's receipt for a sealed job",
		Long: `Check the receipt that platen print -o json gives for a sealed job: the printer's TPM signed that the printer
holds all that it prints from, so that the file can be deleted where it came from. Compare the id that is printed
with that of the printer that was meant; --file compares the sealed file with the one that it is for.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readAtMost(args[0], maxReceipt)
			if err != nil {
				return err
			}
			id, d, err := verify.Delivery(text)
			if err != nil {
				return err
			}
			v := deliveryView{store.Schema, id.String(), time.Unix(int64(d.At), 0).UTC(), fmt.Sprintf("%x", d.Job), fmt.Sprintf("%x", d.Digest)}
			if sealed != "" {
				sum, err := digestFile(sealed)
				if err != nil {
					return err
				}
				if sum != v.Digest {
					return errOtherFile
				}
			}
			return cli.Print(c, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "printer %s holds all of job %s since %s by its clock:\nthe sealed file %s can be deleted\n",
					v.Printer, v.Job, v.At.Local().Format(time.DateTime), v.Digest)
				return err
			})
		},
	}
	c.Flags().StringVar(&sealed, "file", "", "the sealed file, to compare")
	return c
}

// readAtMost reads a file, or its first most bytes.
func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// digestFile is the SHA-256 of a file, in hexadecimal.
func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}
