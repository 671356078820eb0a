package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/uplink"
	"platen/agent/uplink/acme"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// authority writes a root and an issuer below it into dir, as an operator's own authority has them.
func authority(t *testing.T, dir string) rig.StepCAConfig {
	t.Helper()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	make := func(n int64, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "Authority", SerialNumber: big.NewInt(n).String()}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
		if parent == nil {
			parent, by = tmpl, key
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	root, rootKey := make(1, nil, nil)
	issuer, key := make(2, root, rootKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return rig.StepCAConfig{Root: write("root.pem", "CERTIFICATE", root.Raw), Cert: write("issuer.pem", "CERTIFICATE", issuer.Raw), Key: write("issuer.key", "PRIVATE KEY", der)}
}

// TestStepCA: a printer gets a certificate from a real step-ca by what its TPM states, the
// fleet's broker takes it, and what is not as the TPM states it gets none.
func TestStepCA(t *testing.T) {
	if _, err := rig.Find("step-ca"); err != nil {
		t.Skip("step-ca is not here: make prove-acme builds it")
	}
	tpm := rigtest.Swtpm(t)
	p := newPrinter(t, tpm)
	caDir, dir := t.TempDir(), t.TempDir()
	cfg := authority(t, caDir)
	_, ready, _ := up(t, Config{Dir: dir, EKCAs: tpm.CAs, Agents: map[[32]byte]uint64{agentDigest: 1}, ClientCAs: []string{cfg.Root}})
	cfg.Attestation = ready.CA
	step, err := rig.StartStepCA(t.Context(), caDir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(step.Stop)
	code, _, err := store.NewClaim(dir, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, code); err != nil {
		t.Fatal(err)
	}
	pool := roots(t, ready.CA)
	root, err := os.ReadFile(cfg.Root)
	if err != nil || !pool.AppendCertsFromPEM(root) {
		t.Fatal(err)
	}
	client, err := p.tpm.Client(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	order := func(tpm uplink.Attester) (evidence.EnrolResult, error) {
		return uplink.ACME(t.Context(), ready.HTTPS, pool, step.Directory, tpm, client.Key().Public(), p.result)
	}
	res, err := order(client)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(res.Certs[0])
	if err != nil || leaf.Subject.CommonName != p.tpm.ID().String() || leaf.Issuer.SerialNumber != "2" {
		t.Fatalf("certificate of %v by %v: %v", leaf.Subject, leaf.Issuer, err)
	}
	// The broker knows the printer by it.
	p.result = res
	link, err := p.dial(consent.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := link.Nonce(t.Context()); err != nil {
		t.Error(err)
	}
	if err := link.Close(); err != nil {
		t.Error(err)
	}
	// A statement over something else, and a request for a key in no TPM.
	problem := &acme.Problem{}
	if _, err := order(liar{client, nil}); !errors.As(err, &problem) {
		t.Errorf("a statement over another digest: %v", err)
	}
	soft, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: p.tpm.ID().String()}}, soft)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := order(liar{client, csr}); !errors.As(err, &problem) {
		t.Errorf("a key in no TPM: %v", err)
	}
}

// liar is a printer whose TPM states something over another digest, or whose request is
// for another key.
type liar struct {
	uplink.Attester
	csr []byte
}

func (l liar) Attest(ctx context.Context, digest [32]byte) (evidence.Certified, error) {
	if l.csr == nil {
		digest[0] ^= 1
	}
	return l.Attester.Attest(ctx, digest)
}

func (l liar) CSR() ([]byte, error) {
	if l.csr != nil {
		return l.csr, nil
	}
	return l.Attester.CSR()
}
