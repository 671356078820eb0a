package verify

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"regexp"
	"slices"
)

// What the TCG's EK Credential Profile 2.5, section 3.5, has makers put into the certificate
// of an endorsement key.
var (
	oidEKCertificate = asn1.ObjectIdentifier{2, 23, 133, 8, 1} // tcg-kp-EKCertificate
	oidManufacturer  = asn1.ObjectIdentifier{2, 23, 133, 2, 1} // at-tpmManufacturer
	oidModel         = asn1.ObjectIdentifier{2, 23, 133, 2, 2} // at-tpmModel
	oidVersion       = asn1.ObjectIdentifier{2, 23, 133, 2, 3} // at-tpmVersion
	// oidSAN is the subject alternative name, which is critical for these names; Go knows none of them.
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// manufacturer is how a maker is named: by its id in the TCG's registry.
var manufacturer = regexp.MustCompile(`^id:[0-9A-Fa-f]{8}$`)

// checkCert checks that a trusted maker says of this key that it is a TPM's endorsement key.
// A certificate that says less than the profile asks for is not enough, whoever signed it: a
// maker's authority may sign other things; its TPM can be put on the factory list.
func (p Policy) checkCert(der []byte, key crypto.PublicKey) (*TPMName, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("the endorsement certificate is malformed")
	}
	same, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !same.Equal(key):
		return nil, errors.New("the endorsement certificate is for another key")
	case cert.IsCA || !slices.ContainsFunc(cert.UnknownExtKeyUsage, oidEKCertificate.Equal):
		return nil, errors.New("the certificate is not one of an endorsement key: its usage 2.23.133.8.1 is missing")
	case nameOfTPM(cert) == nil:
		return nil, errors.New("the endorsement certificate does not name the TPM's manufacturer, model and version")
	}
	cert.UnhandledCriticalExtensions = slices.DeleteFunc(cert.UnhandledCriticalExtensions, oidSAN.Equal)
	_, err = cert.Verify(x509.VerifyOptions{Roots: p.Roots, CurrentTime: p.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return nil, errors.New("the endorsement certificate, or its maker's, is expired or not valid yet")
	}
	if err != nil {
		return nil, errors.New("the endorsement certificate chains to no trusted maker")
	}
	return nameOfTPM(cert), nil
}

// TPMName is how its maker names a TPM.
type TPMName struct {
	// Manufacturer is "id:" and eight hexadecimal digits; Model and Version are the maker's.
	Manufacturer, Model, Version string
}

// nameOfTPM is the three attributes in the subject alternative name, nil if they are not all there.
func nameOfTPM(cert *x509.Certificate) *TPMName {
	at := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSAN) })
	if at < 0 {
		return nil
	}
	var names []asn1.RawValue
	if rest, err := asn1.Unmarshal(cert.Extensions[at].Value, &names); err != nil || len(rest) != 0 {
		return nil
	}
	found := map[string]string{}
	for _, n := range names {
		if n.Class != asn1.ClassContextSpecific || n.Tag != 4 { // directoryName
			continue
		}
		var dn pkix.RDNSequence
		if rest, err := asn1.Unmarshal(n.Bytes, &dn); err != nil || len(rest) != 0 {
			return nil
		}
		for _, set := range dn {
			for _, a := range set {
				if text, ok := a.Value.(string); ok {
					found[a.Type.String()] = text
				}
			}
		}
	}
	n := &TPMName{found[oidManufacturer.String()], found[oidModel.String()], found[oidVersion.String()]}
	if !manufacturer.MatchString(n.Manufacturer) || n.Model == "" || n.Version == "" {
		return nil
	}
	return n
}
