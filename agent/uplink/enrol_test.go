package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
)

// fakeTPM answers as a TPM would, as far as the client's own checks go.
type fakeTPM struct{}

func (fakeTPM) ID() evidence.PrinterID                               { return me }
func (fakeTPM) EnrolRequest(context.Context, string) ([]byte, error) { return []byte("request"), nil }
func (fakeTPM) Activate(_ context.Context, r, c []byte) ([]byte, error) {
	return append([]byte("answer to "), c...), nil
}

// service is an enrolment service that answers finish with b.
func service(t *testing.T, a *ca.CA, finish http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+evidence.EnrolBeginPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("challenge")) })
	mux.HandleFunc("POST "+evidence.EnrolFinishPath, finish)
	s := httptest.NewUnstartedServer(mux)
	s.TLS = server(t, a, "127.0.0.1")
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func result(t *testing.T, a *ca.CA, id evidence.PrinterID, key *ecdsa.PrivateKey, change func(*evidence.EnrolResult)) []byte {
	t.Helper()
	der, err := a.Client(&x509.CertificateRequest{PublicKey: key.Public()}, id)
	if err != nil {
		t.Fatal(err)
	}
	r := evidence.EnrolResult{V: evidence.Version, Printer: id, Name: "x", Certs: [][]byte{der}, CAs: [][]byte{a.DER()}, Broker: "b:1", Topic: evidence.BatchTopic(id)}
	if change != nil {
		change(&r)
	}
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnrolChecksWhatItIsGiven(t *testing.T) {
	a := authority(t)
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	send := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
	}
	good := result(t, a, me, mine, nil)
	for name, c := range map[string]struct {
		finish http.HandlerFunc
		want   string // part of the error; empty is none
	}{
		"control":             {send(good), ""},
		"another printer":     {send(result(t, a, evidence.PrinterID{9}, mine, nil)), "another printer"},
		"another key":         {send(result(t, a, me, other, nil)), "another key"},
		"another topic":       {send(result(t, a, me, mine, func(r *evidence.EnrolResult) { r.Topic = evidence.NonceTopic(me) })), "another printer"},
		"no certificate":      {send(result(t, a, me, mine, func(r *evidence.EnrolResult) { r.Certs[0] = []byte("x") })), "no certificate"},
		"a CA that is none":   {send(result(t, a, me, mine, func(r *evidence.EnrolResult) { r.CAs[0] = []byte("x") })), "cannot be read"},
		"cut":                 {send(good[:len(good)-1]), "result of the enrolment"},
		"longer than allowed": {send(append(good, make([]byte, maxResponse)...)), "too long"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
		}, "refused"},
		"claim": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "claim code is used\x1b[31m\nmore", http.StatusForbidden)
		}, "claim new"},
	} {
		s := service(t, a, c.finish)
		_, err := Enrol(t.Context(), s.URL, a.Pool(), "code", fakeTPM{}, mine.Public())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%s: the error carries a server's control characters: %q", name, err)
		}
		if r, ok := errors.AsType[*RefusedError](err); ok && name == "claim" && (r.Status != http.StatusForbidden || r.Reason != "claim code is used[31m") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestEnrolTalksToThePinnedServiceOnly(t *testing.T) {
	a, rogue := authority(t), authority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asked := false
	s := service(t, rogue, func(http.ResponseWriter, *http.Request) { asked = true })
	if _, err := Enrol(t.Context(), s.URL, a.Pool(), "", fakeTPM{}, key.Public()); err == nil || asked {
		t.Errorf("a rogue service: asked %v, %v", asked, err)
	}
	for _, u := range []string{"http://127.0.0.1", "", "://", "https://"} {
		if _, err := Enrol(t.Context(), u, a.Pool(), "", fakeTPM{}, key.Public()); err == nil {
			t.Errorf("enrolled at %q", u)
		}
	}
	if _, err := Enrol(t.Context(), s.URL, nil, "", fakeTPM{}, key.Public()); err == nil {
		t.Error("enrolled without a pinned CA")
	}
}

func TestDue(t *testing.T) {
	a := authority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	res, err := evidence.DecodeEnrolResult(result(t, a, me, key, nil))
	if err != nil {
		t.Fatal(err)
	}
	for tenths, want := range map[int]bool{0: false, 6: false, 7: true, 13: true} {
		if got := Due(res, time.Now().Add(ca.ClientLife*time.Duration(tenths)/10)); got != want {
			t.Errorf("after %d tenths of its life: %v", tenths, got)
		}
	}
	if !Due(evidence.EnrolResult{}, time.Now()) {
		t.Error("without a certificate nothing is due")
	}
}
