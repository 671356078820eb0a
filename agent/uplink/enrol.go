package uplink

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"platen/agent/evidence"
)

const (
	enrolTime   = 30 * time.Second
	maxResponse = 32 << 10
	maxReason   = 200
)

// Enroller is the printer's TPM as enrolment needs it; attest.TPM is one.
type Enroller interface {
	// ID is the printer's id.
	ID() evidence.PrinterID
	// EnrolRequest makes the first message; claim may be empty.
	EnrolRequest(ctx context.Context, claim string) ([]byte, error)
	// Activate answers the challenge to a request.
	Activate(ctx context.Context, request, challenge []byte) ([]byte, error)
}

// RefusedError is the error of an enrolment that the service refused.
type RefusedError struct {
	Status int    // of HTTP
	Reason string // as the service gave it, printable ASCII
}

// Error says why, and what to do.
func (e *RefusedError) Error() string {
	hint := "see the fleet's log"
	switch {
	case strings.HasPrefix(e.Reason, "claim"):
		hint = "ask the operator for a new code: platen-fleet claim new"
	case e.Reason == "revoked":
		hint = "the operator took this printer out of the fleet: platen-fleet revoke --undo takes that back"
	case strings.HasPrefix(e.Reason, "untrusted_tpm"):
		hint = "the operator has to trust the maker of this TPM: platen-fleet up --ek-ca"
	}
	return fmt.Sprintf("enrolment was refused (%s): %s", e.Reason, hint)
}

// Enrol enrols the printer at the service at base (an https URL), whose certificate
// has to chain to roots. claim is the code the operator gave, or empty if the
// service knows this TPM. key is the public half of the client key in the TPM: a
// certificate for another key is refused. What it returns the caller stores.
func Enrol(ctx context.Context, base string, roots *x509.CertPool, claim string, tpm Enroller, key crypto.PublicKey) (evidence.EnrolResult, error) {
	var none evidence.EnrolResult
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || roots == nil {
		return none, errors.New("enrolment needs an https URL and the CA that its certificate chains to")
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTime)
	defer cancel()
	c := client(roots)
	defer c.CloseIdleConnections()
	request, err := tpm.EnrolRequest(ctx, claim)
	if err != nil {
		return none, err
	}
	challenge, err := post(ctx, c, u.JoinPath(evidence.EnrolBeginPath).String(), request)
	if err != nil {
		return none, err
	}
	answer, err := tpm.Activate(ctx, request, challenge)
	if err != nil {
		return none, err
	}
	b, err := post(ctx, c, u.JoinPath(evidence.EnrolFinishPath).String(), answer)
	if err != nil {
		return none, err
	}
	res, err := evidence.DecodeEnrolResult(b)
	if err != nil {
		return none, fmt.Errorf("read the result of the enrolment: %w", err)
	}
	return res, checkResult(res, tpm.ID(), key)
}

// client is an HTTP client that trusts roots, speaks TLS 1.3, follows nothing and
// asks no proxy.
func client(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: Watch(&http.Transport{
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots},
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  20 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
			MaxConnsPerHost:        1,
		}, nil),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func post(ctx context.Context, c *http.Client, to string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	req.Header.Set("Content-Type", "application/cbor")
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("enrol: read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &RefusedError{resp.StatusCode, plain(b)}
	}
	if len(b) > maxResponse {
		return nil, errors.New("enrol: the answer is too long")
	}
	return b, nil
}

// plain keeps the printable ASCII of the first line of a server's answer.
func plain(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = line[:min(len(line), maxReason)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(line))
}

// checkResult refuses a result that is not for this printer and its key.
func checkResult(res evidence.EnrolResult, id evidence.PrinterID, key crypto.PublicKey) error {
	if res.Printer != id || res.Topic != evidence.BatchTopic(id) {
		return errors.New("the result of the enrolment is for another printer")
	}
	leaf, err := x509.ParseCertificate(res.Certs[0])
	if err != nil {
		return errors.New("the result of the enrolment holds no certificate")
	}
	pub, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(key) {
		return errors.New("the certificate is for another key than this printer's")
	}
	_, err = pool(res.CAs)
	return err
}

func pool(der [][]byte) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	for _, d := range der {
		c, err := x509.ParseCertificate(d)
		if err != nil {
			return nil, errors.New("a CA's certificate cannot be read")
		}
		p.AddCert(c)
	}
	return p, nil
}

// FromEnrolment is the configuration of the link that an enrolment allows. key is
// the client key in the TPM.
func FromEnrolment(res evidence.EnrolResult, key crypto.Signer, log *slog.Logger) (Config, error) {
	if err := checkResult(res, res.Printer, key.Public()); err != nil {
		return Config{}, err
	}
	roots, err := pool(res.CAs)
	if err != nil {
		return Config{}, err
	}
	return Config{Broker: res.Broker, Roots: roots, Printer: res.Printer, Nonce: res.Nonce, Logger: log,
		Certificate: tls.Certificate{Certificate: res.Certs, PrivateKey: key}}, nil
}

// Due reports whether the client certificate of an enrolment should be renewed by
// enrolling again: a third of its life or less is left.
func Due(res evidence.EnrolResult, now time.Time) bool {
	if len(res.Certs) == 0 {
		return true
	}
	c, err := x509.ParseCertificate(res.Certs[0])
	if err != nil {
		return true
	}
	return c.NotAfter.Sub(now) <= c.NotAfter.Sub(c.NotBefore)/3
}
