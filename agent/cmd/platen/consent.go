package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/catalog"
	"platen/agent/cli"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/intake"
)

func enrolCmd() *cobra.Command {
	var to, acme string
	c := &cobra.Command{
		Use:   "enrol [CLAIM] [--acme URL]",
		Short: "Join the fleet of the configuration with a claim code",
		Long: `Prove to the fleet which TPM this printer has and which release runs on it, and take the certificate for
its connection. Nothing else is sent: that needs a grant (platen consent).

With --acme another authority makes that certificate, now and whenever it is renewed: one that speaks ACME and
its challenge device-attest-01, such as step-ca, and trusts the fleet's CA for what TPMs state. URL is that of its
directory; its root goes into the file that ca in the configuration names, behind the fleet's. A printer that is
enrolled already needs no claim code.`,
		Args: func(c *cobra.Command, args []string) error {
			if acme == "" {
				return cobra.ExactArgs(1)(c, args)
			}
			return cobra.MaximumNArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			claim := ""
			if len(args) > 0 {
				claim = args[0]
			}
			var got intake.Reply
			r, err := ask(c.Context(), intake.Request{Op: intake.OpEnrol, Claim: claim, To: to, ACME: acme}, nil, func(r intake.Reply) { got = r })
			if err != nil {
				return refused(c, r, err)
			}
			return cli.Print(c, printEvent{got.Event, got.Text}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "enrolled; the fleet's recipient id is %s\n", got.Text)
				return err
			})
		},
	}
	c.Flags().StringVar(&acme, "acme", "", "URL of the directory of an ACME server that is to make the certificate")
	c.Flags().StringVar(&to, "to", "", "name of a [[recipient]] of the configuration, instead of [fleet]")
	return c
}

func consentCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "consent",
		Short: "Say who may be sent which machine data",
		Long: `Nothing leaves the printer before its owner has signed a grant. A grant names one recipient, one profile,
the items and an end. The text that is shown is, byte for byte, the text that is signed.`,
	}
	c.AddCommand(keygenCmd(), requestCmd(), signCmd(), grantCmd(), revokeCmd(), digestCmd())
	return c
}

func keygenCmd() *cobra.Command {
	var digests bool
	c := &cobra.Command{
		Use: "keygen FILE", Short: "Make an owner's key: FILE, and FILE.pub for the printer", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if digests {
				if err := consent.GenerateDigestKey(args[0]); err != nil {
					return err
				}
				return cli.Print(c, printEvent{Event: "key"}, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s made; the printer needs it too, and nobody else\n", args[0])
					return err
				})
			}
			pub, err := consent.GenerateKey(args[0])
			if err != nil {
				return err
			}
			return cli.Print(c, printEvent{"key", consent.KeyID(pub)}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s and %s.pub made; keep the first one away from the printer\n", args[0], args[0])
				return err
			})
		},
	}
	c.Flags().BoolVar(&digests, "digest", false, "make the key for the item job.digest in its place: one file, for digest_key in the configuration")
	return c
}

// terms are the flags that describe a grant.
type terms struct {
	recipient, name, profile, printer string
	period, life                      time.Duration
	only, with                        []string
}

func (t *terms) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&t.recipient, "recipient", "", "id of the recipient, as platen enrol prints it")
	f.StringVar(&t.name, "name", "", "name of the recipient, for people")
	f.StringVar(&t.profile, "profile", "vendor", "vendor, service or owner")
	f.StringVar(&t.printer, "printer", "", "id of the printer (default: the one here)")
	f.DurationVar(&t.period, "period", 0, "time between two messages (default: the profile's)")
	f.DurationVar(&t.life, "for", 0, "how long it holds (default: the profile's)")
	f.StringSliceVar(&t.only, "only", nil, "items, by name (default: what the profile has)")
	f.StringSliceVar(&t.with, "with", nil, "items besides, by name: those that are in no grant unless they are named")
	c.MarkFlagRequired("recipient")
	c.MarkFlagRequired("name")
}

