package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"platen/agent/attest"
	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/fleet"
	"platen/agent/fleet/ingest"
	"platen/agent/fleet/store"
	"platen/agent/telemetry"
	"platen/agent/telemetry/host"
	"platen/agent/uplink"
)

// What a process that is to be killed is told, in its environment: which of the two it
// is, the folder of the world, the TPM, and where the broker is.
const (
	roleVar   = "PLATEN_PROOF_ROLE"
	dirVar    = "PLATEN_PROOF_DIR"
	tpmVar    = "PLATEN_PROOF_TPM"
	brokerVar = "PLATEN_PROOF_BROKER"

	roleAgent    = "agent"
	roleVerifier = "verifier"
)

// play is the process of a role: it goes on until it is killed.
func play(role string) error {
	dir, broker := os.Getenv(dirVar), os.Getenv(brokerVar)
	roots, err := pool(filepath.Join(dir, "ops", "ca.pem"))
	if err != nil {
		return err
	}
	switch role {
	case roleAgent:
		return playAgent(dir, broker, roots)
	case roleVerifier:
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
		if err != nil {
			return err
		}
		return fleet.Up(context.Background(), fleet.Config{Dir: filepath.Join(dir, "fleet"), ListenHTTPS: "127.0.0.1:0", Agents: releases,
			NonceEvery: time.Second, Bridge: &ingest.BridgeConfig{Broker: broker, ClientID: "fleet",
				TLS: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{cert}}}})
	}
	return fmt.Errorf("no role %q", role)
}

func pool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	p := x509.NewCertPool()
	if err == nil && !p.AppendCertsFromPEM(text) {
		err = errors.New("no certificate in " + file)
	}
	return p, err
}

// granted is one grant that does not change.
type granted struct{ g consent.Grant }

// Grants is the grant.
func (g granted) Grants(time.Time) []consent.Grant { return []consent.Grant{g.g} }

// Changed never happens.
func (granted) Changed() <-chan struct{} { return nil }

// playAgent is the telemetry of an agent, once a second.
func playAgent(dir, broker string, roots *x509.CertPool) error {
	ctx := context.Background()
	tpm, err := attest.New(ctx, attest.Config{Path: os.Getenv(tpmVar), StateDir: filepath.Join(dir, "run")})
	if err != nil {
		return err
	}
	recipient, err := fleetOf(dir)
	if err != nil {
		return err
	}
	g, err := consent.New(consent.Terms{Printer: tpm.ID(), Recipient: recipient, Name: "proof", Profile: catalog.Owner,
		Period: time.Second, From: time.Now().Add(-time.Minute), Serial: 1})
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "printer.pem"))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("no certificate of the printer's")
	}
	c, err := telemetry.New(telemetry.Config{Grants: granted{g}, Quoter: tpm, StateDir: filepath.Join(dir, "run"),
		Sources: []telemetry.Source{&host.Source{Path: dir}, telemetry.Agent{Release: 1, Boot: tpm.BootCount(), Started: time.Now()}},
		Dial: func(consent.Grant) (telemetry.Link, error) {
			return uplink.Dial(uplink.Config{Broker: broker, Roots: roots, Printer: tpm.ID(),
				Certificate: tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: tpm.TLSKey()}})
		}})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// process is a role that goes on in a process of its own.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// start begins a role anew.
func (w *world) start(role, broker string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(w.path(role+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(self), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+w.dir, tpmVar+"="+w.swtpm.Path(), brokerVar+"="+broker)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // that it was killed is no news
	}()
	return p, nil
}

// kill ends a process as the kernel does when there is no memory.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.done
}

// alive reports whether a process goes on; its log says why not.
func (w *world) alive(p *process, role string) error {
	select {
	case <-p.done:
		text, _ := os.ReadFile(w.path(role + ".log")) // without it there is less to say
		return fmt.Errorf("the %s has ended by itself: %s", role, text[max(0, len(text)-600):])
	default:
		return nil
	}
}

// fleetOf is who the fleet of the world is.
func fleetOf(dir string) (evidence.RecipientID, error) {
	f, err := store.Peek(filepath.Join(dir, "fleet"))
	return f.Recipient, err
}
