package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
	"platen/agent/fleet/store"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// issue is a certificate that an authority makes out to a printer, noted in the fleet's folder.
func issue(t *testing.T, s *store.Store, authority *ca.CA, id evidence.PrinterID) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := authority.Client(&x509.CertificateRequest{PublicKey: key.Public()}, id)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Issue(id, cert); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// letIn reports whether a broker greets a client with this certificate.
func letIn(t *testing.T, addr string, cert tls.Certificate, roots *x509.CertPool) bool {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	// MQTT 5.0, section 3.1: a clean start, a minute, no properties, client "c". A broker that
	// has hung up by now may not take it.
	_, _ = conn.Write([]byte("\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c"))
	var first [1]byte
	_, err = conn.Read(first[:])
	return err == nil && first[0]>>4 == 2 // CONNACK
}

// TestRevokedAtAnotherBroker: by the list of revoked certificates Mosquitto takes nobody who was
// revoked, with whichever of the certificates that were issued, and everybody else.
func TestRevokedAtAnotherBroker(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	printers, err := ca.Open(CADir(dir))
	if err != nil {
		t.Fatal(err)
	}
	ops, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bad, good := evidence.PrinterID{1}, evidence.PrinterID{2}
	old, renewed, other := issue(t, s, printers, bad), issue(t, s, printers, bad), issue(t, s, printers, good)
	own := issue(t, s, ops, evidence.PrinterID{0xf1}) // the fleet's, of another authority
	srv, err := ops.Server([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ops.Revoke(nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	cfg := rig.MosquittoConfig{CA: writePEM(t, "CERTIFICATE", printers.DER(), ops.DER()), CRL: filepath.Join(t.TempDir(), "crl.pem"),
		Cert: writePEM(t, "CERTIFICATE", srv.Certificate[0]), Key: keyPEM(t, srv.PrivateKey)}
	for _, c := range []struct {
		what    string
		change  func() error
		revoked bool
	}{
		{"nobody was revoked", func() error { return nil }, false},
		{"revoked", func() error { return store.Leave(dir, bad, store.Departure{At: time.Now()}) }, true},
		{"let in again", func() error { return store.Readmit(dir, bad) }, false},
		{"gone", func() error { return store.Leave(dir, bad, store.Departure{At: time.Now(), Gone: true}) }, true},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if err := WriteCRL(dir, printers); err != nil {
			t.Fatal(err)
		}
		var lists []byte
		for _, a := range []*ca.CA{printers, ops} {
			b, err := os.ReadFile(a.CRLPath())
			if err != nil {
				t.Fatal(err)
			}
			lists = append(lists, b...)
		}
		if err := os.WriteFile(cfg.CRL, lists, 0o644); err != nil {
			t.Fatal(err)
		}
		m := rigtest.Mosquitto(t, cfg)
		for name, want := range map[*tls.Certificate]bool{&old: !c.revoked, &renewed: !c.revoked, &other: true, &own: true} {
			if got := letIn(t, m.Addr, *name, ops.Pool()); got != want {
				t.Errorf("%s: a certificate was let in: %v, want %v", c.what, got, want)
			}
		}
		m.Stop()
	}
}

// TestListThatFails: a list of revoked certificates that could not be written is tried again.
func TestListThatFails(t *testing.T) {
	left, now := map[evidence.PrinterID]bool{{1}: true}, time.Now()
	full := errors.New("no space left")
	var l crl
	for i, step := range []struct {
		fails         error
		tried, toldOf bool
	}{{full, true, true}, {full, true, false}, {nil, true, false}, {full, false, false}} {
		tried := false
		err := l.follow(left, now, func() error {
			tried = true
			return step.fails
		})
		if tried != step.tried || (err != nil) != step.toldOf {
			t.Errorf("step %d: tried %v, %v", i, tried, err)
		}
	}
}

// TestListOfDamagedFiles: one printer's damaged file keeps nobody else off the list.
func TestListOfDamagedFiles(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	s, err := store.Open(dir, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	authority, err := ca.Open(CADir(dir))
	if err != nil {
		t.Fatal(err)
	}
	for n := range byte(3) {
		id := evidence.PrinterID{n}
		issue(t, s, authority, id)
		if err := store.Leave(dir, id, store.Departure{At: now}); err != nil {
			t.Fatal(err)
		}
	}
	for folder, n := range map[string]byte{"issued": 0, "left": 1} {
		if err := os.WriteFile(filepath.Join(dir, folder, evidence.PrinterID{n}.String()+".json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteCRL(dir, authority); !errors.Is(err, store.ErrUnread) || listed(t, dir) != 2 {
		t.Errorf("%d are listed, %v", listed(t, dir), err)
	}
}
