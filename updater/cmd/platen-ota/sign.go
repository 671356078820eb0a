package main

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"platen/agent/cli"
	"platen/updater/keyfile"
	"platen/updater/publish"
)

func keyCmd() *cobra.Command {
	var algorithm, passphrase string
	c := &cobra.Command{
		Use:   "key FILE",
		Short: "Make a signer's key: FILE, and FILE.pub for init and rotate",
		Long: `Key makes one key on the machine of whoever signs with it. With a passphrase FILE is
encrypted by age, and "age -d" opens it as well. Nobody needs the key but its holder:
FILE.pub is what goes to the repository.

Keys on tokens and in TPMs are made with their own tools, and are used through an
ssh-agent: see pub, and then sign.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var word string
			if passphrase != "" {
				var err error
				if word, err = phrase(passphrase)(); err != nil {
					return err
				}
			}
			s, err := publish.NewKey(args[0], publish.Algorithm(algorithm), word)
			if err != nil {
				return err
			}
			return printKey(c, s.Public(), args[0]+".pub")
		},
	}
	c.Flags().StringVar(&algorithm, "type", string(publish.Ed25519), "ed25519 or p256")
	c.Flags().StringVar(&passphrase, "passphrase", "", "file with the passphrase that the key is encrypted with; - asks for it")
	return c
}

func pubCmd() *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "pub DIR",
		Short: "Write the public keys of an ssh-agent, which tokens and TPMs sign through",
		Long: `Pub writes a file DIR/ID.pub for each key of the ssh-agent that can sign here, for init,
delegate and rotate. Later sign --ssh-agent signs with it. Keys come into the agent from
wherever it takes them, and there they stay:

    ssh-add -s /usr/lib/x86_64-linux-gnu/opensc-pkcs11.so      a smart card or an HSM (PKCS #11)
    ssh-add -s /usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1   a TPM (Debian's libtpm2-pkcs11-1)

They have to be on P-256 or Ed25519.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			keys, err := publish.AgentKeys(socket)
			if err != nil {
				return err
			}
			if len(keys) == 0 {
				return errors.New("the ssh-agent has no key on P-256 or Ed25519")
			}
			for _, k := range keys {
				id, err := publish.KeyID(k.Public())
				if err != nil {
					return err
				}
				file := filepath.Join(args[0], id[:16]+".pub")
				if err := keyfile.SavePublic(file, k.Public()); err != nil {
					return err
				}
				if err := printKey(c, k.Public(), file); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&socket, "ssh-socket", "", "socket of the ssh-agent (default $SSH_AUTH_SOCK)")
	return c
}

func idCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "id PUB",
		Short: "Print the id that metadata has for a public key",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := publish.OpenPub(args[0])
			if err != nil {
				return err
			}
			id, err := publish.KeyID(k)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), id)
			return err
		},
	}
}

func printKey(c *cobra.Command, public crypto.PublicKey, file string) error {
	id, err := publish.KeyID(public)
	if err != nil {
		return err
	}
	made := struct {
		ID   string `json:"id"`
		File string `json:"public_key"`
	}{id, file}
	return cli.Print(c, made, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "key %s, public key in %s\n", id, file)
		return err
	})
}

// phrase asks for a passphrase: from a file, or at the terminal.
func phrase(file string) func() (string, error) {
	return func() (string, error) {
		if file != "" && file != "-" {
			text, err := os.ReadFile(file)
			return strings.TrimRight(string(text), "\r\n"), err
		}
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			return "", errors.New("the key needs a passphrase: name a file with --passphrase, or run this at a terminal")
		}
		fmt.Fprint(os.Stderr, "passphrase: ")
		word, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		return string(word), err
	}
}

