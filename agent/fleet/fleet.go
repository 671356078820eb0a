// Package fleet is the operator's side in one process: broker, enrolment, verifier,
// store, and the static files of the update repository.
//
// Start at [Up]. Below it, in the order in which a printer meets them: ca certifies,
// enrol lets in, broker (or a bridge of package ingest to another MQTT v5 broker)
// takes frames, ingest has verify judge them, store remembers, releases knows the
// agents that may run, offers has what printers are offered.
package fleet

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/broker"
	"platen/agent/fleet/ca"
	"platen/agent/fleet/enrol"
	"platen/agent/fleet/ingest"
	"platen/agent/fleet/offers"
	"platen/agent/fleet/releases"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// Config says how the fleet's side runs. Dir is needed.
type Config struct {
	// Dir is the fleet's folder; it is made if need be.
	Dir string
	// Name is the recipient's name as owners see it; empty keeps the one it has.
	Name string
	// ListenMQTT and ListenHTTPS are host:port; port 0 takes a free one.
	ListenMQTT, ListenHTTPS string
	// Hosts are further names and addresses that printers reach this machine by.
	Hosts []string
	// PublicMQTT is the address that enrolled printers are told to connect to, if it
	// is not the one listened on.
	PublicMQTT string
	// PublicHTTPS is the base URL, https://host:port, that the sources of tickets begin with, if
	// it is not the address listened on.
	PublicHTTPS string
	// TUF is the folder of the update repository; empty serves none.
	TUF string
	// TUFRoot is the file of the root metadata that its releases are verified from; empty
	// takes the repository's first root once and for all.
	TUFRoot string
	// Configurations is a file with the configurations that printers may run with, as
	// sha256sum writes it; empty: any, and changes are told.
	Configurations string
	// EKCAs are PEM files with the authorities of TPM makers, or folders of such files.
	EKCAs []string
	// ClientCAs are PEM files with further authorities whose certificates of printers the
	// broker takes, such as one that printers enrol with by ACME.
	ClientCAs []string
	// EKs is the factory list: SHA-256 digests of endorsement keys in PKIX form.
	EKs map[[32]byte]bool
	// Agents are agents that are known without a repository, by digest.
	Agents map[[32]byte]uint64
	// NonceEvery is the time between two nonces to each printer; 0 means 60 s.
	NonceEvery time.Duration
	// SilentAfter is how long nothing is believed of a printer until that is an event; 0 means
	// ingest.SilentAfter.
	SilentAfter time.Duration
	// Keep is how long events and sealed files are kept; 0 means store.DefaultKeep.
	Keep time.Duration
	// Bridge, if set, takes the place of the broker; BridgeCA is its authority in DER.
	Bridge   *ingest.BridgeConfig
	BridgeCA []byte
	// Emit is told of each event, by any goroutine; it may be nil.
	Emit func(store.Event)
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

// CADir is the folder of the certificate authority below the fleet's folder.
func CADir(dir string) string { return filepath.Join(dir, "ca") }

// speaker is what speaks to printers: the broker or a bridge.
type speaker interface {
	offers.Sender
	SendNonces()
	Close() error
}

// desk is the handler of the broker.
type desk struct {
	*ingest.Ingest
	*offers.Desk
}

// side is the fleet's side while it runs.
type side struct {
	cfg      Config
	ca       *ca.CA
	store    *store.Store
	configs  verify.Configurations // nil: any
	index    *releases.Index
	cold     *os.File // states of printers that were not heard for a while
	verifier *verify.Verifier
	ingest   *ingest.Ingest
	offers   *offers.Desk
	nonces   speaker
	files    *files                   // of the update repository; nil if there is none
	jobs     *files                   // sealed
	mqtt     string                   // address
	drop     func(evidence.PrinterID) // ends a printer's connection; nil at another's broker
}

// Up runs the fleet's side until ctx ends. It emits store.Ready with the addresses
// once everything listens.
func Up(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Emit == nil {
		cfg.Emit = func(store.Event) {}
	}
	if cfg.NonceEvery == 0 {
		cfg.NonceEvery = time.Minute
	}
	cfg.SilentAfter = cmp.Or(cfg.SilentAfter, ingest.SilentAfter)
	s := &side{cfg: cfg}
	if err := s.open(); err != nil {
		return err
	}
	defer func() {
		s.checkpoint()
		if err := errors.Join(s.index.Close(), s.store.Close(), s.cold.Close()); err != nil {
			cfg.Logger.Error("closing the releases, the event log and the printers' states", "error", err)
		}
	}()
	cert, err := s.ca.Server(s.hosts())
	if err != nil {
		return err
	}
	clients := s.ca.Pool()
	if err := addFiles(clients, s.cfg.ClientCAs); err != nil {
		return err
	}
	server := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientCAs: clients}
	if err := s.listenMQTT(server); err != nil {
		return err
	}
	err = s.serve(ctx, server)
	return errors.Join(err, s.nonces.Close())
}

