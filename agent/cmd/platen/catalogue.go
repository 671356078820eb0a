package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/catalog"
	"platen/agent/cli"
	"platen/agent/consent"
)

func catalogueCmd() *cobra.Command {
	var sign, verify, key string
	c := &cobra.Command{
		Use: "catalogue", Short: "Print everything that may ever leave the printer", Args: cobra.NoArgs,
		Long: `Print the list of everything that this release can send to anyone: nothing else can be encoded, and nothing
is sent without a grant of the owner. With --sign, the list is written as a signed envelope (DSSE), which
whoever publishes a release can publish beside it; --verify says whether an envelope is this release's list.`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case sign != "" && (verify != "" || key != ""), (verify == "") != (key == ""):
				return cli.Usage("either --sign KEY, or --verify FILE with --key PUBLIC_KEY")
			case sign != "":
				return signCatalogue(c, sign)
			case verify != "":
				return verifyCatalogue(c, verify, key)
			}
			return cli.Print(c, catalog.Published(), func(w io.Writer) error {
				_, err := io.WriteString(w, catalog.Table())
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&sign, "sign", "", "private key to sign the list with, as platen consent keygen makes one")
	f.StringVar(&verify, "verify", "", "signed list to check")
	f.StringVar(&key, "key", "", "public key that must have signed it")
	return c
}

func signCatalogue(c *cobra.Command, file string) error {
	key, err := consent.LoadKey(file)
	if err != nil {
		return err
	}
	env, err := consent.SignCatalogue(key)
	if err != nil {
		return err
	}
	_, err = c.OutOrStdout().Write(env)
	return err
}

func verifyCatalogue(c *cobra.Command, file, key string) error {
	pub, err := consent.LoadPub(key)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the signed catalogue: %w", err)
	}
	if err := consent.OpenCatalogue(b, pub); err != nil {
		return fmt.Errorf("checking %s: %w", file, err)
	}
	return cli.Print(c, printEvent{"verified", file}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s is this release's catalogue, signed by that key\n", file)
		return err
	})
}
