package uplink

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"

	"platen/agent/evidence"
)

// Leave hands the enrolment service at base the receipt by which a printer left its
// owner; see [Enrol] for base and roots.
func Leave(ctx context.Context, base string, roots *x509.CertPool, receipt []byte) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || roots == nil {
		return errors.New("leaving needs an https URL and the CA that its certificate chains to")
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTime)
	defer cancel()
	c := client(roots)
	defer c.CloseIdleConnections()
	_, err = post(ctx, c, u.JoinPath(evidence.LeavePath).String(), receipt)
	return err
}
