// Package agent is one printer's agent: it wires the rooms below it into a running
// box, and brings it down again in order.
//
// Start at [Run]. It opens the TPM and the local socket, keeps a session process
// alive (package session, in a process of its own), takes in jobs, sends machine
// data to whom the owner granted it, and replaces itself by newer signed releases.
// It sees no design data: sealed jobs pass through as ciphertext, files in clear
// as descriptors it does not read. It listens on nothing but its unix socket, and
// gives up the ability to before it takes its first request.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"platen/agent/attest"
	"platen/agent/audit"
	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/confine"
	"platen/agent/consent"
	"platen/agent/intake"
	"platen/agent/seam"
	"platen/agent/telemetry"
	"platen/agent/telemetry/host"
	"platen/boards"
)

// ErrRestart is what Run returns when a newer release is staged: the caller exits
// with boot.ExitRestart, and the launcher starts the other slot.
var ErrRestart = errors.New("a newer release is staged: restart")

// Agent is a running agent.
type Agent struct {
	cfg     *config.Config
	log     *slog.Logger
	board   *boards.Board
	started time.Time

	usb       sync.Mutex // one request reads USB sticks at a time
	tpm       *attest.TPM
	audit     *audit.Log
	lastFault atomic.Uint32 // of the session's status
	mirrors   mirrors
	locks     secondLocks
	identity  *intake.Identity
	recipient string         // for age
	hybrid    string         // the same, with ML-KEM
	ledger    *intake.Ledger // this and the two before: after unsealed has returned nil
	opening   sync.Mutex     // of what unsealed opens
	opened    bool
	approvals approvals
	foreign   [32]byte       // the image that was measured last of a controller that is not what it was; the supervisor's own, once it runs
	suspect   doubt          // what the controller has said once; the supervisor's own
	holding   sync.Mutex     // one sealed file is in memory at a time
	consent   *consent.Store // nil if the printer knows no owner
	sup       *supervisor
	machine   *telemetry.Machine
	logs      logs // of a printer without a session; nil for others
	client    *http.Client
	dog       dog
	fleets    []*fleetLink // [fleet] and each [[recipient]], in that order
	updates   *updates     // nil if updates are not configured
	queue     jobQueue
	recovery  *recovery
	delivery  delivery
	goodbye   func() // ends the agent for it to leave its owner
}

// Run is an agent from start to end: until ctx ends, or with ErrRestart when a
// newer release waits in the other slot.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	a := &Agent{cfg: cfg, log: log, started: time.Now(), machine: telemetry.NewMachine(), recovery: newRecovery(log)}
	if err := confine.KeepInherited(); err != nil {
		return err
	}
	if err := Folders(cfg); err != nil {
		return err
	}
	server, err := intake.Listen(cfg.Socket, log)
	if err != nil {
		return err
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	defer a.tpm.Close()
	defer a.audit.Close()
	defer a.mirrors.close()
	if a.sup.door, a.sup.found, err = openDoor(RunDir(cfg), log); err != nil {
		return err
	}
	defer a.sup.door.Close()
	held, err := confine.Agent()
	if err != nil {
		return fmt.Errorf("confining the agent: %w", err)
	}
	log.Info("agent running", "printer", a.tpm.ID().String(), "release", cli.Release(), "board", a.board.ID, "confined", held.String())
	if err := a.serve(ctx, server); !errors.Is(err, errLeaving) {
		return err
	}
	l, err := leavingOf(cfg)
	if err != nil {
		return err
	}
	return a.finishLeaving(context.WithoutCancel(ctx), l)
}

// serve runs everything that goes on in an agent and ends it together.
func (a *Agent) serve(ctx context.Context, server *intake.Server) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	task := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				a.log.Error("a part of the agent failed", "part", name, "error", err.Error())
				cancel(err)
			}
		})
	}
	if a.updates != nil { // before a request can stage anything
		a.updates.restart = func() { cancel(ErrRestart) }
	}
	a.goodbye = func() { cancel(errLeaving) }
	task("local socket", func(ctx context.Context) error { return server.Serve(ctx, a.answer) })
	task("audit log", a.audit.Run)
	if a.cfg.Watchdog != "" {
		a.dog.open(a.cfg, a.log)
		task("watchdog", a.pet)
	}
	task("fetching", func(ctx context.Context) error { return a.queue.Run(ctx, a.queue.fetch) })
	if a.cfg.Queue == "auto" {
		task("queue", a.autoPrint)
	}
	if a.cfg.USB {
		task("usb sticks", a.watchSticks)
	}
	task("recovery", a.recovery.run)
	if len(a.logs) == 0 {
		task("session", func(ctx context.Context) error { a.sup.run(ctx); return nil })
	} else {
		task("no session", a.stand)
	}
	for _, l := range a.logs {
		task("log", l.Run)
	}
	if a.consent != nil {
		collector, err := a.collector()
		if err != nil {
			cancel(err)
			wg.Wait()
			return err
		}
		task("telemetry", collector.Run)
	}
	if len(a.fleets) > 0 {
		task("renewal", a.renew)
	}
	if a.updates != nil {
		task("updates", a.updateLoop)
	}
	<-ctx.Done()
	wg.Wait()
	a.queue.prints.Wait()
	a.queue.Close()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Folders makes the folders that a configuration names.
