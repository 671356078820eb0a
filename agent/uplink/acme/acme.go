// Package acme is a client of certificate authorities that speak ACME (RFC 8555) and
// certify devices by what their TPM states: the challenge device-attest-01 of
// draft-ietf-acme-device-attest.
//
// Start at [Order]. It makes an account for the one order, with a key that is in memory
// only and forgotten afterwards: nothing secret is stored, and two orders of one printer
// are linked by the printer's id alone, which is in the certificate anyway.
package acme

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Request is what a printer orders.
type Request struct {
	// Identifier is the printer's id, the permanent identifier of the order.
	Identifier string
	// CSR is the certificate request in DER, for the key that Attest is about.
	CSR []byte
	// Attest makes the attestation object over a digest, that of the key authorization.
	Attest func(ctx context.Context, digest [32]byte) ([]byte, error)
}

const (
	challengeType = "device-attest-01"
	maxCerts      = 4
	// firstWait and lastWait bound how often a server is asked that is not done yet.
	firstWait, lastWait = 200 * time.Millisecond, 5 * time.Second
)

// identifier is one of an order.
type identifier struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// status is that of an order, an authorization or a challenge.
type status struct {
	Status string   `json:"status"`
	Error  *Problem `json:"error"`

	Authorizations []string    `json:"authorizations"` // of an order
	Finalize       string      `json:"finalize"`
	Certificate    string      `json:"certificate"`
	Challenges     []challenge `json:"challenges"` // of an authorization
}

type challenge struct {
	Type  string   `json:"type"`
	URL   string   `json:"url"`
	Token string   `json:"token"`
	Error *Problem `json:"error"`
}

// Order has the authority whose ACME directory is at the https URL directory certify a
// key, and returns the chain in DER, the leaf first. client has to trust the authority and
// to follow no redirection. ctx bounds all of it.
func Order(ctx context.Context, client *http.Client, directory string, req Request) ([][]byte, error) {
	a, err := newAccount(ctx, client, directory)
	if err != nil {
		return nil, fmt.Errorf("order a certificate by ACME: %w", err)
	}
	chain, err := a.order(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("order a certificate by ACME: %w", err)
	}
	return chain, nil
}

func (a *account) order(ctx context.Context, req Request) ([][]byte, error) {
	var o status
	at, err := a.post(ctx, a.dir.NewOrder, struct {
		Identifiers []identifier `json:"identifiers"`
	}{[]identifier{{"permanent-identifier", req.Identifier}}}, &o)
	if err != nil {
		return nil, err
	}
	if len(o.Authorizations) != 1 {
		return nil, errors.New("the server wants other authorizations than that of the printer's id")
	}
	if err := a.authorize(ctx, o.Authorizations[0], req); err != nil {
		return nil, err
	}
	finalize := struct {
		CSR string `json:"csr"`
	}{base64.RawURLEncoding.EncodeToString(req.CSR)}
	if _, err := a.post(ctx, o.Finalize, finalize, &o); err != nil {
		return nil, err
	}
	if o, err = a.settled(ctx, at, o); err != nil {
		return nil, err
	}
	return a.download(ctx, o.Certificate)
}

// authorize answers the challenge of an authorization and waits until it is valid.
func (a *account) authorize(ctx context.Context, at string, req Request) error {
	var z status
	if _, err := a.post(ctx, at, nil, &z); err != nil {
		return err
	}
	if z.Status == "valid" {
		return nil
	}
	for _, c := range z.Challenges {
		if c.Type != challengeType {
			continue
		}
		object, err := req.Attest(ctx, sha256.Sum256([]byte(c.Token+"."+a.thumbprint)))
		if err != nil {
			return err
		}
		answer := struct {
			AttObj string `json:"attObj"`
		}{base64.RawURLEncoding.EncodeToString(object)}
		if _, err := a.post(ctx, c.URL, answer, nil); err != nil {
			return err
		}
		_, err = a.settled(ctx, at, z)
		return err
	}
	return errors.New("the server offers no challenge " + challengeType)
}

// settled asks until what is at a URL is valid, or cannot become so any more.
func (a *account) settled(ctx context.Context, at string, now status) (status, error) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		if err := now.problem(); err != nil || now.Status == "valid" {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, fmt.Errorf("the server is not done: %w", ctx.Err())
		case <-time.After(wait):
		}
		now = status{}
		if _, err := a.post(ctx, at, nil, &now); err != nil {
			return now, err
		}
	}
}

// problem is why something cannot become valid any more. Some servers leave an authorization
// as it is whose challenge has failed.
func (s status) problem() error {
	var why error
	for _, c := range s.Challenges {
		if c.Error != nil {
			why = c.Error
		}
	}
	if s.Error != nil {
		why = s.Error
	}
	switch s.Status {
	case "invalid", "expired", "revoked", "deactivated":
		if why == nil {
			why = errors.New("the server says that it is " + s.Status)
		}
	case "valid":
		return nil
	}
	return why
}

// download fetches the chain.
func (a *account) download(ctx context.Context, at string) ([][]byte, error) {
	var text pemText
	if _, err := a.post(ctx, at, nil, &text); err != nil {
		return nil, err
	}
	var chain [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	if len(chain) == 0 || len(chain) > maxCerts {
		return nil, fmt.Errorf("the server sent %d certificates, want 1 to %d", len(chain), maxCerts)
	}
	return chain, nil
}

// pemText takes an answer as it is.
type pemText []byte

// decode reads an answer into what it is for.
func decode(body []byte, into any) error {
	if text, ok := into.(*pemText); ok {
		*text = body
		return nil
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("the server's answer is not JSON of ACME")
	}
	return nil
}