func signCmd() *cobra.Command {
	var keys []string
	var passphrase, socket string
	var agent bool
	c := &cobra.Command{
		Use:   "sign DRAFT --key FILE | sign DRAFT --ssh-agent",
		Short: "Sign a draft, where the key is and nothing else",
		Long: `Sign adds a signer's signatures to a draft that another command made with --draft. It
needs no repository and no network, and says first what it is that is signed: look at it.

With --ssh-agent every key of the agent that the draft asks for signs. Tokens come into
an agent with "ssh-add -s MODULE" (PKCS #11), keys of a TPM with an agent for them.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(keys) == 0 && !agent {
				return cli.Usage("name the key with --key, or use --ssh-agent")
			}
			d, err := publish.LoadDraft(args[0])
			if err != nil {
				return exit(err)
			}
			if err := explain(c.ErrOrStderr(), d); err != nil {
				return err
			}
			signers, err := signersOf(keys, passphrase, agent, socket)
			if err != nil {
				return err
			}
			if err := signBy(d, signers); err != nil {
				return err
			}
			if err := d.Save(args[0]); err != nil {
				return err
			}
			return printMissing(c, d)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&keys, "key", nil, "private key that signs")
	f.StringVar(&passphrase, "passphrase", "", "file with the passphrase of the key (default: asked for)")
	f.BoolVar(&agent, "ssh-agent", false, "sign with keys of the ssh-agent")
	f.StringVar(&socket, "ssh-socket", "", "its socket (default $SSH_AUTH_SOCK)")
	return c
}

func signersOf(files []string, passphrase string, agent bool, socket string) ([]publish.Signer, error) {
	var list []publish.Signer
	for _, file := range files {
		s, err := publish.OpenKey(file, phrase(passphrase))
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	if agent {
		more, err := publish.AgentKeys(socket)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// signBy signs with every key that the draft asks for; at least one has to be among them.
func signBy(d *publish.Draft, signers []publish.Signer) error {
	used := false
	var last error = fmt.Errorf("%w: there is none", publish.ErrKeys)
	for _, s := range signers {
		_, err := d.Sign(s)
		if errors.Is(err, publish.ErrKeys) {
			last = err
			continue
		}
		if err != nil {
			return err
		}
		used = true
	}
	if !used {
		return last
	}
	return nil
}

// explain says what is in a draft.
func explain(w io.Writer, d *publish.Draft) error {
	lines, err := d.Explain()
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	return nil
}

func printMissing(c *cobra.Command, d *publish.Draft) error {
	missing, err := d.Missing()
	if err != nil {
		return err
	}
	return cli.Print(c, missing, func(w io.Writer) error {
		for _, file := range slices.Sorted(maps.Keys(missing)) {
			text := "signed by enough keys: submit it"
			if n := missing[file]; n > 0 {
				text = fmt.Sprintf("%d more signatures needed", n)
			}
			if _, err := fmt.Fprintf(w, "%-18s %s\n", file, text); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *options) submitCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "submit DIR DRAFT [COPY...]",
		Short: "Bring a signed draft into the repository, and publish",
		Long: `Submit verifies a draft as printers will, puts the signatures of several copies
together, and publishes. What is not signed by enough keys changes nothing.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := publish.LoadDraft(args[1])
			if err != nil {
				return exit(err)
			}
			for _, file := range args[2:] {
				other, err := publish.LoadDraft(file)
				if err == nil {
					err = d.Merge(other)
				}
				if err != nil {
					return exit(err)
				}
			}
			v, err := publish.Submit(args[0], o.online, d, time.Now())
			if err != nil {
				return exit(err)
			}
			return printVersions(c, v)
		},
	}
}

// ceremony begins a repository of keys that their holders made.
func (o *options) ceremony(c *cobra.Command, dir string, root, targets []string, p publish.Policy) error {
	if len(root) == 0 || len(targets) == 0 || o.draft == "" {
		return cli.Usage("a ceremony needs --root-key and --targets-key, and --draft for what is to be signed")
	}
	rootKeys, err1 := publicKeys(root)
	targetsKeys, err2 := publicKeys(targets)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	d, err := publish.Ceremony(dir, o.online, rootKeys, targetsKeys, p, time.Now())
	if err != nil {
		return exit(err)
	}
	if err := d.Save(o.draft); err != nil {
		return err
	}
	return printMissing(c, d)
}

func publicKeys(files []string) ([]crypto.PublicKey, error) {
	var list []crypto.PublicKey
	for _, file := range files {
		k, err := publish.OpenPub(file)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}
