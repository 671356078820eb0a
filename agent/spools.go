package agent

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"platen/agent/attest"
	"platen/agent/consent"
	"platen/agent/spool"
	"platen/updater/slot"
)

// sealTime bounds the TPM's part in opening a spool.
const sealTime = 10 * time.Second

// memoryMessages bounds the messages of a recipient that wait in memory.
const memoryMessages = 4096

// spoolFor opens the spool of a grant. While the disk or the TPM is of no use messages
// wait in memory.
func (a *Agent) spoolFor(g consent.Grant) (*spool.Spool, error) {
	s, err := openSpool(a.spoolDir(), spoolSealer{a.tpm}, g, a.log)
	if err != nil {
		a.log.Error("messages wait in memory only, and are lost with the power", "recipient", g.Recipient.String(), "error", err)
		return spool.InMemory(memoryMessages), nil
	}
	return s, nil
}

func (a *Agent) spoolDir() string { return filepath.Join(a.cfg.State, "spool") }

// spoolName names the spool of a grant, and no other grant's: what waited under one is
// not sent under the next.
func spoolName(g consent.Grant) string { return fmt.Sprintf("%s-%d", g.Recipient, g.Serial) }

// openSpool opens the spool of a grant below dir. Those of the recipient's earlier grants
// go first.
func openSpool(dir string, sealer spool.Sealer, g consent.Grant, log *slog.Logger) (*spool.Spool, error) {
	name := spoolName(g)
	err := wipeSpools(dir, func(other string) bool {
		return other == name || !strings.HasPrefix(other, g.Recipient.String())
	})
	if err != nil {
		return nil, err
	}
	folder, err := slot.OpenDir(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sealTime)
	defer cancel()
	s, err := spool.Open(ctx, folder, sealer, name, log)
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return s, nil
}

// wipeRevoked removes the spools of grants that are not in force any more, which nothing
// has emptied if they ended while the agent did not run.
func (a *Agent) wipeRevoked() {
	inForce := map[string]bool{}
	if a.consent != nil {
		for _, g := range a.consent.Grants(time.Now()) {
			inForce[spoolName(g)] = true
		}
	}
	if err := wipeSpools(a.spoolDir(), func(name string) bool { return inForce[name] }); err != nil {
		a.log.Error("what waited under a grant that has ended is still on the disk", "error", err)
	}
}

// wipeSpools overwrites and removes the spools below dir but those to keep.
func wipeSpools(dir string, keep func(name string) bool) error {
	_, err := shred(dir, keep)
	return err
}

// spoolSealer seals the keys of spools with the TPM. What it seals is encrypted under the
// printer's identity before: where that was forgotten the TPM alone opens no key.
type spoolSealer struct{ tpm identity }

// identity is what a sealer needs; attest.TPM is one.
type identity interface {
	spool.Sealer
	Secret(purpose string) ([32]byte, error)
}

func (s spoolSealer) aead() (cipher.AEAD, error) {
	key, err := s.tpm.Secret("spool")
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (s spoolSealer) Seal(ctx context.Context, secret []byte) ([]byte, error) {
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	return s.tpm.Seal(ctx, aead.Seal(nil, nil, secret, nil))
}

func (s spoolSealer) Unseal(ctx context.Context, blob []byte) ([]byte, error) {
	sealed, err := s.tpm.Unseal(ctx, blob)
	if errors.Is(err, attest.ErrSeal) {
		return nil, fmt.Errorf("%w: %w", spool.ErrKey, err)
	}
	if err != nil {
		return nil, err
	}
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it is of another identity of the printer", spool.ErrKey)
	}
	return secret, nil
}
