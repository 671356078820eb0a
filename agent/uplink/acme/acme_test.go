package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// server is an authority as strict as RFC 8555 has them: signatures, nonces that are good
// once, URLs and key ids are checked, and it says what was wrong.
type server struct {
	t    *testing.T
	http *httptest.Server

	mu         sync.Mutex
	nonces     map[string]bool
	key        *ecdsa.PublicKey
	thumbprint string
	authz      string // status
	order      string
	attObj     string
	csr        []byte
	polls      int
	spoil      int  // so many nonces are refused though they are good
	refuse     bool // the challenge fails, and the authorization stays as it is
	huge       bool
}

const printer = "printer-1"

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, nonces: map[string]bool{}, authz: "pending", order: "pending"}
	s.http = httptest.NewTLSServer(s)
	t.Cleanup(s.http.Close)
	return s
}

func (s *server) url(path string) string { return s.http.URL + path }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := rand.Text()
	s.nonces[nonce] = true
	w.Header().Set("Replay-Nonce", nonce)
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/directory":
		w.Header().Del("Replay-Nonce")
		fmt.Fprintf(w, `{"newNonce":%q,"newAccount":%q,"newOrder":%q,"meta":{}}`, s.url("/nonce"), s.url("/account"), s.url("/order"))
	case r.Method == http.MethodHead && r.URL.Path == "/nonce":
	case r.Method == http.MethodPost:
		payload, err := s.open(r)
		if err == nil {
			err = s.act(w, r.URL.Path, payload)
		}
		if p, ok := errors.AsType[*Problem](err); ok {
			w.WriteHeader(p.Status)
			_ = json.NewEncoder(w).Encode(p)
		} else if err != nil {
			s.t.Errorf("%s: %v", r.URL.Path, err)
			w.WriteHeader(http.StatusInternalServerError)
		}
	default:
		s.t.Errorf("%s %s is no request of ACME", r.Method, r.URL.Path)
	}
}

// open checks a JWS and returns its payload.
func (s *server) open(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Type") != "application/jose+json" {
		return nil, errors.New("content type")
	}
	var jws struct{ Protected, Payload, Signature string }
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &jws)
	}
	if err != nil {
		return nil, err
	}
	dec := base64.RawURLEncoding.DecodeString
	protected, err := dec(jws.Protected)
	if err != nil {
		return nil, err
	}
	var h header
	if err := json.Unmarshal(protected, &h); err != nil {
		return nil, err
	}
	if h.Alg != "ES256" || h.URL != s.url(r.URL.Path) {
		return nil, fmt.Errorf("header %+v", h)
	}
	if !s.nonces[h.Nonce] {
		return nil, errors.New("a nonce that is not good")
	}
	delete(s.nonces, h.Nonce)
	if s.spoil > 0 {
		s.spoil--
		return nil, &Problem{Type: badNonce, Detail: "too old", Status: 400}
	}
	if r.URL.Path == "/account" {
		if h.Key == nil || h.Kid != "" {
			return nil, errors.New("a new account without its key")
		}
		x, _ := dec(h.Key.X)
		y, _ := dec(h.Key.Y)
		if s.key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, h.Key.X, h.Key.Y))
		s.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	} else if h.Kid != s.url("/account/1") || h.Key != nil {
		return nil, fmt.Errorf("key id %q", h.Kid)
	}
	sig, err := dec(jws.Signature)
	digest := sha256.Sum256([]byte(jws.Protected + "." + jws.Payload))
	if err != nil || len(sig) != 64 || !ecdsa.Verify(s.key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errors.New("the signature is not good")
	}
	return dec(jws.Payload)
}

