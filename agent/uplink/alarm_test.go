package uplink

import (
	"bytes"
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
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"platen/agent/evidence"
)

// secretText is in everything that the clients of the matrix would say.
const secretText = "nobody-but-the-fleet-reads-this"

// issuer makes certificates.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	is := &issuer{t: t}
	der, key := is.issue(func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage, c.IPAddresses = true, true, x509.KeyUsageCertSign, nil, nil
	})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	is.cert, is.key = cert, key
	return is
}

// issue certifies a new key for a server at 127.0.0.1, or as change has it.
func (is *issuer) issue(change func(*x509.Certificate)) ([]byte, *ecdsa.PrivateKey) {
	is.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		is.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "fleet"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if change != nil {
		change(tmpl)
	}
	parent, by := is.cert, is.key
	if parent == nil {
		parent, by = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), by)
	if err != nil {
		is.t.Fatal(err)
	}
	return der, key
}

func (is *issuer) tls(change func(*x509.Certificate)) *tls.Config {
	der, key := is.issue(change)
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// end is the other end of a connection, whoever that is. It keeps what came in clear, be
// it by decryption.
type end struct {
	ln   net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	wire bytes.Buffer // as it came
	said bytes.Buffer // application bytes
}

// listen serves connections: with cfg as a TLS server, else with raw.
func listen(t *testing.T, cfg *tls.Config, raw func(net.Conn)) *end {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &end{ln: ln}
	e.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			e.wg.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(time.Minute))
				if raw != nil {
					raw(&tapped{conn, e})
					return
				}
				c := tls.Server(&tapped{conn, e}, cfg)
				b := make([]byte, 4096)
				n, err := c.Read(b) // after the handshake
				e.keep(&e.said, b[:n])
				if err == nil {
					c.Close()
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); e.wg.Wait() })
	return e
}

func (e *end) addr() string { return e.ln.Addr().String() }

func (e *end) keep(to *bytes.Buffer, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	to.Write(b)
}

// heard is the number of application bytes, and whether anything could be read on the wire.
func (e *end) heard() (n int, clear bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said.Len(), strings.Contains(e.wire.String(), secretText) || strings.Contains(e.wire.String(), "MQTT") || strings.Contains(e.wire.String(), "HTTP/1")
}

// tapped keeps what comes.
type tapped struct {
	net.Conn
	e *end
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.e.keep(&c.e.wire, b[:n])
	return n, err
}

// teller is a TPM whose messages are told from anything else.
type teller struct{}

func (teller) ID() evidence.PrinterID { return evidence.PrinterID{1} }
func (teller) EnrolRequest(context.Context, string) ([]byte, error) {
	return []byte(secretText), nil
}
func (teller) Activate(context.Context, []byte, []byte) ([]byte, error) { return nil, errors.New("no") }

// clients are the three ways by which an agent says something to a server. Each returns
// the code of its alarm, "" for none.
func clients(roots *x509.CertPool, cert tls.Certificate) map[string]func(*testing.T, string) string {
	code := func(err error) string {
		if a, ok := errors.AsType[*AlarmError](err); ok {
			return a.ErrorCode()
		}
		return ""
	}
	return map[string]func(*testing.T, string) string{
		"enrolment": func(t *testing.T, addr string) string {
			_, err := Enrol(t.Context(), "https://"+addr, roots, secretText, teller{}, cert.Leaf.PublicKey)
			return code(err)
		},
		"https": func(t *testing.T, addr string) string {
			told := ""
			c := &http.Client{Transport: Watch(&http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}}, func(c string) { told = c })}
			defer c.CloseIdleConnections()
			resp, err := c.Get("https://" + addr + "/" + secretText)
			if err == nil {
				resp.Body.Close()
			}
			if told != code(err) {
				t.Errorf("told %q, the error has %q", told, code(err))
			}
			return told
		},
		"mqtt": func(t *testing.T, addr string) string {
			alarms := make(chan string, 8)
			l, err := Dial(Config{Broker: addr, Roots: roots, Certificate: cert, Printer: evidence.PrinterID{1}, Alarm: func(c string) { alarms <- c }})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			// Whoever is right is told from whoever is not by what the link says of its attempts.
			for {
				l.mu.Lock()
				last, state := l.lastEr, l.state
				l.mu.Unlock()
				select {
				case c := <-alarms:
					return c
				default:
				}
				if last != nil && code(last) == "" {
					return ""
				}
				select {
				case <-state:
				case c := <-alarms:
					return c
				case <-time.After(time.Minute):
					t.Fatal("the link says nothing of its attempts")
				}
			}
		},
	}
}

