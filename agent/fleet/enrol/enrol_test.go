package enrol

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

func newService(t *testing.T) (*Service, *[]store.Event) {
	t.Helper()
	s, err := store.Open(t.TempDir(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Config{Recipient: s.Fleet.Recipient, Releases: verify.ReleaseMap{}})
	if err != nil {
		t.Fatal(err)
	}
	var events []store.Event
	return New(Config{Policy: verify.Policy{Releases: verify.ReleaseMap{}}, Verifier: v, Store: s, CA: a,
		Save:   func(id evidence.PrinterID) error { return s.SavePrinter(v, id) },
		Broker: func() string { return "b:1" }, Emit: func(e store.Event) { events = append(events, e) }}), &events
}

func do(s *Service, method, path string, body []byte) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

// The way that succeeds needs a TPM and is tested from package fleet.
func TestServiceRefuses(t *testing.T) {
	s, _ := newService(t)
	answer, err := evidence.EnrolResponse{V: evidence.Version, Quote: evidence.Quote{Attest: []byte("a"), Sig: []byte("s")}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path string
		body         []byte
		code         int
		text         string
	}{
		"noise to begin":     {"POST", evidence.EnrolBeginPath, []byte("noise"), 403, "bad_enrolment"},
		"noise to finish":    {"POST", evidence.EnrolFinishPath, []byte("noise"), 403, "bad_enrolment"},
		"nothing":            {"POST", evidence.EnrolBeginPath, nil, 403, "bad_enrolment"},
		"answer to nothing":  {"POST", evidence.EnrolFinishPath, answer, 403, "challenge_expired"},
		"a request of a MiB": {"POST", evidence.EnrolBeginPath, make([]byte, 1<<20), 400, "the request is too long or was cut off"},
		"GET":                {"GET", evidence.EnrolBeginPath, nil, 405, "Method Not Allowed"},
		"another path":       {"POST", "/v1/enrol", nil, 404, "404 page not found"},
	} {
		if code, text := do(s, c.method, c.path, c.body); code != c.code || text != c.text {
			t.Errorf("%s: %d %q", name, code, text)
		}
	}
}

// Strangers can ask as often as they like, but not fill the log.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	s, events := newService(t)
	for range 20 * maxRefusals {
		if code, _ := do(s, http.MethodPost, evidence.EnrolBeginPath, []byte("noise")); code != 403 {
			t.Fatalf("status %d", code)
		}
	}
	if n := len(*events); n != maxRefusals {
		t.Errorf("%d events of %d requests", n, 20*maxRefusals)
	}
}
