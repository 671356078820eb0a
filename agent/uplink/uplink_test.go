package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/broker"
	"platen/agent/fleet/ca"
)

var me = evidence.PrinterID{4, 2}

// identity makes a client certificate for a printer.
func identity(t *testing.T, a *ca.CA, id evidence.PrinterID) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Client(&x509.CertificateRequest{PublicKey: key.Public()}, id)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func authority(t *testing.T) *ca.CA {
	t.Helper()
	a, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func server(t *testing.T, a *ca.CA, hosts ...string) *tls.Config {
	t.Helper()
	cert, err := a.Server(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientCAs: a.Pool()}
}

// desk is the handler of a broker that keeps what it gets.
type desk struct {
	mu     sync.Mutex
	frames []string
	fail   error
}

func (d *desk) Frame(_ evidence.PrinterID, f []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		d.frames = append(d.frames, string(f))
	}
	return d.fail
}

func (d *desk) Nonce(id evidence.PrinterID) []byte { return append([]byte("nonce for "), id[:2]...) }

func (d *desk) Known(id evidence.PrinterID) bool { return true }

func (d *desk) Listens(evidence.PrinterID) {}

func (d *desk) got() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.frames...)
}

func startBroker(t *testing.T, a *ca.CA, h broker.Handler) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Config{Listen: "127.0.0.1:0", TLS: server(t, a, "127.0.0.1"), Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func dial(t *testing.T, a *ca.CA, addr string) *Link {
	t.Helper()
	l, err := Dial(Config{Broker: addr, Roots: a.Pool(), Certificate: identity(t, a, me), Printer: me})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, l) })
	return l
}

// shut closes a link and holds it to its word.
func shut(t *testing.T, l *Link) {
	t.Helper()
	begin := time.Now()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("closing took %v", d)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestFramesArriveAndNoncesComeBack(t *testing.T) {
	a, d := authority(t), &desk{}
	b := startBroker(t, a, d)
	l := dial(t, a, b.Addr())
	nonce, err := l.Nonce(within(t, 10*time.Second))
	if err != nil || string(nonce) != "nonce for \x04\x02" {
		t.Fatalf("nonce %q, %v", nonce, err)
	}
	if err := l.Publish(within(t, time.Minute), []byte("frame")); err != nil {
		t.Fatal(err)
	}
	if got := d.got(); len(got) != 1 || got[0] != "frame" {
		t.Errorf("arrived: %q", got)
	}
	// What could not be stored is not acknowledged.
	d.mu.Lock()
	d.fail = errors.New("disk is full")
	d.mu.Unlock()
	if err := l.Publish(within(t, 5*time.Second), []byte("lost")); err == nil {
		t.Error("a frame that was not kept was acknowledged")
	}
}

func TestLinkComesBackAfterTheBroker(t *testing.T) {
	a, d := authority(t), &desk{}
	b := startBroker(t, a, d)
	addr := b.Addr()
	l := dial(t, a, addr)
	if _, err := l.Nonce(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(within(t, 5*time.Second), []byte("into the void")); err == nil {
		t.Error("a frame was acknowledged by nobody")
	}
	again, err := broker.Start(broker.Config{Listen: addr, TLS: server(t, a, "127.0.0.1"), Handler: d})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	ctx := within(t, 15*time.Second)
	for {
		if _, err := l.Nonce(ctx); err != nil {
			t.Fatal(err)
		}
		if l.Publish(ctx, []byte("back")) == nil {
			break
		}
	}
}

// T01: nobody but the pinned broker gets an application byte.
func TestOnlyThePinnedBrokerIsTalkedTo(t *testing.T) {
	good, rogue := authority(t), authority(t)
	old := server(t, good, "127.0.0.1")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	pin := good.Pool()
	day := 24 * time.Hour
	for _, c := range []struct {
		name string
		conf *tls.Config
		want bool
	}{
		{"control", server(t, good, "127.0.0.1"), true},
		{"rogue CA", server(t, rogue, "127.0.0.1"), false},
		{"another name", server(t, good, "broker.example"), false},
		{"downgrade to TLS 1.2", old, false},
		{"pinned itself, control", pinned(t, pin, -day, day), true},
		{"pinned itself, but expired", pinned(t, pin, -2*day, -day), false},
		{"pinned itself, not valid yet", pinned(t, pin, day, 2*day), false},
		{"a printer's certificate", &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{identity(t, good, me)}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln, err := tls.Listen("tcp", "127.0.0.1:0", c.conf)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			heard := make(chan int, 8)
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					b := make([]byte, 64)
					_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
					n, _ := conn.Read(b)
					select {
					case heard <- n:
					default:
					}
					_ = conn.Close()
				}
			})
			l, err := Dial(Config{Broker: ln.Addr().String(), Roots: pin, Certificate: identity(t, good, me), Printer: me})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, l)
			if n := <-heard; (n > 0) != c.want {
				t.Errorf("the server read %d bytes", n)
			}
			if !c.want {
				if _, err := l.Nonce(within(t, 300*time.Millisecond)); err == nil || strings.Contains(err.Error(), "deadline") {
					t.Errorf("the error does not say why: %v", err)
				}
			}
			_ = ln.Close()
			wg.Wait()
		})
	}
}

