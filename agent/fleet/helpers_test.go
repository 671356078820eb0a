package fleet

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"platen/agent/attest"
	"platen/agent/audit"
	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/seam"
	"platen/agent/telemetry"
	"platen/agent/uplink"
	"platen/cross/rig"
	"platen/updater/updatertest"
)

// log collects events.
type log struct {
	mu     sync.Mutex
	events []store.Event
	news   chan struct{}
}

func newLog() *log { return &log{news: make(chan struct{})} }

func (l *log) emit(e store.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	close(l.news)
	l.news = make(chan struct{})
}

func (l *log) all(k store.Kind) []store.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.events), func(e store.Event) bool { return e.Event != k })
}

// wait returns the first event of a kind that ok accepts.
func (l *log) wait(t *testing.T, k store.Kind, ok func(store.Event) bool) store.Event {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		news := l.news
		l.mu.Unlock()
		for _, e := range l.all(k) {
			if ok(e) {
				return e
			}
		}
		select {
		case <-news:
		case <-limit:
			t.Fatalf("no such %s event; there were %+v", k, l.events)
		}
	}
}

func any1(store.Event) bool { return true }

// up runs the fleet's side in dir until the test ends or stop is called.
func up(t *testing.T, cfg Config) (l *log, ready store.Event, stop func()) {
	t.Helper()
	l = newLog()
	cfg.Emit = l.emit
	if cfg.ListenMQTT == "" {
		cfg.ListenMQTT, cfg.ListenHTTPS = "127.0.0.1:0", "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Up(ctx, cfg) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Up: %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("the fleet's side does not come down")
			}
		})
	}
	t.Cleanup(stop)
	return l, l.wait(t, store.Ready, any1), stop
}

// printer is one printer: a TPM, an owner, and what the agent wires.
type printer struct {
	tpm    *attest.TPM
	owner  ed25519.PrivateKey
	grants *consent.Store
	result evidence.EnrolResult
	frames chan []byte
	offers chan string
}

func newPrinter(t *testing.T, s *rig.Swtpm) *printer {
	t.Helper()
	tpm, err := attest.New(t.Context(), attest.Config{Path: s.Path(), StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tpm.Close() }) // the software TPM is gone by now
	if err := tpm.ExtendAgent(t.Context(), agentDigest); err != nil {
		t.Fatal(err)
	}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(t.Context(), updatertest.NewDisk(), tpm, nil)
	if err != nil {
		t.Fatal(err)
	}
	grants, err := consent.OpenStore(t.TempDir(), tpm.ID(), pub, log)
	if err != nil {
		t.Fatal(err)
	}
	return &printer{tpm: tpm, owner: key, grants: grants, frames: make(chan []byte, 1000), offers: make(chan string, 8)}
}

func roots(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s: no certificate", path)
	}
	return pool
}

func (p *printer) enrol(t *testing.T, ready store.Event, claim string) error {
	t.Helper()
	var err error
	p.result, err = uplink.Enrol(t.Context(), ready.HTTPS, roots(t, ready.CA), claim, p.tpm, p.tpm.TLSKey().Public())
	return err
}

func (p *printer) grant(t *testing.T) {
	t.Helper()
	g, err := consent.New(consent.Terms{Printer: p.tpm.ID(), Recipient: p.result.Recipient, Name: p.result.Name, Profile: catalog.Owner,
		Period: time.Second, From: time.Now().Add(-time.Second), Serial: p.grants.NextSerial(p.result.Recipient)})
	if err != nil {
		t.Fatal(err)
	}
	env, err := consent.Sign(g, p.owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.grants.Put(env, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func (p *printer) dial(consent.Grant) (telemetry.Link, error) {
	cfg, err := uplink.FromEnrolment(p.result, p.tpm.TLSKey(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	cfg.Offer = func(b []byte, _ bool) { p.offers <- string(b) }
	return uplink.Dial(cfg)
}

// run runs the printer's telemetry until stop is called.
func (p *printer) run(t *testing.T, state string) (stop func()) {
	t.Helper()
	m := telemetry.NewMachine()
	m.Set(seam.Status{Phase: seam.PhaseIdle, NHeaters: 1, Heaters: [seam.MaxHeaters]seam.Heater{{ID: 0, Actual: 23_400}}})
	col, err := telemetry.New(telemetry.Config{Grants: p.grants, Quoter: p.tpm, Dial: p.dial, StateDir: state,
		Sources: []telemetry.Source{m, telemetry.Agent{Release: 1, Boot: p.tpm.BootCount(), Started: time.Now()}}, Loaded: m.Loaded,
		Sent: func(_ evidence.RecipientID, f []byte) { p.frames <- f }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- col.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("telemetry: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func clientTLS(t *testing.T, ready store.Event) *tls.Config {
	t.Helper()
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots(t, ready.CA)}
}
