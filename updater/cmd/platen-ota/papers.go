package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/updater"
	"platen/updater/paper"
	"platen/updater/publish"
	"platen/updater/trust"
)

func sbomCmd() *cobra.Command {
	var version string
	c := &cobra.Command{
		Use:   "sbom BINARY",
		Short: "Print what a Go program is made of (CycloneDX 1.5)",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := paper.Open(args[0])
			if err != nil {
				return err
			}
			text, err := b.SBOM(version)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringVar(&version, "version", "", "version that people read")
	return c
}

func provenanceCmd() *cobra.Command {
	var src paper.Source
	var key, passphrase string
	c := &cobra.Command{
		Use:   "provenance BINARY --commit HEX [--key FILE]",
		Short: "Print how a Go program was built (SLSA v1), in a signed envelope",
		Long: `Provenance prints an in-toto statement about a program: its digest, the settings it was
built with, the commit and the modules it is made of. With --key it is signed, in a DSSE
envelope; an Ed25519 key signs the same statement alike each time.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if src.Commit == "" {
				return cli.Usage("name the commit with --commit")
			}
			b, err := paper.Open(args[0])
			if err != nil {
				return err
			}
			text, err := b.Statement(src)
			if err == nil && key != "" {
				text, err = envelope(text, key, passphrase)
			}
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&src.Commit, "commit", "", "commit it was built from")
	f.StringVar(&src.URI, "source", "", "URI of the repository")
	f.StringVar(&src.Builder, "builder", "", "URI of who built it")
	f.StringVar(&key, "key", "", "private key that signs, see platen-ota key")
	f.StringVar(&passphrase, "passphrase", "", "file with its passphrase (default: asked for)")
	return c
}

func envelope(statement []byte, key, passphrase string) ([]byte, error) {
	s, err := publish.OpenKey(key, phrase(passphrase))
	if err != nil {
		return nil, err
	}
	id, err := publish.KeyID(s.Public())
	if err != nil {
		return nil, err
	}
	return paper.Envelope(statement, id, s.Sign)
}

func verifyCmd() *cobra.Command {
	var rootFile, kind string
	cfg := trust.Config{}
	c := &cobra.Command{
		Use:   "verify URL|DIR|FILE.tuf --root FILE --board ID",
		Short: "Check a repository, a mirror or a bundle as a printer would",
		Long: `Verify is a printer that has just been made, with the factory root in --root: it walks
to the newest root, verifies all metadata, picks the release for the board, and reads all
of it, with what is installed along with it. It says which release that printer would install.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if rootFile == "" || cfg.Board == "" {
				return cli.Usage("verify needs --root and --board")
			}
			var err error
			if cfg.FactoryRoot, err = os.ReadFile(rootFile); err != nil {
				return err
			}
			if cfg.Dir, err = os.MkdirTemp("", "platen-verify-"); err != nil {
				return err
			}
			return errors.Join(verify(c, cfg, args[0], kind), os.RemoveAll(cfg.Dir))
		},
	}
	f := c.Flags()
	f.StringVar(&rootFile, "root", "", "factory root: the first root of the repository")
	f.StringVar(&cfg.Board, "board", "", "board of the printer")
	f.StringVar(&cfg.Printer, "printer", "", "name of the printer, for rollouts by share")
	f.StringVar(&cfg.Ring, "ring", "", "its ring")
	f.StringVar(&kind, "name", publish.Agent, "what is looked for")
	return c
}

func verify(c *cobra.Command, cfg trust.Config, from, kind string) error {
	ctx := c.Context()
	cfg.URL = from
	client, err := trust.New(cfg)
	if err != nil {
		return err
	}
	if strings.HasSuffix(from, ".tuf") {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		b, err := trust.OpenBundle(f, st.Size())
		if err != nil {
			return err
		}
		client.Use(b)
	}
	return verifyWith(ctx, c, client, cfg.Board, kind)
}

func verifyWith(ctx context.Context, c *cobra.Command, client *trust.Client, board, kind string) error {
	if err := client.Refresh(ctx); err != nil {
		return err
	}
	t, err := client.Find(board, kind)
	if err != nil {
		return err
	}
	for _, file := range append([]updater.Target{t}, t.Set...) {
		if err := client.Download(ctx, file, io.Discard); err != nil {
			return err
		}
	}
	found := struct {
		Release uint64 `json:"release"`
		Path    string `json:"path"`
		Size    int64  `json:"size"`
		SHA256  string `json:"sha256"`
		Deltas  int    `json:"deltas"`
	}{t.Release, t.Path, t.Size, fmt.Sprintf("%x", t.SHA256), len(t.Deltas)}
	return cli.Print(c, found, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "release %d of %s for %s: %d bytes, sha256 %s, %d deltas\n", t.Release, kind, board, t.Size, found.SHA256, found.Deltas)
		return err
	})
}
