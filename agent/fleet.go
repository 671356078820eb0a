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
	"slices"
	"sync"
	"time"

	"platen/agent/audit"
	"platen/agent/config"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/intake"
	"platen/agent/telemetry"
	"platen/agent/uplink"
	"platen/updater/slot"
)

// fleetLink is what the printer knows of one operator's side: [fleet], or a [[recipient]].
type fleetLink struct {
	cfg   *config.Fleet
	roots *x509.CertPool
	dir   string // where the result of the enrolment is kept

	mu   sync.Mutex
	link *uplink.Link          // the newest to its broker; nil until there was one
	res  *evidence.EnrolResult // nil until enrolled
	acme string                // directory of the ACME server that certifies the client key; "": the fleet does
}

// Every ticket that can be opened fits into an offer.
const _ = uint(uplink.MaxOffer - intake.MaxTicket)

// resultFile is the stored result of the enrolment, in its CBOR frame.
const resultFile = "enrolment.cbor"

// openFleets reads each fleet's CA and the stored enrolment with it.
func (a *Agent) openFleets() error {
	for _, cfg := range a.cfg.Fleets() {
		f, err := a.openFleet(cfg)
		if err != nil {
			return err
		}
		a.fleets = append(a.fleets, f)
		if a.client == nil { // that of the first: releases come from there
			a.client = pinned(f.roots, a.alarm)
		}
	}
	return nil
}

func (a *Agent) openFleet(cfg *config.Fleet) (*fleetLink, error) {
	pem, err := os.ReadFile(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the fleet's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the fleet's CA: %s holds no PEM certificate", cfg.CA)
	}
	dir := "fleet"
	if cfg.Name != "" {
		dir += "-" + cfg.Name
	}
	f := &fleetLink{cfg: cfg, roots: roots, dir: filepath.Join(a.cfg.State, dir)}
	b, err := os.ReadFile(filepath.Join(f.dir, resultFile))
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the enrolment: %w", err)
	}
	res, err := evidence.DecodeEnrolResult(b)
	if err != nil || res.Printer != a.tpm.ID() {
		a.log.Warn("stored enrolment is of no use: enrol again", "fleet", cfg.Name)
		return f, nil
	}
	f.res = &res
	f.acme, err = readACME(f.dir)
	return f, err
}

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

// enrolled reports whether any fleet has taken this printer.
func (a *Agent) enrolled() bool {
	return slices.ContainsFunc(a.fleets, func(f *fleetLink) bool { return f.result() != nil })
}

// fleetNamed is the fleet of that name; "" is [fleet].
func (a *Agent) fleetNamed(name string) (*fleetLink, error) {
	for _, f := range a.fleets {
		if f.cfg.Name == name {
			return f, nil
		}
	}
	if name == "" {
		return nil, errors.New("the printer belongs to no fleet: set [fleet] in the configuration")
	}
	return nil, fmt.Errorf("the configuration has no [[recipient]] named %q", name)
}

// enrol joins the fleet of that name, or renews the certificate if the fleet knows this
// TPM, and keeps what it gave.
func (a *Agent) enrol(ctx context.Context, req intake.Request, reply func(intake.Reply) error) error {
	f, err := a.fleetNamed(req.To)
	if err != nil {
		return err
	}
	directory := req.ACME
	if directory == "" && req.Claim == "" {
		return errors.New("give a claim code, or the directory of an ACME server")
	}
	res, err := a.join(ctx, f, req.Claim, directory)
	if err != nil {
		return err
	}
	return reply(intake.Reply{Event: "enrolled", Text: res.Recipient.String()})
}

