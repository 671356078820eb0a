package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/agent/fleet"
	"platen/agent/fleet/ca"
	"platen/agent/fleet/ingest"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
	"platen/cross/rig"
)

// agentDigest is what the printer of the proof is measured to run.
var agentDigest = sha256.Sum256([]byte("the agent of the proof"))

// releases knows it.
var releases = verify.ReleaseMap{agentDigest: 1}

// world is a printer's TPM, a Mosquitto broker and the fleet's folder, in a folder of
// their own; what runs on them, each part of the proof starts itself.
type world struct {
	dir           string
	swtpm         *rig.Swtpm
	broker        *rig.Mosquitto
	printers, ops *ca.CA
	recipient     evidence.RecipientID
	fleetTLS      *tls.Config // as which the fleet comes to the broker
	autosave      bool        // the broker writes down each change
	stops         []func()
}

// fleetID is the name under which the broker knows the fleet.
var fleetID = evidence.PrinterID{0xf1}

func newWorld(ctx context.Context, autosave bool) (w *world, err error) {
	w = &world{autosave: autosave}
	if w.dir, err = os.MkdirTemp("", "plproof"); err != nil {
		return nil, err
	}
	w.stops = append(w.stops, func() { _ = os.RemoveAll(w.dir) })
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.swtpm, err = rig.StartSwtpm(ctx, w.path("tpm")); err != nil {
		return nil, err
	}
	w.stops = append(w.stops, func() { _ = w.swtpm.Stop() })
	if w.printers, err = ca.Open(fleet.CADir(w.path("fleet"))); err != nil {
		return nil, err
	}
	if w.ops, err = ca.Open(w.path("ops")); err != nil {
		return nil, err
	}
	w.fleetTLS, err = w.client(w.ops, fleetID)
	if err != nil {
		return nil, err
	}
	if err := w.writeKeys(); err != nil {
		return nil, err
	}
	return w, w.startBroker(ctx, "")
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w *world) close() {
	for i := len(w.stops) - 1; i >= 0; i-- {
		w.stops[i]()
	}
}

// client is a new key, and a certificate of it that an authority made out to id.
func (w *world) client(authority *ca.CA, id evidence.PrinterID) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := authority.Client(&x509.CertificateRequest{PublicKey: key.Public()}, id)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: w.ops.Pool(), ServerName: "127.0.0.1",
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// server is a configuration that everybody takes for the broker's.
func (w *world) server() (*tls.Config, error) {
	cert, err := w.ops.Server([]string{"127.0.0.1"})
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}, err
}

// writeKeys writes what the broker and the fleet's process read.
func (w *world) writeKeys() error {
	srv, err := w.ops.Server([]string{"127.0.0.1"})
	if err != nil {
		return err
	}
	files := map[string]tls.Certificate{"broker": srv, "client": w.fleetTLS.Certificates[0]}
	for name, cert := range files {
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			return err
		}
		if err := writePEM(w.path(name+".key"), "PRIVATE KEY", key); err != nil {
			return err
		}
		if err := writePEM(w.path(name+".pem"), "CERTIFICATE", cert.Certificate[0]); err != nil {
			return err
		}
	}
	return writePEM(w.path("clients.pem"), "CERTIFICATE", w.printers.DER(), w.ops.DER())
}

func writePEM(path, kind string, der ...[]byte) error {
	var b []byte
	for _, d := range der {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: d})...)
	}
	return os.WriteFile(path, b, 0o600)
}

// startBroker runs Mosquitto, at addr if there is one.
func (w *world) startBroker(ctx context.Context, addr string) error {
	if err := os.MkdirAll(w.path("broker"), 0o700); err != nil {
		return err
	}
	m, err := rig.StartMosquitto(ctx, w.path("broker"), rig.MosquittoConfig{CA: w.path("clients.pem"), Cert: w.path("broker.pem"),
		Key: w.path("broker.key"), Addr: addr, Persist: true, Autosave: w.autosave, ACL: []string{
			"user " + fleetID.String(), "topic read " + evidence.AllBatches, "topic read " + evidence.AllHellos,
			"topic write platen/v1/+/nonce", "topic write platen/v1/+/offer",
			"pattern write platen/v1/%u/evidence", "pattern write platen/v1/%u/hello", "pattern write platen/v1/%u/gone",
			"pattern read platen/v1/%u/nonce", "pattern read platen/v1/%u/offer"}})
	if err != nil {
		return err
	}
	if w.broker == nil {
		w.stops = append(w.stops, func() { w.broker.Stop() })
	}
	w.broker = m
	return nil
}

// brokerLog is the end of what the broker has said.
func (w *world) brokerLog() []byte {
	text, _ := os.ReadFile(w.path("broker", "mosquitto.log")) // without it there is less to say
	return text[max(0, len(text)-1500):]
}

// openTPM opens the printer's TPM, with the agent of the proof measured.
func (w *world) openTPM(ctx context.Context) (*attest.TPM, error) {
	if err := os.MkdirAll(w.path("run"), 0o700); err != nil {
		return nil, err
	}
	tpm, err := attest.New(ctx, attest.Config{Path: w.swtpm.Path(), StateDir: w.path("run")})
	if err != nil {
		return nil, err
	}
	settings := evidence.Settings{Config: sha256.Sum256([]byte("configuration")), Board: sha256.Sum256([]byte("board"))}
	if err := errors.Join(tpm.ExtendAgent(ctx, agentDigest), tpm.ExtendSettings(ctx, settings)); err != nil {
		return nil, errors.Join(err, tpm.Close())
	}
	return tpm, nil
}

// verifier opens the fleet's folder and enrols the printer there.
func (w *world) verifier(ctx context.Context, tpm *attest.TPM) (*verify.Verifier, *store.Store, error) {
	s, err := store.Open(w.path("fleet"), "proof", 0)
	if err != nil {
		return nil, nil, err
	}
	w.recipient = s.Fleet.Recipient
	v, err := verify.New(verify.Config{Recipient: w.recipient, Releases: releases})
	if err != nil {
		return nil, s, err
	}
	if err := s.Load(v); err != nil {
		return nil, s, err
	}
	roots := x509.NewCertPool()
	for _, file := range w.swtpm.CAs {
		text, err := os.ReadFile(file)
		if err != nil || !roots.AppendCertsFromPEM(text) {
			return nil, s, fmt.Errorf("%s: %w", file, errors.Join(err, errors.New("no certificate")))
		}
	}
	req, err := tpm.EnrolRequest(ctx, "")
	if err != nil {
		return nil, s, err
	}
	ch, session, err := verify.EnrolBegin(req, verify.Policy{Roots: roots, Releases: releases})
	if err != nil {
		return nil, s, err
	}
	rsp, err := tpm.Activate(ctx, req, ch)
	if err != nil {
		return nil, s, err
	}
	e, err := verify.EnrolFinish(session, rsp)
	if err != nil {
		return nil, s, err
	}
	if err := v.Enrol(e.Record); err != nil {
		return nil, s, err
	}
	return v, s, s.SavePrinter(v, tpm.ID())
}

// bridgeConfig is how the fleet comes to the broker.
func (w *world) bridgeConfig() *ingest.BridgeConfig {
	return &ingest.BridgeConfig{Broker: w.broker.Addr, ClientID: "fleet", TLS: w.fleetTLS}
}

// patience bounds every wait: nothing is judged by how long it takes.
const patience = 5 * time.Minute

// until waits for something that a process does.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