// open opens what lies on disk.
func (s *side) open() error {
	var err error
	if s.store, err = store.Open(s.cfg.Dir, s.cfg.Name, s.cfg.Keep); err != nil {
		return err
	}
	if s.ca, err = ca.Open(CADir(s.cfg.Dir)); err != nil {
		return err
	}
	repo := releases.Repo{Dir: s.cfg.TUF, Cache: filepath.Join(s.cfg.Dir, "releases"), Root: s.cfg.TUFRoot}
	s.index = releases.New(repo, s.cfg.Agents, func(known int) {
		s.cfg.Emit(store.Event{Event: store.Releases, Schema: store.Schema, At: time.Now().UTC(), Known: known})
	}, s.cfg.Logger)
	if s.cfg.Configurations != "" {
		if s.configs, err = openConfigs(s.cfg.Configurations, s.cfg.Logger); err != nil {
			return err
		}
	}
	if s.cold, err = s.store.Scratch(); err != nil {
		return err
	}
	s.verifier, err = verify.New(verify.Config{Recipient: s.store.Fleet.Recipient, Releases: s.index, Configurations: s.configs, Cold: s.cold})
	if err != nil {
		return err
	}
	if err := s.store.Load(s.verifier); err != nil {
		return err
	}
	s.ingest = ingest.New(s.verifier, s.store, s.cfg.Emit, s.cfg.Logger)
	s.offers = offers.NewDesk(s.cfg.Dir, cmp.Or(s.cfg.Keep, store.DefaultKeep), s.record, s.cfg.Logger)
	return nil
}

// record stores an event and then tells of it.
func (s *side) record(e store.Event) {
	e.Schema, e.At = store.Schema, time.Now().UTC()
	if err := s.store.Append(e); err != nil {
		s.cfg.Logger.Error("an event could not be kept", "error", err)
	}
	s.cfg.Emit(e)
}

// hosts are the names and addresses that the server's certificate is for.
func (s *side) hosts() []string {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, s.cfg.Hosts...)
	for _, addr := range []string{s.cfg.ListenMQTT, s.cfg.ListenHTTPS, s.cfg.PublicMQTT, strings.TrimPrefix(s.cfg.PublicHTTPS, "https://")} {
		if h, _, err := net.SplitHostPort(addr); err == nil && h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func (s *side) listenMQTT(server *tls.Config) error {
	if s.cfg.Bridge != nil {
		b, err := ingest.NewBridge(s.ingest, *s.cfg.Bridge)
		if err != nil {
			return err
		}
		s.nonces, s.mqtt = b, s.cfg.Bridge.Broker
	} else {
		b, err := broker.Start(broker.Config{Listen: s.cfg.ListenMQTT, TLS: server, Handler: desk{s.ingest, s.offers}, Logger: s.cfg.Logger})
		if err != nil {
			return err
		}
		s.nonces, s.mqtt, s.drop = b, b.Addr(), b.Drop
	}
	if s.cfg.PublicMQTT != "" {
		s.mqtt = s.cfg.PublicMQTT
	}
	return nil
}

// serve serves HTTPS and sends nonces until ctx ends.
func (s *side) serve(ctx context.Context, server *tls.Config) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	handler, err := s.handler()
	if err != nil {
		return err
	}
	defer s.jobs.root.Close() // it was only read from
	if s.files != nil {
		defer s.files.root.Close()
	}
	ln, err := net.Listen("tcp", s.cfg.ListenHTTPS)
	if err != nil {
		return fmt.Errorf("listen for enrolment: %w", err)
	}
	srv := &http.Server{Handler: handler, TLSConfig: server, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug)}
	if err := keepBase(s.cfg.Dir, s.base(ln.Addr().(*net.TCPAddr))); err != nil {
		return errors.Join(err, ln.Close())
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(ln, "", "") }()
	var offering sync.WaitGroup
	offering.Go(func() { s.offers.Run(ctx, s.nonces) })
	offering.Go(func() { s.watchLeft(ctx) })
	offering.Go(func() { s.checkpoints(ctx) })
	defer offering.Wait()
	s.ready(ln.Addr().String())
	tick := time.NewTicker(s.cfg.NonceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.nonces.SendNonces()
			if err := s.ingest.Silent(time.Now(), s.cfg.SilentAfter); err != nil {
				s.cfg.Logger.Error("an alarm could not be kept", "error", err)
			}
		case err := <-done:
			stop()
			return fmt.Errorf("serve enrolment: %w", err)
		case <-ctx.Done():
			s.cfg.Emit(store.Event{Event: store.Stopped, Schema: store.Schema, At: time.Now().UTC()})
			end, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if err := srv.Shutdown(end); err != nil {
				_ = srv.Close() // a slow download does not keep the fleet's side up
			}
			<-done
			return nil
		}
	}
}

