package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// AlarmError is that the other end of a connection is not who it has to be: nothing was
// sent to it. A network that is merely down is none.
type AlarmError struct {
	// Code is "tls-" and one of authority, name, expired, not-yet-valid, usage, certificate,
	// version, none, refused and broken.
	Code string
	err  error
}

// Error says what is wrong with the other end.
func (e *AlarmError) Error() string {
	return "the other end is not who it has to be (" + e.Code + "): " + e.err.Error()
}

// ErrorCode is Code.
func (e *AlarmError) ErrorCode() string { return e.Code }

// Unwrap returns the error of the handshake.
func (e *AlarmError) Unwrap() error { return e.err }

// alarm tells an error of TLS from one of the network, and says which; now is the clock
// that certificates were held against.
func alarm(err error, now time.Time) error {
	known := &AlarmError{}
	if err == nil || errors.As(err, &known) {
		return err
	}
	if code := alarmCode(err, now); code != "" {
		return &AlarmError{code, err}
	}
	return err
}

func alarmCode(err error, now time.Time) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return "tls-authority"
	case errors.As(err, &name):
		return "tls-name"
	case errors.As(err, &invalid):
		return invalidCode(invalid, now)
	case errors.As(err, &header):
		return "tls-none"
	case errors.As(err, &verification):
		return "tls-certificate"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" && !strings.Contains(err.Error(), "protocol version") {
		return "tls-refused"
	}
	// The rest has no types: it is the text of package crypto/tls.
	switch text := err.Error(); {
	case strings.Contains(text, "protocol version"):
		return "tls-version"
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "tls-none"
	case strings.Contains(text, "tls: "):
		return "tls-broken"
	}
	return ""
}

func invalidCode(e x509.CertificateInvalidError, now time.Time) string {
	switch e.Reason {
	case x509.Expired:
		if e.Cert != nil && now.Before(e.Cert.NotBefore) {
			return "tls-not-yet-valid"
		}
		return "tls-expired"
	case x509.IncompatibleUsage:
		return "tls-usage"
	}
	return "tls-certificate"
}

// Watch is a transport that has its alarms told: f is given the code of each, and returns
// at once. The errors of requests carry an *AlarmError as well.
func Watch(t http.RoundTripper, f func(code string)) http.RoundTripper { return &watched{t, f} }

type watched struct {
	inner http.RoundTripper
	tell  func(code string)
}

// RoundTrip is the inner transport's.
func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.inner.RoundTrip(r)
	err = alarm(err, time.Now())
	if a, ok := errors.AsType[*AlarmError](err); ok && w.tell != nil {
		w.tell(a.Code)
	}
	return resp, err
}

// CloseIdleConnections is the inner transport's.
func (w *watched) CloseIdleConnections() {
	if c, ok := w.inner.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
