package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"platen/agent/cli"
	"platen/agent/intake"
	"platen/slicer/pack"
	"platen/slicer/secure"
	"platen/slicer/vault"
)

// recipientView is what platen recipient prints.
type recipientView struct {
	Recipient string `json:"recipient"` // for age
	Hybrid    string `json:"hybrid_recipient"`
	Consumer  string `json:"consumer_id"` // for 3MF
	Key       string `json:"key_value,omitempty"`
}

func recipientCmd() *cobra.Command {
	var tmf, pq bool
	c := &cobra.Command{
		Use:   "recipient",
		Short: "Print what to seal models to",
		Long: `Print what to seal models to: the recipient for age, age1tag1…; with --pq the hybrid one, age1tagpq1…, which
stays closed to quantum computers as well (stock age 1.3 and later).

With --3mf it is the public key for encrypted 3MF packages (Secure Content 1.0.3), in PEM, for keyvalue; the
printer's id, which platen status prints, is its consumerid. A TPM takes some seconds to derive that key.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			st, err := statusOf(c.Context())
			if err != nil {
				return err
			}
			if pq && st.Hybrid == "" {
				return fmt.Errorf("the hybrid recipient cannot be told: %s", st.Sealed)
			}
			v := recipientView{Recipient: st.Recipient, Hybrid: st.Hybrid, Consumer: st.Printer}
			if tmf {
				if v.Key, err = contentKey(c.Context()); err != nil {
					return err
				}
			}
			return cli.Print(c, v, func(w io.Writer) error {
				text := v.Recipient + "\n"
				switch {
				case tmf:
					text = v.Key
				case pq:
					text = v.Hybrid + "\n"
				}
				_, err := io.WriteString(w, text)
				return err
			})
		},
	}
	c.Flags().BoolVar(&pq, "pq", false, "the hybrid recipient, P-256 and ML-KEM-768")
	c.Flags().BoolVar(&tmf, "3mf", false, "the key for encrypted 3MF packages")
	return c
}

func statusOf(ctx context.Context) (*intake.Status, error) {
	var st *intake.Status
	_, err := ask(ctx, intake.Request{Op: intake.OpStatus}, nil, func(r intake.Reply) { st = r.Status })
	if err == nil && st == nil {
		err = errors.New("the agent said nothing of its status")
	}
	return st, err
}

// contentKey is the PEM of the printer's key for encrypted packages.
func contentKey(ctx context.Context) (text string, err error) {
	_, err = ask(ctx, intake.Request{Op: intake.OpContentKey}, nil, func(r intake.Reply) { text = r.Text })
	return text, err
}

// keystoreMemory is the scratch memory for the directory and the keystore of a package.
const keystoreMemory = 4 << 20

// wrappedKeys returns the wrapped content keys that a 3MF package has for the printer,
// and none for a file without a keystore. It is the owner's own process that looks at
// the owner's file: the agent does not. What is no sound package is for the session to
// refuse.
func wrappedKeys(ctx context.Context, f *os.File) ([]intake.Wrapped, error) {
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() < 4 || st.Size() > 1<<31-1 {
		return nil, err
	}
	var head [4]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:]) != "PK\x03\x04" {
		return nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("reading the package: %w", err)
	}
	defer unix.Munmap(data)
	v, err := vault.NewPageable(keystoreMemory)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	s, err := keystoreOf(v, data)
	if s == nil || err != nil {
		return nil, err
	}
	return ownKeys(ctx, s)
}

// keystoreOf is the keystore of a package, nil if it has none.
func keystoreOf(v *vault.Vault, data []byte) (*secure.Store, error) {
	a, err := pack.Open(v, data)
	if err != nil {
		return nil, nil
	}
	in, err := pack.NewReader(v)
	if err != nil {
		return nil, err
	}
	at, err := secure.Locate(v, a, in)
	if at < 0 || err != nil {
		return nil, nil
	}
	return secure.Read(v, a, in, at)
}

// ownKeys picks those that are for the printer.
func ownKeys(ctx context.Context, s *secure.Store) ([]intake.Wrapped, error) {
	st, err := statusOf(ctx)
	if err != nil {
		return nil, err
	}
	text, err := contentKey(ctx)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the agent sent no public key")
	}
	var list []intake.Wrapped
	for _, w := range s.For(st.Printer, block.Bytes) {
		list = append(list, intake.Wrapped{Group: w.Group, Digest: hashName(w.Digest), Mask: hashName(w.Mask), Key: w.Key})
	}
	if list == nil && s.Groups() > 0 {
		return nil, errors.New("the package is encrypted, and not for this printer: encrypt it to the key that platen recipient --3mf prints")
	}
	return list, nil
}

func hashName(h secure.Hash) string {
	if h == secure.SHA256 {
		return "sha256"
	}
	return "sha1"
}
