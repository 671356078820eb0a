package ca

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/verify"
)

// attestationLife is how long the certificate of an attestation key lasts: a printer gets
// a new one each time it needs one.
const attestationLife = 24 * time.Hour

// Names of the TCG's credential profiles and of RFC 4043.
var (
	oidAIKCertificate      = asn1.ObjectIdentifier{2, 23, 133, 8, 3} // tcg-kp-AIKCertificate
	oidPermanentIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 3}
	oidSAN                 = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// permanentIdentifier is that of RFC 4043 without an assigner.
type permanentIdentifier struct {
	Value string `asn1:"utf8"`
}

// Attestation certifies a printer's attestation key, which the caller has checked, as Web
// Authentication, section 8.3.1, wants it: no subject, the TPM's name, and besides the
// printer's id as a permanent identifier. It returns the chain in DER, the leaf first.
func (c *CA) Attestation(key *rsa.PublicKey, r verify.Record) ([][]byte, error) {
	tmpl, err := template("", attestationLife)
	if err != nil {
		return nil, fmt.Errorf("certify an attestation key: %w", err)
	}
	tmpl.Subject = pkix.Name{}
	san, err := attestationName(r.Printer, r.TPM)
	if err != nil {
		return nil, fmt.Errorf("certify an attestation key: %w", err)
	}
	tmpl.ExtraExtensions = []pkix.Extension{{Id: oidSAN, Critical: true, Value: san}}
	tmpl.KeyUsage, tmpl.UnknownExtKeyUsage = x509.KeyUsageDigitalSignature, []asn1.ObjectIdentifier{oidAIKCertificate}
	tmpl.BasicConstraintsValid = true
	der, err := c.sign(tmpl, key)
	if err != nil {
		return nil, fmt.Errorf("certify an attestation key: %w", err)
	}
	return [][]byte{der}, nil
}

// attestationName is the subject alternative name: the TPM as its maker names it, and the printer.
func attestationName(id evidence.PrinterID, tpm verify.TPMName) ([]byte, error) {
	const none = "id:00000000" // of the factory list: nobody certified it
	var dn pkix.RDNSequence
	for i, text := range []string{cmp.Or(tpm.Manufacturer, none), cmp.Or(tpm.Model, "unknown"), cmp.Or(tpm.Version, none)} {
		dn = append(dn, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, i + 1}, Value: text}})
	}
	directory, err := asn1.Marshal(dn)
	if err != nil {
		return nil, err
	}
	value, err := asn1.Marshal(permanentIdentifier{id.String()})
	if err != nil {
		return nil, err
	}
	kind, err := asn1.Marshal(oidPermanentIdentifier)
	if err != nil {
		return nil, err
	}
	explicit, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: value})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal([]asn1.RawValue{
		{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: directory},
		{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(kind, explicit...)},
	})
}