// join enrols the printer with one fleet, and has the ACME server with this directory, if
// there is one, certify its client key.
func (a *Agent) join(ctx context.Context, f *fleetLink, claim, directory string) (*evidence.EnrolResult, error) {
	client, err := a.tpm.Client(ctx, f.cfg.Name)
	if err != nil {
		return nil, err
	}
	res, err := uplink.Enrol(ctx, f.cfg.Enrol, f.roots, claim, client, client.Key().Public())
	if err != nil {
		return nil, err
	}
	if err := a.soleRecipient(f, res.Recipient); err != nil {
		return nil, err
	}
	if directory != "" {
		if res, err = uplink.ACME(ctx, f.cfg.Enrol, f.roots, directory, client, client.Key().Public(), res); err != nil {
			return nil, err
		}
	}
	b, err := res.Encode()
	if err != nil {
		return nil, fmt.Errorf("keeping the enrolment: %w", err)
	}
	dir, err := slot.OpenDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("keeping the enrolment: %w", err)
	}
	defer dir.Close()
	if err := slot.Replace(dir, acmeFile, []byte(directory)); err != nil { // before there is a certificate to be renewed
		return nil, fmt.Errorf("keeping the enrolment: %w", err)
	}
	if err := slot.Replace(dir, resultFile, b); err != nil {
		return nil, fmt.Errorf("keeping the enrolment: %w", err)
	}
	f.mu.Lock()
	f.res, f.acme = &res, directory
	f.mu.Unlock()
	a.log.Info("enrolled", "recipient", res.Recipient.String())
	a.audit.Note(audit.Entry{Event: audit.Enrolled, Recipient: res.Recipient.String()})
	return &res, nil
}

// soleRecipient refuses a fleet that gives itself the id of another one: it would be sent
// what the owner has granted to that.
func (a *Agent) soleRecipient(f *fleetLink, r evidence.RecipientID) error {
	for _, other := range a.fleets {
		if res := other.result(); other != f && res != nil && res.Recipient == r {
			return errors.New("this fleet says that it is another recipient, with which the printer is enrolled already: nothing was kept")
		}
	}
	return nil
}

// dial begins a link to a granted recipient, by the fleet that has its id and no other.
func (a *Agent) dial(g consent.Grant) (telemetry.Link, error) {
	for _, f := range a.fleets {
		if res := f.result(); res != nil && res.Recipient == g.Recipient {
			return a.dialFleet(f, res)
		}
	}
	return nil, errors.New("the printer is not enrolled with this recipient: platen enrol")
}

func (a *Agent) dialFleet(f *fleetLink, res *evidence.EnrolResult) (telemetry.Link, error) {
	client, err := a.tpm.Client(context.Background(), f.cfg.Name)
	if err != nil {
		return nil, err
	}
	cfg, err := uplink.FromEnrolment(*res, client.Key(), a.log)
	if err != nil {
		return nil, err
	}
	cfg.ALPN, cfg.Will, cfg.Alarm = f.cfg.ALPN, f.cfg.Will, a.alarm
	if f.cfg.Offers {
		cfg.Offer = func(envelope []byte, retained bool) { a.offered(context.Background(), envelope, retained) }
	}
	cfg.Chain = func() [][]byte { return f.chain(res) } // a renewed one is used at the next connection
	link, err := uplink.Dial(cfg)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.link = link
	return link, nil
}

// greeted waits until the fleet's broker has taken this printer: its certificate, its name, its
// subscription. The link is the one that carries its evidence, for a broker hangs up on the first
// of two under one name.
func (f *fleetLink) greeted(ctx context.Context) error {
	f.mu.Lock()
	link := f.link
	f.mu.Unlock()
	if link == nil {
		return errors.New("no evidence is being sent")
	}
	_, err := link.Nonce(ctx)
	return err
}

// alarm notes for the owner that something is in the place of a fleet's server.
func (a *Agent) alarm(code string) {
	a.log.Warn("a server is not who it has to be", "code", code)
	a.audit.Note(audit.Entry{Event: audit.Refused, Code: code})
}

// pinned is an HTTP client that trusts the fleet's certificate alone; alarm is told of
// servers that have another.
func pinned(ca *x509.CertPool, alarm func(code string)) *http.Client {
	return &http.Client{
		Transport: uplink.Watch(&http.Transport{
			TLSClientConfig:       &tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS13},
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       time.Minute,
			MaxIdleConns:          2,
		}, alarm),
	}
}