// relay passes everything on to another end, and lets change have what comes back.
func relay(t *testing.T, to string, change func([]byte)) func(net.Conn) {
	return func(near net.Conn) {
		far, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		go func() {
			io.Copy(far, near)
			far.Close()
		}()
		b := make([]byte, 4096)
		for {
			n, err := far.Read(b)
			change(b[:n])
			if n > 0 {
				near.Write(b[:n])
			}
			if err != nil {
				return
			}
		}
	}
}

// TestWhoeverItIs is T01: whatever is at the other end but the fleet's server, not one byte
// of what the printer has to say goes there, and the alarm says what it was.
func TestWhoeverItIs(t *testing.T) {
	fleet, rogue := newIssuer(t), newIssuer(t)
	roots := x509.NewCertPool()
	roots.AddCert(fleet.cert)
	der, key := fleet.issue(func(c *x509.Certificate) {
		c.Subject.CommonName, c.ExtKeyUsage, c.IPAddresses = evidence.PrinterID{1}.String(), []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil
	})
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	genuine := listen(t, fleet.tls(nil), nil)
	self := &issuer{t: t}
	old := fleet.tls(nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	strict := fleet.tls(nil)
	strict.ClientAuth, strict.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool() // knows the printer's authority no more
	once := sync.Mutex{}
	for name, c := range map[string]struct {
		cfg  *tls.Config
		raw  func(net.Conn)
		want string
	}{
		"MITM with a certificate of its own": {cfg: nil, raw: func(c net.Conn) {
			s := tls.Server(c, rogue.tls(nil))
			if s.Handshake() == nil {
				relay(t, genuine.addr(), func([]byte) {})(s)
			}
		}, want: "tls-authority"},
		"MITM that changes a bit": {raw: relay(t, genuine.addr(), func(b []byte) {
			once.Lock()
			defer once.Unlock()
			if len(b) > 200 {
				b[len(b)-20] ^= 1
			}
		}), want: "tls-broken"},
		"downgrade to TLS 1.2":         {cfg: old, want: "tls-version"},
		"another authority":            {cfg: rogue.tls(nil), want: "tls-authority"},
		"self-signed":                  {cfg: self.tls(nil), want: "tls-authority"},
		"another name, as DNS may lie": {cfg: fleet.tls(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }), want: "tls-name"},
		"expired":                      {cfg: fleet.tls(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), want: "tls-expired"},
		"not yet valid":                {cfg: fleet.tls(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }), want: "tls-not-yet-valid"},
		"not for a server":             {cfg: fleet.tls(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), want: "tls-usage"},
		"another printer":              {cfg: &tls.Config{Certificates: []tls.Certificate{cert}}, want: "tls-name"},
		"a captive portal": {raw: func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			io.Copy(io.Discard, c)
		}, want: "tls-none"},
		"no TLS at all": {raw: func(c net.Conn) {
			io.WriteString(c, "220 who are you\r\n")
			io.Copy(io.Discard, c)
		}, want: "tls-none"},
	} {
		for how, say := range clients(roots, cert) {
			t.Run(name+"/"+how, func(t *testing.T) {
				before, _ := genuine.heard()
				e := listen(t, c.cfg, c.raw)
				if got := say(t, e.addr()); got != c.want {
					t.Errorf("alarm %q, want %q", got, c.want)
				}
				if n, clear := e.heard(); n != 0 || clear {
					t.Errorf("%d application bytes, something in clear: %t", n, clear)
				}
				if after, _ := genuine.heard(); after != before {
					t.Errorf("%d bytes reached the fleet through it", after-before)
				}
			})
		}
	}
	// A server that does not take the printer's certificate any more is sent nothing that it
	// reads. In TLS 1.3 it may say so, or be gone before that is heard.
	t.Run("revoked", func(t *testing.T) {
		e := listen(t, strict, nil)
		if got := clients(roots, cert)["mqtt"](t, e.addr()); got != "tls-refused" && got != "" {
			t.Errorf("alarm %q", got)
		}
		if n, _ := e.heard(); n != 0 {
			t.Errorf("%d application bytes", n)
		}
	})
	// The control: the fleet's own server is told, and raises no alarm.
	for how, say := range clients(roots, cert) {
		before, _ := genuine.heard()
		if got := say(t, genuine.addr()); got != "" {
			t.Errorf("%s: alarm %q at the fleet's own server", how, got)
		}
		if after, _ := genuine.heard(); after == before {
			t.Errorf("%s: the fleet's own server heard nothing", how)
		}
	}
}
