package fleet

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/consent"
	"platen/agent/fleet/store"
	"platen/agent/uplink"
	"platen/cross/rig/rigtest"
)

// TestRevokedPrinter: a printer that is taken out while it is connected loses its
// connection, is not let in again, and gets no certificate; taken back, it is let in.
func TestRevokedPrinter(t *testing.T) {
	tpm := rigtest.Swtpm(t)
	p := newPrinter(t, tpm)
	dir := t.TempDir()
	l, ready, _ := up(t, Config{Dir: dir, EKCAs: tpm.CAs, Agents: map[[32]byte]uint64{agentDigest: 1}})
	code, _, err := store.NewClaim(dir, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, code); err != nil {
		t.Fatal(err)
	}
	link, err := p.dial(consent.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if _, err := link.Nonce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := link.Publish(t.Context(), []byte("frame")); err != nil { // the control: it is connected
		t.Fatal(err)
	}
	l.wait(t, store.Refused, func(e store.Event) bool { return e.Reason == "bad_encoding" })

	if err := store.Leave(dir, p.tpm.ID(), store.Departure{At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	e := l.wait(t, store.Leaves, any1)
	if e.Printer != p.tpm.ID().String() || e.Reason != "revoked" {
		t.Errorf("event %+v", e)
	}
	for listed(t, dir) != 1 { // for a broker of the operator's own
		if t.Context().Err() != nil {
			t.Fatal("its certificate is not listed as revoked")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for link.Publish(t.Context(), []byte("frame")) == nil { // until it has seen that the connection is gone
		if t.Context().Err() != nil {
			t.Fatal("it is connected still")
		}
	}
	// Of what it sent in between nothing was even looked at.
	if list := l.all(store.Refused); len(list) == 0 {
		t.Error("no event of the first frame")
	} else {
		for _, e := range list[1:] {
			if e.Reason != "revoked" {
				t.Errorf("refused because %s", e.Reason)
			}
		}
	}
	if err := p.enrol(t, ready, ""); refusal(err) != "revoked" {
		t.Errorf("a new certificate: %v", err)
	}
	if code, _, err = store.NewClaim(dir, time.Hour, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, code); refusal(err) != "revoked" {
		t.Errorf("a new certificate by a new code: %v", err)
	}
	if err := store.Readmit(dir, p.tpm.ID()); err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, ""); err != nil { // the control
		t.Errorf("taken back: %v", err)
	}
	if _, err := link.Nonce(t.Context()); err != nil {
		t.Errorf("taken back: %v", err)
	}
}

// listed is how many certificates the fleet in dir lists as revoked.
func listed(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(CADir(dir), "crl.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return len(list.RevokedCertificateEntries)
}

// refusal is the reason of a refused enrolment.
func refusal(err error) string {
	r, ok := errors.AsType[*uplink.RefusedError](err)
	if !ok {
		return ""
	}
	return r.Reason
}