func Folders(cfg *config.Config) error {
	for _, dir := range []string{cfg.State, RunDir(cfg)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making folders: %w", err)
		}
	}
	return nil
}

// RunDir is where what outlives the agent but not the boot is kept: the folder of
// the local socket.
func RunDir(cfg *config.Config) string { return filepath.Dir(cfg.Socket) }

// open brings up what the agent works with, in the order in which it depends on
// each other.
func (a *Agent) open(ctx context.Context) (err error) {
	if a.board, err = boards.Open(a.cfg.Board); err != nil {
		return err
	}
	if !a.board.Driven() && len(a.cfg.Logs) == 0 {
		return fmt.Errorf("board %s is driven by its own software: name its log file, [[log]] in the configuration", a.board.ID)
	}
	if a.tpm, err = attest.New(ctx, attest.Config{Path: a.cfg.TPM, StateDir: RunDir(a.cfg), Approver: a.cfg.ApproverKey, Logger: a.log}); err != nil {
		return err
	}
	if l, err := leavingOf(a.cfg); err != nil || l != nil { // power failed when it left its owner
		if err != nil {
			return err
		}
		return a.finishLeaving(ctx, l)
	}
	if err := a.measure(ctx); err != nil {
		return err
	}
	if a.recipient, err = intake.Recipient(a.tpm.JobKey().PublicKey()); err != nil {
		return err
	}
	if err := a.openApprovals(ctx); err != nil {
		return err
	}
	a.mirrors.dir = filepath.Join(a.cfg.State, "mirror")
	if err := a.openAudit(ctx); err != nil {
		return err
	}
	if a.cfg.OwnerKey != nil {
		if a.consent, err = consent.OpenStore(filepath.Join(a.cfg.State, "consent"), a.tpm.ID(), a.cfg.OwnerKey, a.audit); err != nil {
			return fmt.Errorf("opening the grants: %w", err)
		}
		for r, err := range a.consent.Dropped() {
			a.log.Warn("a grant is not in force: its owner has to sign a new one", "recipient", r.String(), "error", err)
		}
	}
	a.wipeRevoked()
	if err := a.openFleets(); err != nil {
		return err
	}
	if err := a.openQueue(); err != nil {
		return err
	}
	a.sup = &supervisor{
		log: a.log, args: sessionArgs(a.cfg, a.board, a.device()), dog: a.dog.file, before: a.beforeSession, onReady: a.identified,
		onStatus: func(st seam.Status) { a.machine.Set(st); a.record(st) }, onStart: a.began, onReceipt: a.ended,
		onTest: a.testEnded, onData: a.machine.Take,
		bounds:   patience,
		recovery: a.recovery,
	}
	a.sup.foreign = ControllerForeign(journal(a.cfg)) != nil
	a.machine.Controller(a.sup.foreign)
	if err := a.openLogs(); err != nil {
		return err
	}
	return a.openUpdates()
}

// collector is telemetry, with its sources.
func (a *Agent) collector() (*telemetry.Collector, error) {
	jobs := telemetry.NewJobs(filepath.Join(a.cfg.State, "jobs.json"), nil, a.log)
	a.machine.Follow(jobs)
	return telemetry.New(telemetry.Config{
		Grants: a.consent,
		Quoter: a.tpm,
		Sources: []telemetry.Source{
			a.machine, a.logs,
			&host.Source{Path: a.cfg.State, Sys: a.cfg.Sys},
			telemetry.Agent{Release: cli.Release(), Boot: a.tpm.BootCount(), Started: a.started, Failed: a.whyFailed},
		},
		Dial:     a.dial,
		Loaded:   a.machine.Loaded,
		Jobs:     jobs,
		Urgent:   a.machine.Urgent(),
		StateDir: RunDir(a.cfg),
		Spool:    a.spoolFor,
		Mirror:   a.mirrors.add,
		Logger:   a.log,
	})
}
