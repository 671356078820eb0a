package attest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"platen/agent/attest"
	"platen/cross/rig/rigtest"
)

func TestJobKeyOpensHPKE(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), "")
	public, err := hpke.NewDHKEMPublicKey(tpm.JobKey().PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("sixteen byte key")
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("info"), want)
	if err != nil {
		t.Fatal(err)
	}
	private, err := hpke.NewDHKEMPrivateKey(tpm.JobKey())
	if err != nil {
		t.Fatal(err)
	}
	got, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("info"), sealed)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("opened to %q, %v", got, err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("info"), sealed); err == nil {
		t.Error("control: a flipped bit went unnoticed")
	}
}

// TestECDHAgrees compares the TPM with crypto/ecdh.
func TestECDHAgrees(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), "")
	for range 20 {
		peer, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		want, err := peer.ECDH(tpm.JobKey().PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		got, err := tpm.JobKey().ECDH(peer.PublicKey())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("agreed on %d bytes, %v", len(got), err)
		}
	}
	other, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.JobKey().ECDH(other.PublicKey()); err == nil {
		t.Error("agreed with a key on another curve")
	}
}

func TestSignerServesTLS(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), "")
	digest := sha256.Sum256([]byte("x"))
	if _, err := tpm.TLSKey().Sign(rand.Reader, digest[:], crypto.SHA384); err == nil {
		t.Error("signed a digest of another hash")
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := certify(t, "ca", caKey.Public(), nil, caKey)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	server := tls.Certificate{Certificate: [][]byte{certify(t, "server", caKey.Public(), ca, caKey).Raw}, PrivateKey: caKey}
	client := tls.Certificate{
		Certificate:                  [][]byte{certify(t, tpm.ID().String(), tpm.TLSKey().Public(), ca, caKey).Raw},
		PrivateKey:                   tpm.TLSKey(),
		SupportedSignatureAlgorithms: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	var group sync.WaitGroup
	var serverErr error
	srv := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots})
	group.Go(func() {
		defer a.Close()
		serverErr = srv.Handshake()
	})
	cli := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: roots, ServerName: "server", MinVersion: tls.VersionTLS13})
	clientErr := cli.Handshake()
	if clientErr != nil {
		t.Fatal(clientErr)
	}
	io.Copy(io.Discard, b) // session tickets, until the server has closed its end
	group.Wait()
	if serverErr != nil {
		t.Fatal(serverErr)
	}
	if cn := srv.ConnectionState().PeerCertificates[0].Subject.CommonName; cn != tpm.ID().String() {
		t.Errorf("the server saw %q", cn)
	}
}

func certify(t *testing.T, name string, key crypto.PublicKey, parent *x509.Certificate, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil}
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func BenchmarkQuote(b *testing.B) {
	s := rigtest.Swtpm(b)
	tpm, err := attest.New(b.Context(), attest.Config{Path: s.Path()})
	if err != nil {
		b.Fatal(err)
	}
	defer tpm.Close()
	for b.Loop() {
		if _, err := tpm.Quote(b.Context(), [32]byte{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := rigtest.Swtpm(b)
	tpm, err := attest.New(b.Context(), attest.Config{Path: s.Path()})
	if err != nil {
		b.Fatal(err)
	}
	defer tpm.Close()
	digest := make([]byte, 32)
	for b.Loop() {
		if _, err := tpm.TLSKey().Sign(nil, digest, crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkECDH(b *testing.B) {
	s := rigtest.Swtpm(b)
	tpm, err := attest.New(b.Context(), attest.Config{Path: s.Path()})
	if err != nil {
		b.Fatal(err)
	}
	defer tpm.Close()
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := tpm.JobKey().ECDH(peer.PublicKey()); err != nil {
			b.Fatal(err)
		}
	}
}
