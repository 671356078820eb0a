// Package enrol is the HTTPS service that lets printers into the fleet: it checks
// that a claim code or a factory list vouches for them and that their keys live in
// one genuine TPM, and gives them a client certificate for some weeks.
//
// Start at [New]; the result is an http.Handler for the two paths of package
// evidence. Renewal is the same exchange without a claim code.
package enrol

import (
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// Config is what the service needs.
type Config struct {
	Policy   verify.Policy
	Verifier *verify.Verifier
	Store    *store.Store
	CA       *ca.CA
	// Save makes the state of a printer durable.
	Save func(evidence.PrinterID) error
	// Broker returns the address that printers connect to, host:port.
	Broker func() string
	// BrokerCA is the certificate in DER that the broker's chains to; nil is CA's own.
	BrokerCA []byte
	// Open lets in printers that are on the factory list without a claim code.
	Open bool
	// Emit is told of each event, after it was stored; it may be nil.
	Emit func(store.Event)
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

const (
	maxBody     = 32 << 10
	maxSessions = 256
	maxRefusals = 30 // stored a minute
)

// Service is the enrolment service.
type Service struct {
	cfg Config
	mux *http.ServeMux

	mu       sync.Mutex
	sessions map[[16]byte]session
	refusals int // stored in this minute
	minute   time.Time
}

type session struct {
	s     *verify.Session
	until time.Time
	claim bool // a claim code has to be used up
}

// New makes the service.
func New(cfg Config) *Service {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Emit == nil {
		cfg.Emit = func(store.Event) {}
	}
	cfg.Policy.Saw = cfg.Verifier.Saw
	s := &Service{cfg: cfg, mux: http.NewServeMux(), sessions: map[[16]byte]session{}}
	s.mux.HandleFunc("POST "+evidence.EnrolBeginPath, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.begin) })
	s.mux.HandleFunc("POST "+evidence.LeavePath, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.leave) })
	s.mux.HandleFunc("POST "+evidence.AttestationPath, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.attestation) })
	s.mux.HandleFunc("POST "+evidence.EnrolFinishPath, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.finish) })
	return s
}

// ServeHTTP serves the two paths.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// errBusy reports too many enrolments at once.
var errBusy = errors.New("too many enrolments at once: try again in two minutes")

// answer reads a frame, has it judged and writes the frame that follows, or a line
// that says why not.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, judge func([]byte) ([]byte, error)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request is too long or was cut off", http.StatusBadRequest)
		return
	}
	out, err := judge(body)
	if err == nil {
		w.Header().Set("Content-Type", "application/cbor")
		_, _ = w.Write(out) // the printer asks again if it did not get it
		return
	}
	status, text := http.StatusForbidden, string(verify.ReasonOf(err))
	switch {
	case errors.Is(err, store.ErrClaim):
		text = store.ErrClaim.Error()
	case errors.Is(err, errBusy):
		status, text = http.StatusServiceUnavailable, errBusy.Error()
	case text == "":
		s.cfg.Logger.Error("an enrolment failed", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	s.cfg.Logger.Warn("an enrolment was refused", "remote", r.RemoteAddr, "reason", text, "error", err)
	if s.worthAnEvent(time.Now()) {
		if err := s.record(store.Event{Event: store.Refused, Reason: "enrol: " + text}); err != nil {
			s.cfg.Logger.Error("an event could not be stored", "error", err)
		}
	}
	http.Error(w, text, status)
}

// worthAnEvent bounds the refusals that strangers can have stored.
func (s *Service) worthAnEvent(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.minute) >= time.Minute {
		s.minute, s.refusals = now, 0
	}
	s.refusals++
	return s.refusals <= maxRefusals
}

func (s *Service) begin(request []byte) ([]byte, error) {
	challenge, vs, err := verify.EnrolBegin(request, s.cfg.Policy)
	if err != nil {
		return nil, err
	}
	claim, err := s.entitled(vs)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for id, old := range s.sessions {
		if now.After(old.until) {
			delete(s.sessions, id)
		}
	}
	if len(s.sessions) >= maxSessions {
		return nil, errBusy
	}
	s.sessions[vs.ID] = session{vs, now.Add(verify.ChallengeTime), claim}
	return challenge, nil
}

// entitled reports whether a claim code lets the printer in; an error says that
// nothing does.
func (s *Service) entitled(vs *verify.Session) (claim bool, err error) {
	if s.cfg.Store.Left(vs.Printer) {
		return false, &verify.Refusal{Reason: verify.Revoked}
	}
	if vs.Claim != "" {
		return true, s.cfg.Store.CheckClaim(vs.Claim)
	}
	if s.cfg.Verifier.Known(vs.Printer) || s.cfg.Open {
		return false, nil
	}
	return false, store.ErrClaim
}

func (s *Service) finish(response []byte) ([]byte, error) {
	rsp, err := evidence.DecodeEnrolResponse(response)
	if err != nil {
		return nil, &verify.Refusal{Reason: verify.BadEnrolment, Err: err}
	}
	s.mu.Lock()
	ses, ok := s.sessions[rsp.Session]
	delete(s.sessions, rsp.Session)
	s.mu.Unlock()
	if !ok {
		return nil, &verify.Refusal{Reason: verify.ChallengeExpired}
	}
	enrolled, err := verify.EnrolFinish(ses.s, response)
	if err != nil {
		return nil, err
	}
	if s.cfg.Store.Left(ses.s.Printer) { // since it began
		return nil, &verify.Refusal{Reason: verify.Revoked}
	}
	if ses.claim {
		if err := s.cfg.Store.UseClaim(ses.s.Claim); err != nil {
			return nil, err
		}
	}
	return s.admit(enrolled)
}

// admit remembers the printer and makes its certificate.
func (s *Service) admit(e verify.Enrolled) ([]byte, error) {
	id := e.Record.Printer
	cert, err := s.cfg.CA.Client(e.CSR, id)
	if err != nil {
		return nil, err
	}
	if err := s.issue(id, cert); err != nil {
		return nil, err
	}
	if err := s.cfg.Verifier.Enrol(e.Record); err != nil {
		return nil, err
	}
	if err := s.cfg.Save(id); err != nil {
		return nil, err
	}
	if err := s.record(store.Event{Event: store.Enrolled, Printer: id.String(), Release: e.Release}); err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("a printer enrolled", "printer", id.String(), "release", e.Release)
	brokerCA := s.cfg.BrokerCA
	if brokerCA == nil {
		brokerCA = s.cfg.CA.DER()
	}
	res := evidence.EnrolResult{V: evidence.Version, Printer: id, Recipient: s.cfg.Store.Fleet.Recipient, Name: s.cfg.Store.Fleet.Name,
		Certs: [][]byte{cert}, CAs: [][]byte{brokerCA}, Broker: s.cfg.Broker(), Topic: evidence.BatchTopic(id), Nonce: s.cfg.Verifier.Nonce(id)}
	return res.Encode()
}

// issue notes a certificate, one after the other.
func (s *Service) issue(id evidence.PrinterID, der []byte) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Store.Issue(id, cert)
}

func (s *Service) record(e store.Event) error {
	e.Schema, e.At = store.Schema, time.Now().UTC()
	if err := s.cfg.Store.Append(e); err != nil {
		return err
	}
	s.cfg.Emit(e)
	return nil
}
