package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/intake"
	"platen/agent/telemetry"
	"platen/agent/uplink"
	"platen/updater/slot"
)

// renewEvery is how often the client certificate's age is looked at.
const renewEvery = time.Hour

// fleetLink is what the printer knows of its fleet. The zero value is a printer
// that belongs to none.
type fleetLink struct {
	base  string // enrolment service
	roots *x509.CertPool
	dir   string // where the result of the enrolment is kept

	mu  sync.Mutex
	res *evidence.EnrolResult // nil until enrolled
}

// Every ticket that can be opened fits into an offer.
const _ = uint(uplink.MaxOffer - intake.MaxTicket)

// resultFile is the stored result of the enrolment, in its CBOR frame.
const resultFile = "enrolment.cbor"

// openFleet reads the fleet's CA and the stored enrolment.
func (a *Agent) openFleet() error {
	f := a.cfg.Fleet
	if f == nil {
		return nil
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return fmt.Errorf("reading the fleet's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("reading the fleet's CA: %s holds no PEM certificate", f.CA)
	}
	a.client = pinned(roots)
	a.fleet = fleetLink{base: f.Enrol, roots: roots, dir: filepath.Join(a.cfg.State, "fleet")}
	b, err := os.ReadFile(filepath.Join(a.fleet.dir, resultFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the enrolment: %w", err)
	}
	res, err := evidence.DecodeEnrolResult(b)
	if err != nil || res.Printer != a.tpm.ID() {
		a.log.Warn("stored enrolment is of no use: enrol again")
		return nil
	}
	a.fleet.res = &res
	return nil
}

func (f *fleetLink) configured() bool { return f.base != "" }

func (f *fleetLink) result() *evidence.EnrolResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.res
}

// chain is the present certificate for a link that was made with res: the newest of
// the same enrolment. Another fleet's is not shown to the one that was left.
func (f *fleetLink) chain(res *evidence.EnrolResult) [][]byte {
	if now := f.result(); now.Recipient == res.Recipient && now.Broker == res.Broker {
		return now.Certs
	}
	return res.Certs
}

func (a *Agent) enrolled() bool { return a.fleet.result() != nil }

// enrol joins the fleet, or renews the certificate if the fleet knows this TPM, and
// keeps what it gave.
func (a *Agent) enrol(ctx context.Context, claim string, reply func(intake.Reply) error) error {
	if !a.fleet.configured() {
		return errors.New("the printer belongs to no fleet: set [fleet] in the configuration")
	}
	res, err := uplink.Enrol(ctx, a.fleet.base, a.fleet.roots, claim, a.tpm, a.tpm.TLSKey().Public())
	if err != nil {
		return err
	}
	b, err := res.Encode()
	if err != nil {
		return fmt.Errorf("keeping the enrolment: %w", err)
	}
	dir, err := slot.OpenDir(a.fleet.dir)
	if err != nil {
		return fmt.Errorf("keeping the enrolment: %w", err)
	}
	defer dir.Close()
	if err := slot.Replace(dir, resultFile, b); err != nil {
		return fmt.Errorf("keeping the enrolment: %w", err)
	}
	a.fleet.mu.Lock()
	a.fleet.res = &res
	a.fleet.mu.Unlock()
	a.log.Info("enrolled", "recipient", res.Recipient.String())
	return reply(intake.Reply{Event: "enrolled", Text: res.Recipient.String()})
}

// renew asks for a new client certificate when a third of the old one's life is
// left. The printer goes on printing without one.
func (a *Agent) renew(ctx context.Context) error {
	for {
		if res := a.fleet.result(); res != nil && uplink.Due(*res, time.Now()) {
			if err := a.enrol(ctx, "", func(intake.Reply) error { return nil }); err != nil && ctx.Err() == nil {
				a.log.Warn("certificate not renewed", "error", err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(renewEvery):
		}
	}
}

// dial begins a link to a granted recipient.
func (a *Agent) dial(g consent.Grant) (telemetry.Link, error) {
	res := a.fleet.result()
	if res == nil || res.Recipient != g.Recipient {
		return nil, errors.New("the printer is not enrolled with this recipient: platen enrol")
	}
	cfg, err := uplink.FromEnrolment(*res, a.tpm.TLSKey(), a.log)
	if err != nil {
		return nil, err
	}
	if a.cfg.Fleet.Offers {
		cfg.Offer = func(envelope []byte, retained bool) { a.offered(context.Background(), envelope, retained) }
	}
	cfg.Chain = func() [][]byte { return a.fleet.chain(res) } // a renewed one is used at the next connection
	return uplink.Dial(cfg)
}

// pinned is an HTTP client that trusts the fleet's certificate alone.
func pinned(ca *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:       &tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS13},
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       time.Minute,
			MaxIdleConns:          2,
		},
	}
}