// pinned is a server with a certificate of its own, valid from and until so long
// from now, that is added to those trusted.
func pinned(t *testing.T, pin *x509.CertPool, from, until time.Duration) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(from)), Subject: pkix.Name{CommonName: "pinned"}, NotBefore: time.Now().Add(from),
		NotAfter: time.Now().Add(until), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	tmpl.SerialNumber.Abs(tmpl.SerialNumber)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pin.AddCert(cert)
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestStrangersAreNotLetIn(t *testing.T) {
	a, d := authority(t), &desk{}
	b := startBroker(t, a, d)
	other := evidence.PrinterID{9}
	for name, cfg := range map[string]Config{
		"another CA's certificate": {Certificate: identity(t, authority(t), me), Printer: me},
		"another printer's name":   {Certificate: identity(t, a, other), Printer: me},
	} {
		cfg.Broker, cfg.Roots = b.Addr(), a.Pool()
		l, err := Dial(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Nonce(within(t, time.Second)); err == nil {
			t.Errorf("%s: let in", name)
		}
		shut(t, l)
	}
	l := dial(t, a, b.Addr())
	if _, err := l.Nonce(within(t, time.Minute)); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestRenewedCertificateIsUsed(t *testing.T) {
	a, d := authority(t), &desk{}
	b := startBroker(t, a, d)
	now, old := identity(t, a, me), identity(t, authority(t), me)
	old.PrivateKey = now.PrivateKey
	l, err := Dial(Config{Broker: b.Addr(), Roots: a.Pool(), Certificate: old, Printer: me, Chain: func() [][]byte { return now.Certificate }})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, l)
	if _, err := l.Nonce(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}

// A broker that takes the connection and then says nothing.
func TestSilentBroker(t *testing.T) {
	a := authority(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server(t, a, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() })
		}
	})
	l, err := Dial(Config{Broker: ln.Addr().String(), Roots: a.Pool(), Certificate: identity(t, a, me), Printer: me})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := l.Nonce(within(t, 300*time.Millisecond)); err == nil {
		t.Error("a silent broker counts as reached")
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("waiting took %v", d)
	}
	shut(t, l)
	_ = ln.Close()
}

func TestDialRefusesWhatCannotWork(t *testing.T) {
	a := authority(t)
	for name, c := range map[string]Config{
		"no port":        {Broker: "example", Roots: a.Pool(), Certificate: identity(t, a, me)},
		"no CA":          {Broker: "example:1", Certificate: identity(t, a, me)},
		"no certificate": {Broker: "example:1", Roots: a.Pool()},
	} {
		if _, err := Dial(c); err == nil {
			t.Errorf("%s: dialled", name)
		}
	}
}

func TestBackoff(t *testing.T) {
	if d := backoff(0); d != 0 {
		t.Errorf("first attempt after %v", d)
	}
	for n := 1; n < 100; n++ {
		if d := backoff(n); d < backoffMin || d > backoffMax {
			t.Errorf("attempt %d after %v", n, d)
		}
	}
}
