package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/evidence"
)

func TestCAStaysAndCertifies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil || string(again.DER()) != string(a.DER()) {
		t.Fatalf("another CA after opening again: %v", err)
	}
	if fi, err := os.Stat(filepath.Join(dir, keyName)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key: %v %v", fi, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := evidence.PrinterID{1}
	der, err := again.Client(&x509.CertificateRequest{PublicKey: key.Public(), Subject: pkix.Name{CommonName: "somebody else"}, DNSNames: []string{"evil"}}, id)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Subject.CommonName != id.String() || len(leaf.DNSNames) != 0 || leaf.IsCA {
		t.Errorf("a request got more than its key certified: %v %v", leaf.Subject, leaf.DNSNames)
	}
	usages := map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false}
	for use, want := range usages {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{use}})
		if (err == nil) != want {
			t.Errorf("usage %v: %v", use, err)
		}
	}
	later := time.Now().Add(ClientLife + time.Hour)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: later, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("valid after its end")
	}
}

func TestCARefusesAForeignKey(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, d := range []string{one, two} {
		if _, err := Open(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(two, keyName), filepath.Join(one, keyName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(one); err == nil {
		t.Error("opened with the key of another CA")
	}
}