// act does what a request asks for.
func (s *server) act(w http.ResponseWriter, path string, payload []byte) error {
	say := func(format string, args ...any) error { _, err := fmt.Fprintf(w, format, args...); return err }
	switch path {
	case "/account":
		w.Header().Set("Location", s.url("/account/1"))
		w.WriteHeader(http.StatusCreated)
		return say(`{"status":"valid"}`)
	case "/order":
		if want := `{"identifiers":[{"type":"permanent-identifier","value":"` + printer + `"}]}`; string(payload) != want {
			return fmt.Errorf("order %s", payload)
		}
		w.Header().Set("Location", s.url("/order/1"))
		w.WriteHeader(http.StatusCreated)
		return say(`{"status":"pending","authorizations":[%q],"finalize":%q}`, s.url("/authz/1"), s.url("/finalize/1"))
	case "/authz/1":
		failed := ""
		if s.refuse && s.attObj != "" {
			failed = `,"status":"invalid","error":{"type":"urn:ietf:params:acme:error:badAttestationStatement","detail":"no\u0007 good"}`
		}
		return say(`{"status":%q,"challenges":[{"type":"http-01","url":"x"},{"type":"device-attest-01","url":%q,"token":"tok"%s}]}`, s.authz, s.url("/challenge/1"), failed)
	case "/challenge/1":
		var answer struct{ AttObj string }
		if err := json.Unmarshal(payload, &answer); err != nil {
			return err
		}
		s.attObj = answer.AttObj
		if !s.refuse {
			s.authz = "valid"
		}
		return say(`{"status":"processing"}`)
	case "/finalize/1":
		var f struct{ CSR string }
		if err := json.Unmarshal(payload, &f); err != nil {
			return err
		}
		var err error
		if s.csr, err = base64.RawURLEncoding.DecodeString(f.CSR); err != nil {
			return err
		}
		return say(`{"status":"processing"}`)
	case "/order/1":
		if s.polls++; s.polls < 2 {
			return say(`{"status":"processing"}`)
		}
		return say(`{"status":"valid","certificate":%q}`, s.url("/certificate/1"))
	case "/certificate/1":
		if s.huge {
			return say("%s", strings.Repeat("-", maxAnswer+2))
		}
		for _, der := range []string{"leaf", "issuer"} {
			if err := pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: []byte(der)}); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no such thing")
}

// order has the server certify a request, and returns the digests that were attested.
func (s *server) certify(ctx context.Context) (chain [][]byte, attested [][32]byte, err error) {
	chain, err = Order(ctx, s.http.Client(), s.url("/directory"), Request{Identifier: printer, CSR: []byte("csr"),
		Attest: func(_ context.Context, digest [32]byte) ([]byte, error) {
			attested = append(attested, digest)
			return []byte("object"), nil
		}})
	return chain, attested, err
}

func TestOrder(t *testing.T) {
	s := newServer(t)
	s.spoil = 2 // nonces that became too old in between
	chain, attested, err := s.certify(t.Context())
	if err != nil || len(chain) != 2 || string(chain[0]) != "leaf" || string(chain[1]) != "issuer" {
		t.Fatalf("chain %q: %v", chain, err)
	}
	if want := sha256.Sum256([]byte("tok." + s.thumbprint)); len(attested) != 1 || attested[0] != want {
		t.Errorf("attested %x, want %x", attested, want)
	}
	if s.attObj != base64.RawURLEncoding.EncodeToString([]byte("object")) || string(s.csr) != "csr" {
		t.Errorf("the server got %q and %q", s.attObj, s.csr)
	}
}

func TestOrderRefused(t *testing.T) {
	s := newServer(t)
	s.refuse = true
	_, _, err := s.certify(t.Context())
	if p, ok := errors.AsType[*Problem](err); !ok || p.Error() != "the ACME server refuses: badAttestationStatement: no good" {
		t.Errorf("refused: %v", err)
	}
	s = newServer(t)
	s.spoil = 100
	if _, _, err := s.certify(t.Context()); err == nil || s.spoil != 100-nonceTries {
		t.Errorf("a server that takes no nonce: %v, asked %d times", err, 100-s.spoil)
	}
	s = newServer(t)
	s.huge = true
	if _, _, err := s.certify(t.Context()); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("an endless answer: %v", err)
	}
	// Whoever is not the authority that the client trusts hears nothing but a handshake.
	s = newServer(t)
	c := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	var unknown x509.UnknownAuthorityError
	if _, err := Order(t.Context(), c, s.url("/directory"), Request{}); !errors.As(err, &unknown) || len(s.nonces) != 0 {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := Order(t.Context(), c, "http://127.0.0.1/directory", Request{}); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("in clear: %v", err)
	}
}