// checkpointEvery is how often the printers' states are saved: what a start has to read of the log.
const checkpointEvery = 5 * time.Minute

// checkpoints saves the printers' states now and then until ctx ends.
func (s *side) checkpoints(ctx context.Context) {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.checkpoint()
		case <-ctx.Done():
			return
		}
	}
}

func (s *side) checkpoint() {
	if err := s.ingest.Checkpoint(); err != nil {
		s.cfg.Logger.Error("the printers' states could not be saved; the log has them", "error", err)
	}
}

// base is the URL that printers fetch sealed files below: at the first name of this machine, if it
// listens on all of its addresses.
func (s *side) base(at *net.TCPAddr) string {
	addr := at.String()
	if at.IP.IsUnspecified() && len(s.cfg.Hosts) > 0 {
		addr = net.JoinHostPort(s.cfg.Hosts[0], strconv.Itoa(at.Port))
	}
	return cmp.Or(s.cfg.PublicHTTPS, "https://"+addr)
}

func (s *side) ready(https string) {
	s.cfg.Emit(store.Event{Event: store.Ready, Schema: store.Schema, At: time.Now().UTC(), MQTT: s.mqtt, HTTPS: "https://" + https,
		CA: s.ca.Path(), Recipient: s.store.Fleet.Recipient.String(), Name: s.store.Fleet.Name, Known: s.index.Len()})
	s.cfg.Logger.Info("fleet's side is up", "mqtt", s.mqtt, "https", https, "releases", s.index.Len())
}

// handler serves enrolment and the files of the update repository.
func (s *side) handler() (http.Handler, error) {
	roots, err := makers(s.cfg.EKCAs)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", enrol.New(enrol.Config{
		Policy:   verify.Policy{Roots: roots, EKs: s.cfg.EKs, Releases: s.index, Configurations: s.configs},
		Verifier: s.verifier, Store: s.store, CA: s.ca, BrokerCA: s.cfg.BridgeCA, Save: s.ingest.Save,
		Broker: func() string { return s.mqtt }, Emit: s.cfg.Emit, Logger: s.cfg.Logger,
	}))
	if err := os.MkdirAll(offers.Held(s.cfg.Dir), 0o700); err != nil {
		return nil, fmt.Errorf("serve sealed files: %w", err)
	}
	if s.jobs, err = newFiles(offers.Held(s.cfg.Dir)); err != nil {
		return nil, err
	}
	mux.Handle("GET "+jobsPath, http.StripPrefix(jobsPath, named{s.jobs}))
	if s.cfg.TUF != "" {
		if s.files, err = newFiles(s.cfg.TUF); err != nil {
			return nil, fmt.Errorf("the update repository: %w", err)
		}
		mux.Handle("GET /tuf/", http.StripPrefix("/tuf/", s.files))
	}
	return mux, nil
}