// items are the numbers of the items that the flags name; nil is what the profile has.
func (t *terms) items(p catalog.Profile) ([]catalog.ID, error) {
	if len(t.only)+len(t.with) == 0 {
		return nil, nil
	}
	ids := catalog.Granted(p)
	if len(t.only) > 0 {
		ids = nil
	}
	for _, name := range slices.Concat(t.only, t.with) {
		it, ok := catalog.ByName(name)
		if !ok || it.Profiles&p == 0 {
			return nil, cli.Usage("%q is no item that may be granted under profile %s: see platen catalogue", name, p)
		}
		ids = append(ids, it.ID)
	}
	return ids, nil
}

func (t *terms) grant(c *cobra.Command) (consent.Grant, error) {
	printer := t.printer
	if printer == "" {
		if _, err := ask(c.Context(), intake.Request{Op: intake.OpStatus}, nil, func(r intake.Reply) { printer = r.Status.Printer }); err != nil {
			return consent.Grant{}, err
		}
	}
	pid, err := evidence.ParsePrinterID(printer)
	if err != nil {
		return consent.Grant{}, cli.Usage("--printer: %v", err)
	}
	rid, err := evidence.ParseRecipientID(t.recipient)
	if err != nil {
		return consent.Grant{}, cli.Usage("--recipient: %v", err)
	}
	profile, err := catalog.ParseProfile(t.profile)
	if err != nil {
		return consent.Grant{}, cli.Usage("--profile: %v", err)
	}
	items, err := t.items(profile)
	if err != nil {
		return consent.Grant{}, err
	}
	now := time.Now()
	return consent.New(consent.Terms{
		Printer: pid, Recipient: rid, Name: t.name, Profile: profile, Period: t.period, Items: items,
		From: now, Life: t.life, Serial: uint64(now.Unix()),
	})
}

func requestCmd() *cobra.Command {
	var t terms
	c := &cobra.Command{
		Use: "request", Short: "Print the text of a grant, to be read and signed", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			g, err := t.grant(c)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), g.Text())
			return err
		},
	}
	t.flags(c)
	return c
}

func signCmd() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "sign TEXT", Short: "Sign the text of a grant, anywhere; the envelope goes to standard output", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			g, err := consent.Parse(text)
			if err != nil {
				return err
			}
			env, err := signed(g, key)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(append(env, '\n'))
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "the owner's private key")
	c.MarkFlagRequired("key")
	return c
}

func signed(g consent.Grant, key string) ([]byte, error) {
	k, err := consent.LoadKey(key)
	if err != nil {
		return nil, err
	}
	return consent.Sign(g, k)
}

func grantCmd() *cobra.Command {
	var t terms
	var key, file string
	c := &cobra.Command{
		Use:   "grant",
		Short: "Put a grant in force: --signed FILE, or one made and signed here with --key",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var env []byte
			var err error
			switch {
			case file != "" && key != "" || file == "" && key == "":
				return cli.Usage("give either --signed or --key")
			case file != "":
				env, err = os.ReadFile(file)
			default:
				var g consent.Grant
				if g, err = t.grant(c); err == nil {
					env, err = signed(g, key)
				}
			}
			if err != nil {
				return err
			}
			var got intake.Reply
			r, err := ask(c.Context(), intake.Request{Op: intake.OpGrant, Envelope: env}, nil, func(r intake.Reply) { got = r })
			if err != nil {
				return refused(c, r, err)
			}
			return cli.Print(c, printEvent{got.Event, got.Text}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "in force:\n\n%s", got.Text)
				return err
			})
		},
	}
	t.flags(c)
	c.Flags().Lookup("recipient").Annotations = nil
	c.Flags().Lookup("name").Annotations = nil
	c.Flags().StringVar(&key, "key", "", "the owner's private key")
	c.Flags().StringVar(&file, "signed", "", "envelope that platen consent sign made")
	return c
}

func revokeCmd() *cobra.Command {
	return &cobra.Command{
		Use: "revoke RECIPIENT", Short: "End what a recipient may be sent, at once", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "" {
				return errors.New("no recipient given")
			}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpRevoke, Recipient: args[0]}, nil, nil)
			return refused(c, r, err)
		},
	}
}
