package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/agent/consent"
	"platen/agent/evidence"
)

// fileDigest is what a recipient is told of one file.
type fileDigest struct {
	File   string `json:"file"`
	Digest int64  `json:"job_digest"`
}

func digestCmd() *cobra.Command {
	var key, recipient string
	var serial uint64
	c := &cobra.Command{
		Use: "digest FILE ...", Short: "Say what a recipient is told of files, as the item job.digest", Args: cobra.MinimumNArgs(1),
		Long: `Computes the item job.digest of files, anywhere, with the key that "platen consent keygen --digest" has made and
digest_key in the printer's configuration names. Of a sealed job it is that of the sealed file. Recipient and serial are
those of the grant: each has numbers of its own, so that two cannot compare them.`,
		RunE: func(c *cobra.Command, args []string) error {
			k, err := consent.LoadDigestKey(key)
			if err != nil {
				return err
			}
			r, err := evidence.ParseRecipientID(recipient)
			if err != nil {
				return cli.Usage("--recipient: %v", err)
			}
			var out []fileDigest
			for _, name := range args {
				f, err := os.Open(name)
				if err != nil {
					return err
				}
				sum, err := digest(f)
				f.Close()
				if err != nil {
					return err
				}
				out = append(out, fileDigest{name, k.Of(r, serial, [32]byte(sum))})
			}
			return cli.Print(c, out, func(w io.Writer) error {
				for _, d := range out {
					if _, err := fmt.Fprintf(w, "%d  %s\n", d.Digest, d.File); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "the key for digests")
	f.StringVar(&recipient, "recipient", "", "id of the recipient")
	f.Uint64Var(&serial, "serial", 0, "serial of its grant")
	for _, name := range []string{"key", "recipient", "serial"} {
		c.MarkFlagRequired(name)
	}
	return c
}
