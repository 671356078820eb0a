package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"
)

// tpmName is a critical subject alternative name as makers of TPMs write it, without the
// attributes that are left out.
func tpmName(t *testing.T, maker string, without ...int) pkix.Extension {
	t.Helper()
	var dn pkix.RDNSequence
	for i, a := range []pkix.AttributeTypeAndValue{{Type: oidManufacturer, Value: maker}, {Type: oidModel, Value: "Model"}, {Type: oidVersion, Value: "id:00010002"}} {
		if len(without) == 0 || without[0] != i {
			dn = append(dn, pkix.RelativeDistinguishedNameSET{a})
		}
	}
	inner, err := asn1.Marshal(dn)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: inner}})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidSAN, Critical: true, Value: der}
}

// TestEndorsementCertificates: each thing that the profile asks of a maker's certificate is
// asked, and its lack has words of its own.
func TestEndorsementCertificates(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	sign := func(tmpl, parent *x509.Certificate, of *ecdsa.PublicKey, by *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, of, by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	anchor, err := x509.ParseCertificate(sign(root, root, &key.PublicKey, key))
	if err != nil {
		t.Fatal(err)
	}
	p := Policy{Roots: x509.NewCertPool(), Now: func() time.Time { return now }}
	p.Roots.AddCert(anchor)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		by     *ecdsa.PrivateKey
		want   string
	}{
		"good":              {nil, key, ""},
		"other usage":       {func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}} }, key, "2.23.133.8.1"},
		"no usage":          {func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }, key, "2.23.133.8.1"},
		"an authority":      {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, key, "not one of an endorsement key"},
		"no names":          {func(c *x509.Certificate) { c.ExtraExtensions = nil }, key, "manufacturer"},
		"no manufacturer":   {func(c *x509.Certificate) { c.ExtraExtensions[0] = tpmName(t, "", 0) }, key, "manufacturer"},
		"bad manufacturer":  {func(c *x509.Certificate) { c.ExtraExtensions[0] = tpmName(t, "ACME") }, key, "manufacturer"},
		"no version":        {func(c *x509.Certificate) { c.ExtraExtensions[0] = tpmName(t, "id:00001014", 2) }, key, "manufacturer"},
		"names are garbage": {func(c *x509.Certificate) { c.ExtraExtensions[0].Value = []byte{0x30, 0x05, 1} }, key, "malformed"},
		"expired":           {func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, key, "expired"},
		"not yet valid":     {func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, key, "not valid yet"},
		"another authority": {nil, stranger, "no trusted maker"},
	} {
		ek, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(1, 0, 0),
			KeyUsage: x509.KeyUsageKeyAgreement, UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidEKCertificate}, ExtraExtensions: []pkix.Extension{tpmName(t, "id:00001014")}}
		if c.change != nil {
			c.change(cert)
		}
		parent := *root
		parent.PublicKey = c.by.Public() // so that a stranger can sign in the maker's name
		_, err = p.checkCert(sign(cert, &parent, &ek.PublicKey, c.by), &ek.PublicKey)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
