package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
	"platen/agent/fleet/ingest"
	"platen/agent/fleet/offers"
	"platen/agent/fleet/store"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// writePEM writes blocks of one kind, or of a certificate each.
func writePEM(t *testing.T, kind string, der ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	var b []byte
	for _, d := range der {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: d})...)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func keyPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "PRIVATE KEY", der)
}

// Any other MQTT v5 broker works in place of the built-in one: Mosquitto does.
func TestMosquittoInPlaceOfTheBroker(t *testing.T) {
	tpm := rigtest.Swtpm(t)
	dir := t.TempDir()
	printers, err := ca.Open(CADir(dir))
	if err != nil {
		t.Fatal(err)
	}
	ops, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := ops.Server([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	fleetID := evidence.PrinterID{0xf1}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ops.Client(&x509.CertificateRequest{PublicKey: key.Public()}, fleetID)
	if err != nil {
		t.Fatal(err)
	}
	m := rigtest.Mosquitto(t, rig.MosquittoConfig{CA: writePEM(t, "CERTIFICATE", printers.DER(), ops.DER()),
		Cert: writePEM(t, "CERTIFICATE", srv.Certificate[0]), Key: keyPEM(t, srv.PrivateKey),
		ACL: []string{
			"user " + fleetID.String(), "topic read " + evidence.AllBatches, "topic read " + evidence.AllHellos, "topic write platen/v1/+/nonce", "topic write platen/v1/+/offer",
			"pattern write platen/v1/%u/evidence", "pattern write platen/v1/%u/hello", "pattern read platen/v1/%u/nonce",
			"pattern read platen/v1/%u/offer"}})
	l, ready, _ := up(t, Config{Dir: dir, ListenHTTPS: "127.0.0.1:0", ListenMQTT: "unused", EKCAs: tpm.CAs, Agents: map[[32]byte]uint64{agentDigest: 1},
		NonceEvery: time.Second, BridgeCA: ops.DER(), Bridge: &ingest.BridgeConfig{Broker: m.Addr, ClientID: "fleet",
			TLS: &tls.Config{RootCAs: ops.Pool(), Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}})

	p := newPrinter(t, tpm)
	code, _, err := store.NewClaim(dir, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, code); err != nil {
		t.Fatal(err)
	}
	if p.result.Broker != m.Addr {
		t.Errorf("printers are told of broker %s", p.result.Broker)
	}
	p.run(t, t.TempDir())
	p.grant(t)
	e := l.wait(t, store.Batch, func(e store.Event) bool { return e.Seq == 4 })
	if e.Release != 1 || !e.Fresh {
		t.Errorf("batch: %+v", e)
	}
	if err := offers.Put(dir, p.tpm.ID(), offers.Offer{Job: "01", Until: time.Now().Add(time.Hour), Envelope: []byte("ticket")}); err != nil {
		t.Fatal(err)
	}
	if got := <-p.offers; got != "ticket" {
		t.Errorf("offered: %q", got)
	}
	l.wait(t, store.Offered, func(e store.Event) bool { return e.Job == "01" })
	if r := append(l.all(store.Refused), l.all(store.Missing)...); len(r) != 0 {
		t.Errorf("refused or missing: %+v", r)
	}
}
