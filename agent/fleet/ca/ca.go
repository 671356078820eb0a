// Package ca is the operator's certificate authority: one key that certifies the
// fleet's servers and, for a short time each, the client keys of enrolled printers.
//
// It lives in a folder of its own: ca.pem, which printers and operators may have,
// ca.key, which stays where it is, and crl.pem, the certificates that were revoked, for
// brokers that are not the fleet's. Start at [Open].
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"platen/agent/evidence"
	"platen/updater/keyfile"
)

const (
	// CertName is the file of the authority's certificate in its folder, in PEM.
	CertName = "ca.pem"
	keyName  = "ca.key"

	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 90 * 24 * time.Hour
	// ClientLife is how long a printer's certificate lasts.
	ClientLife = 7 * 24 * time.Hour
	// skew is how far the clock of a peer may be behind.
	skew = time.Hour
)

// CA is an authority that has been opened. Its methods may be called from any
// goroutine.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open opens the authority in dir, or makes one there if the folder has none.
func Open(dir string) (*CA, error) {
	if _, err := os.Stat(filepath.Join(dir, CertName)); errors.Is(err, os.ErrNotExist) {
		if err := create(dir); err != nil {
			return nil, fmt.Errorf("make a certificate authority in %s: %w", dir, err)
		}
	}
	c := &CA{dir: dir}
	der, err := keyfile.LoadBlock(c.Path(), keyfile.Certificate)
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority: %w", err)
	}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path(), err)
	}
	key, err := keyfile.Load(filepath.Join(dir, keyName))
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority: %w", err)
	}
	var ok bool
	if c.key, ok = key.(*ecdsa.PrivateKey); !ok || !c.key.PublicKey.Equal(c.cert.PublicKey) {
		return nil, fmt.Errorf("%s: key and certificate do not belong together", dir)
	}
	return c, nil
}

// create writes the key first: a certificate without its key would be of no use.
func create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	// No extended key usage: some TLS libraries would apply it to whole chains.
	tmpl, err := template("Platen fleet CA", caLife)
	if err != nil {
		return err
	}
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.MaxPathLenZero = true, true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, keyName), keyfile.Private, pkcs8, 0o600); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, CertName), keyfile.Certificate, der, 0o644)
}

func template(name string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-skew), NotAfter: now.Add(life)}, nil
}

// Path is the PEM file of the authority's certificate.
func (c *CA) Path() string { return filepath.Join(c.dir, CertName) }

// DER is the authority's certificate.
func (c *CA) DER() []byte { return c.cert.Raw }

// Pool holds the authority's certificate alone.
func (c *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

// Server makes a key and a certificate for a server at hosts (names or addresses).
func (c *CA) Server(hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server's key: %w", err)
	}
	tmpl, err := template("Platen fleet", serverLife)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server's certificate: %w", err)
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	tmpl.KeyUsage, tmpl.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := c.sign(tmpl, key.Public())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Client certifies the key of a printer's request, which enrolment has checked. Of
// the request nothing but the key is taken; the common name is the printer's id.
func (c *CA) Client(csr *x509.CertificateRequest, id evidence.PrinterID) ([]byte, error) {
	tmpl, err := template(id.String(), ClientLife)
	if err != nil {
		return nil, fmt.Errorf("certify a printer: %w", err)
	}
	tmpl.KeyUsage, tmpl.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := c.sign(tmpl, csr.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("certify a printer: %w", err)
	}
	return der, nil
}

// sign certifies a key by the authority's own.
func (c *CA) sign(tmpl *x509.Certificate, key any) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, tmpl, c.cert, key, c.key)
}

// crlLife is how long a list of revoked certificates is good: brokers take no client at all by one
// that has ended, and a fleet that runs writes a new one each day.
const crlLife = 30 * 24 * time.Hour

// CRLPath is the PEM file of the list of revoked certificates.
func (c *CA) CRLPath() string { return filepath.Join(c.dir, "crl.pem") }

// Revoke makes the list of revoked certificates (RFC 5280, section 5) that of revoked, in the
// place of the one before.
func (c *CA) Revoke(revoked []x509.RevocationListEntry, now time.Time) error {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(now.UnixMilli()),
		ThisUpdate: now.Add(-skew), NextUpdate: now.Add(crlLife), RevokedCertificateEntries: revoked}, c.cert, c.key)
	if err != nil {
		return fmt.Errorf("list revoked certificates: %w", err)
	}
	// Another process may do the same: whole lists take each other's place.
	f, err := os.CreateTemp(c.dir, "crl-*.pem")
	if err != nil {
		return fmt.Errorf("list revoked certificates: %w", err)
	}
	err = errors.Join(f.Close(), writePEM(f.Name(), "X509 CRL", der, 0o644), os.Chmod(f.Name(), 0o644))
	if err == nil {
		err = os.Rename(f.Name(), c.CRLPath())
	}
	if err != nil {
		return fmt.Errorf("list revoked certificates: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	return errors.Join(err, f.Sync(), f.Close())
}
