package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/attest"
	"platen/agent/config"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/spool"
)

// chip is a TPM and an identity on it. It seals by writing its name before.
type chip struct {
	name byte
	who  byte
	err  error
}

func (c chip) Seal(_ context.Context, b []byte) ([]byte, error) {
	return append([]byte{c.name}, b...), c.err
}

func (c chip) Unseal(_ context.Context, b []byte) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	if b[0] != c.name {
		return nil, attest.ErrSeal
	}
	return b[1:], nil
}

func (c chip) Secret(string) ([32]byte, error) { return [32]byte{c.who}, nil }

// waiting puts a message into the spool of a grant, if text is not empty, and returns how many wait.
func waiting(t *testing.T, dir string, g consent.Grant, text string) int {
	t.Helper()
	s, err := openSpool(dir, spoolSealer{chip{1, 1, nil}}, g, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text != "" {
		s.Put([]byte(text), time.Now())
	}
	n, _ := s.Len()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// What waited under a grant is not there under the recipient's next one, nor on the disk;
// another recipient's is.
func TestSpoolIsOfOneGrant(t *testing.T) {
	dir := t.TempDir()
	first := consent.Grant{Recipient: evidence.RecipientID{1}, Serial: 1}
	second, other := first, consent.Grant{Recipient: evidence.RecipientID{2}, Serial: 1}
	second.Serial = 2
	if waiting(t, dir, first, "one"); waiting(t, dir, other, "other") != 1 || waiting(t, dir, first, "") != 1 {
		t.Fatal("control: it does not wait")
	}
	if n := waiting(t, dir, second, ""); n != 0 {
		t.Errorf("%d messages of the grant before", n)
	}
	if _, err := os.Stat(filepath.Join(dir, spoolName(first))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the grant before is there: %v", err)
	}
	if waiting(t, dir, other, "") != 1 {
		t.Error("another recipient's is gone")
	}
	// A folder that is put back under the name of the next grant does not open there.
	if err := os.Rename(filepath.Join(dir, spoolName(other)), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	other.Serial = 2
	if err := os.Rename(filepath.Join(dir, "moved"), filepath.Join(dir, spoolName(other))); err != nil {
		t.Fatal(err)
	}
	if n := waiting(t, dir, other, ""); n != 0 {
		t.Errorf("%d messages under another serial", n)
	}
}

// At the start nothing is left of grants that are not in force.
func TestRevokedSpoolsGo(t *testing.T) {
	a := &Agent{cfg: &config.Config{State: t.TempDir()}, log: slog.New(slog.DiscardHandler)}
	a.wipeRevoked() // none there
	g := consent.Grant{Recipient: evidence.RecipientID{1}, Serial: 1}
	if waiting(t, a.spoolDir(), g, "one") != 1 {
		t.Fatal("control")
	}
	a.wipeRevoked()
	if left, err := os.ReadDir(a.spoolDir()); err != nil || len(left) != 0 {
		t.Errorf("%d spools are left, %v", len(left), err)
	}
}

// A key is opened by the TPM and the identity together. Only what will not change is
// reported as [spool.ErrKey].
func TestSpoolKeys(t *testing.T) {
	busy := errors.New("busy")
	secret := bytes.Repeat([]byte{7}, 32)
	blob, err := spoolSealer{chip{1, 1, nil}}.Seal(t.Context(), secret)
	if err != nil || bytes.Contains(blob, secret) || len(blob) > attest.MaxSeal {
		t.Fatalf("%d bytes: %v", len(blob), err)
	}
	for name, c := range map[string]struct {
		chip chip
		want error
	}{
		"same":             {chip{1, 1, nil}, nil},
		"another TPM":      {chip{2, 1, nil}, spool.ErrKey},
		"another identity": {chip{1, 2, nil}, spool.ErrKey},
		"busy":             {chip{1, 1, busy}, busy},
	} {
		got, err := spoolSealer{c.chip}.Unseal(t.Context(), blob)
		if !errors.Is(err, c.want) || bytes.Equal(got, secret) != (c.want == nil) || c.want == busy && errors.Is(err, spool.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
