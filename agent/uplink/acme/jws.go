package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	maxAnswer = 64 << 10
	badNonce  = "urn:ietf:params:acme:error:badNonce"
	// nonceTries bounds how often a request is sent again because its nonce was too old.
	nonceTries = 3
)

// Problem is why a server refuses (RFC 7807).
type Problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
	Status int    `json:"status"`
}

// Error is the server's words, as far as they are printable ASCII.
func (p *Problem) Error() string {
	text := strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:") + ": " + p.Detail
	return "the ACME server refuses: " + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text[:min(len(text), 300)])
}

// directory is where things are at a server.
type directory struct {
	NewNonce   string `json:"newNonce"`
	NewAccount string `json:"newAccount"`
	NewOrder   string `json:"newOrder"`
}

// jwk is the public half of a P-256 key (RFC 7517), its members in the order in which a
// thumbprint takes them (RFC 7638).
type jwk struct {
	Crv string `json:"crv"`
	Kty string `json:"kty"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

// header is the protected one of a request (RFC 8555, section 6.2): Key or Kid.
type header struct {
	Alg   string `json:"alg"`
	Nonce string `json:"nonce"`
	URL   string `json:"url"`
	Key   *jwk   `json:"jwk,omitempty"`
	Kid   string `json:"kid,omitempty"`
}

// account is an account at a server.
type account struct {
	client     *http.Client
	dir        directory
	key        *ecdsa.PrivateKey
	public     jwk
	thumbprint string
	kid        string // "" until the server has made it
	nonce      string // the next one; "" if there is none
}

func newAccount(ctx context.Context, client *http.Client, at string) (*account, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	enc := base64.RawURLEncoding.EncodeToString
	a := &account{client: client, key: key, public: jwk{"P-256", "EC", enc(point[1:33]), enc(point[33:])}}
	text, err := json.Marshal(a.public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	a.thumbprint = enc(sum[:])
	if err := a.get(ctx, at, &a.dir); err != nil {
		return nil, err
	}
	a.kid, err = a.post(ctx, a.dir.NewAccount, struct {
		Agreed bool `json:"termsOfServiceAgreed"`
	}{true}, nil)
	return a, err
}

// get reads the directory.
func (a *account) get(ctx context.Context, at string, into any) error {
	body, _, err := a.do(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	return decode(body, into)
}

// post sends a signed payload, nil for what RFC 8555 calls POST-as-GET, and returns the
// answer's Location. A nonce that the server does not know any more is replaced.
func (a *account) post(ctx context.Context, at string, payload, into any) (location string, err error) {
	for try := 1; ; try++ {
		if a.nonce == "" {
			if _, _, err := a.do(ctx, http.MethodHead, a.dir.NewNonce, nil); err != nil {
				return "", err
			}
		}
		signed, err := a.sign(at, payload)
		if err != nil {
			return "", err
		}
		body, location, err := a.do(ctx, http.MethodPost, at, signed)
		if p, ok := errors.AsType[*Problem](err); ok && p.Type == badNonce && try < nonceTries {
			continue
		}
		if err != nil {
			return "", err
		}
		return location, decode(body, into)
	}
}

// sign makes a flattened JWS (RFC 7515) with ES256.
func (a *account) sign(at string, payload any) ([]byte, error) {
	h := header{Alg: "ES256", Nonce: a.nonce, URL: at, Kid: a.kid}
	a.nonce = ""
	if a.kid == "" {
		h.Key = &a.public
	}
	protected, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	var body []byte
	if payload != nil {
		if body, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	enc := base64.RawURLEncoding.EncodeToString
	input := enc(protected) + "." + enc(body)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, a.key, digest[:])
	if err != nil {
		return nil, err
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return json.Marshal(struct {
		Protected string `json:"protected"`
		Payload   string `json:"payload"`
		Signature string `json:"signature"`
	}{enc(protected), enc(body), enc(sig)})
}

// do sends one request and keeps the nonce that comes with its answer.
func (a *account) do(ctx context.Context, method, at string, body []byte) (answer []byte, location string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil || req.URL.Scheme != "https" {
		return nil, "", errors.New("the server, or its directory, names an address that is not an https URL")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/jose+json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, "", fmt.Errorf("read the server's answer: %w", err)
	}
	if len(answer) > maxAnswer {
		return nil, "", errors.New("the server's answer is too long")
	}
	if n := resp.Header.Get("Replay-Nonce"); n != "" {
		a.nonce = n
	}
	if resp.StatusCode/100 != 2 {
		p := &Problem{}
		if json.Unmarshal(answer, p) != nil || p.Type == "" {
			return nil, "", fmt.Errorf("the server answers with status %d", resp.StatusCode)
		}
		return nil, "", p
	}
	return answer, resp.Header.Get("Location"), nil
}
