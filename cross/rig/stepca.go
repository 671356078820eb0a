package rig

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// StepCAConfig says how a step-ca certifies.
type StepCAConfig struct {
	// Root is the PEM file of the authority's certificate, Key that of its key.
	Root, Key string
	// Cert is the PEM file of the certificate that signs, issued by Root; Key is its key.
	Cert string
	// Attestation is the PEM file of the authorities that certify keys of TPMs.
	Attestation string
}

// StepCA is a step-ca that runs: an authority that speaks ACME, and certifies by the
// challenge device-attest-01 and the TPM's statements.
type StepCA struct {
	// Directory is the URL of its ACME directory.
	Directory string
	run       *child
}

// stepConfig is as much of step-ca's configuration as is needed.
type stepConfig struct {
	Root      string   `json:"root"`
	Cert      string   `json:"crt"`
	Key       string   `json:"key"`
	Address   string   `json:"address"`
	Names     []string `json:"dnsNames"`
	DB        stepDB   `json:"db"`
	Authority struct {
		Provisioners []stepProvisioner `json:"provisioners"`
	} `json:"authority"`
}

type stepDB struct {
	Type   string `json:"type"`
	Source string `json:"dataSource"`
}

type stepProvisioner struct {
	Type       string   `json:"type"`
	Name       string   `json:"name"`
	Challenges []string `json:"challenges"`
	Formats    []string `json:"attestationFormats"`
	Roots      string   `json:"attestationRoots"` // PEM, in base64
}

// StartStepCA runs a step-ca with its state in dir until Stop or the end of ctx.
func StartStepCA(ctx context.Context, dir string, cfg StepCAConfig) (*StepCA, error) {
	t, err := find("step-ca")
	if err != nil {
		return nil, err
	}
	addr, err := FreePort()
	if err != nil {
		return nil, err
	}
	roots, err := os.ReadFile(cfg.Attestation)
	if err != nil {
		return nil, fmt.Errorf("start step-ca: %w", err)
	}
	c := stepConfig{Root: cfg.Root, Cert: cfg.Cert, Key: cfg.Key, Address: addr, Names: []string{"127.0.0.1", "localhost"},
		DB: stepDB{"badgerv2", filepath.Join(dir, "db")}}
	c.Authority.Provisioners = []stepProvisioner{{Type: "ACME", Name: "printers", Challenges: []string{"device-attest-01"}, Formats: []string{"tpm"},
		Roots: base64.StdEncoding.EncodeToString(roots)}}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("start step-ca: %w", err)
	}
	path := filepath.Join(dir, "ca.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, fmt.Errorf("start step-ca: %w", err)
	}
	run, err := t.start(ctx, filepath.Join(dir, "step-ca.log"), path)
	if err != nil {
		return nil, err
	}
	s := &StepCA{Directory: "https://" + addr + "/acme/printers/directory", run: run}
	if err := run.ready(ctx, func() error { return answers(ctx, s.Directory) }); err != nil {
		run.stop()
		return nil, err
	}
	return s, nil
}

// answers reports whether a server is up; who it is, is not looked at.
func answers(ctx context.Context, url string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return errors.Join(err, resp.Body.Close())
}

// Stop ends the authority.
func (s *StepCA) Stop() { s.run.stop() }
