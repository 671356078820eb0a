package attest_test

import (
	"bytes"
	"errors"
	"testing"

	"platen/agent/attest"
	"platen/agent/audit"
	"platen/cross/rig/rigtest"
	"platen/updater/updatertest"
)

func TestSeal(t *testing.T) {
	s := rigtest.Swtpm(t)
	tpm := open(t, s, "")
	secret := []byte("thirty-two bytes of a secret....")
	blob, err := tpm.Seal(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(blob, secret) {
		t.Error("the blob holds the secret in clear")
	}
	closeTPM(t, tpm)
	tpm = open(t, s, "") // after a restart
	if got, err := tpm.Unseal(t.Context(), blob); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("unsealed %q, %v", got, err)
	}
	changed := bytes.Clone(blob)
	changed[len(changed)-1] ^= 1
	for name, b := range map[string][]byte{"changed": changed, "cut": blob[:len(blob)-3], "nothing": nil, "noise": []byte("noise"), "longer": make([]byte, 4096)} {
		if got, err := tpm.Unseal(t.Context(), b); !errors.Is(err, attest.ErrSeal) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := open(t, rigtest.Swtpm(t), "").Unseal(t.Context(), blob); !errors.Is(err, attest.ErrSeal) {
		t.Errorf("another TPM: %v", err)
	}
	if _, err := tpm.Seal(t.Context(), make([]byte, attest.MaxSeal+1)); err == nil {
		t.Error("sealed more than there is room for")
	}
}

// The secret does not cross the wires in clear, in either direction.
func TestSealIsSecretOnTheWire(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), "")
	secret := []byte("thirty-two bytes of a secret....")
	var blob []byte
	heard, err := attest.Listen(t.Context(), tpm, func() {
		var err error
		if blob, err = tpm.Seal(t.Context(), secret); err == nil {
			_, err = tpm.Unseal(t.Context(), blob)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil || len(heard) == 0 || !bytes.Contains(heard, blob[len(blob)-32:]) {
		t.Fatalf("control: heard %d bytes, %v", len(heard), err)
	}
	if bytes.Contains(heard, secret[:16]) || bytes.Contains(heard, secret[16:]) {
		t.Error("the secret crosses the wires in clear")
	}
}

// The audit log's heads are quotes of a TPM, and checked without its library.
func TestAuditLogOfATPM(t *testing.T) {
	s := rigtest.Swtpm(t)
	tpm := open(t, s, "")
	d := updatertest.NewDisk()
	l, err := audit.Open(t.Context(), d, tpm, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(audit.Entry{Event: audit.Update, Serial: 7}); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := l.Export(t.Context(), &text, ""); err != nil {
		t.Fatal(err)
	}
	rep, err := audit.Verify(bytes.NewReader(text.Bytes()), tpm.ID(), nil)
	if err != nil || rep.Last.N != 3 {
		t.Errorf("%+v, %v", rep, err)
	}
	// Put back to what it was before: the TPM has counted.
	old, _ := d.Contents("log-0")
	if err := appendAndExport(t, l); err != nil {
		t.Fatal(err)
	}
	closeTPM(t, tpm)
	tpm = open(t, s, "")
	if l, err := audit.Open(t.Context(), d, tpm, nil); err != nil || l.Damage() != nil {
		t.Errorf("control: %v, %v", err, l.Damage())
	}
	d.Damage("log-0", old)
	if l, err := audit.Open(t.Context(), d, tpm, nil); err != nil || l.Damage() == nil || l.Damage().Kind != "rolled-back" {
		t.Errorf("an old log: %v, %v", err, l.Damage())
	}
}

func appendAndExport(t *testing.T, l *audit.Log) error {
	if _, err := l.Append(audit.Entry{Event: audit.Update, Serial: 8}); err != nil {
		return err
	}
	return l.Export(t.Context(), &bytes.Buffer{}, "")
}
