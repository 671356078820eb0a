package rig_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"platen/agent/attest"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

func bootCount(t *testing.T, path string) uint64 {
	t.Helper()
	tpm, err := attest.New(t.Context(), attest.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := tpm.Close(); err != nil {
		t.Fatal(err)
	}
	return tpm.BootCount()
}

func TestSwtpm(t *testing.T) {
	start := time.Now()
	s := rigtest.Swtpm(t)
	t.Logf("made and started in %v", time.Since(start))
	for _, ca := range s.CAs {
		if _, err := os.Stat(ca); err != nil {
			t.Error(err)
		}
	}
	before := bootCount(t, s.Path())
	if again := bootCount(t, s.Path()); again != before {
		t.Errorf("a new connection counted as a reset: boot %d, then %d", before, again)
	}
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := bootCount(t, s.Path()); after != before+1 {
		t.Errorf("boot %d after a reset, %d before", after, before)
	}
}

// TestSwtpmComesBack: the folder is the TPM.
func TestSwtpmComesBack(t *testing.T) {
	dir := t.TempDir()
	var ids [2]string
	for i := range ids {
		s, err := rig.StartSwtpm(t.Context(), dir)
		rigtest.Check(t, err)
		tpm, err := attest.New(t.Context(), attest.Config{Path: s.Path()})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = tpm.ID().String()
		if err := errors.Join(tpm.Close(), s.Stop()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(s.Socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	}
	if ids[0] != ids[1] {
		t.Error("the folder holds another TPM the second time")
	}
}

func TestNoTool(t *testing.T) {
	_, err := rig.Find("no-such-program-anywhere")
	var missing *rig.ErrNoTool
	if !errors.As(err, &missing) || missing.Name != "no-such-program-anywhere" {
		t.Errorf("found %v", err)
	}
	t.Setenv("PATH", "")
	if path, err := rig.Find("sh"); err != nil || !filepath.IsAbs(path) {
		t.Errorf("control: sh is %q, %v", path, err)
	}
	dir := t.TempDir()
	t.Setenv("PLATEN_TOOLS", dir)
	want := filepath.Join(dir, "usr", "bin", "sh")
	if err := errors.Join(os.MkdirAll(filepath.Dir(want), 0o700), os.WriteFile(want, nil, 0o700)); err != nil {
		t.Fatal(err)
	}
	if path, err := rig.Find("sh"); err != nil || path != want {
		t.Errorf("PLATEN_TOOLS does not go first: %q, %v", path, err)
	}
}

// pki writes an authority and a certificate for each name into dir.
func pki(t *testing.T, dir string, names ...string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var ca *x509.Certificate
	for i, name := range append([]string{"ca"}, names...) {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: ca == nil}
		parent := ca
		if ca == nil {
			parent = tmpl
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if ca == nil {
			if ca, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
		}
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name+".pem"), cert, 0o600),
			os.WriteFile(filepath.Join(dir, name+".key"), private, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool
}

// TestMosquitto connects as MQTT v5 with a certificate, and without.
func TestMosquitto(t *testing.T) {
	dir := t.TempDir()
	pool := pki(t, dir, "broker", "printer")
	file := func(name string) string { return filepath.Join(dir, name) }
	m := rigtest.Mosquitto(t, rig.MosquittoConfig{CA: file("ca.pem"), Cert: file("broker.pem"), Key: file("broker.key"),
		ACL: []string{"pattern write platen/v1/%u/evidence"}})
	client, err := tls.LoadX509KeyPair(file("printer.pem"), file("printer.key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: pool, ServerName: "broker", MinVersion: tls.VersionTLS12}
	if _, err := connect(t, m.Addr, cfg); err == nil {
		t.Error("connected without a certificate")
	}
	cfg.Certificates = []tls.Certificate{client}
	if code, err := connect(t, m.Addr, cfg); err != nil || code != 0 {
		t.Errorf("with a certificate: reason %d, %v", code, err)
	}
	cfg.MaxVersion = tls.VersionTLS12
	if _, err := connect(t, m.Addr, cfg); err == nil {
		t.Error("connected with TLS 1.2")
	}
}

// connect sends a CONNECT of MQTT v5 and returns the CONNACK's reason code.
func connect(t *testing.T, addr string, cfg *tls.Config) (byte, error) {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, err
	}
	conn := tls.Client(raw, cfg)
	if _, err := conn.Write([]byte{0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 1, 'x'}); err != nil {
		return 0, err
	}
	r := bufio.NewReader(conn)
	for range 3 { // type, length, flags
		if _, err := r.ReadByte(); err != nil {
			return 0, err
		}
	}
	return r.ReadByte()
}

// TestFreePorts: ports that are drawn together differ, and can be listened on.
func TestFreePorts(t *testing.T) {
	list, err := rig.FreePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	if n := len(slices.Compact(list)); n != 50 {
		t.Errorf("%d of 50 ports differ", n)
	}
}
