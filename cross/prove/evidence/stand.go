package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/agent/fleet"
	"platen/agent/fleet/ca"
	"platen/cross/rig"
	"platen/cross/rig/stage"
)

// stand is a printer, Mosquitto and the fleet's side, each the real program in a process of its
// own, and a controller that is simulated. Between printer and broker is a proxy that notes what
// the printer was told had arrived.
type stand struct {
	w       *world
	stage   stage.Stage
	https   string // where the fleet listens for enrolments
	notes   *honest
	forget  *forgetful
	proxy   *proxy
	board   *stage.Process
	agent   *stage.Process
	fleet   *stage.Process
	printer evidence.PrinterID
}

// forgetful tells the printer once that a frame arrived, and lets it vanish.
type forgetful struct {
	*honest
	mu   sync.Mutex
	now  bool
	gone []byte
}

func (f *forgetful) frame(p []byte) ([]sending, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.now {
		return f.honest.frame(p)
	}
	f.now, f.gone = false, p
	return nil, true
}

func (f *forgetful) vanished() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

// newStand makes a stand with the programs in bins, on which nothing but the broker runs yet.
func newStand(ctx context.Context, w *world, bins string) (*stand, error) {
	st := &stand{w: w, stage: stage.Stage{Dir: w.dir, Bins: bins}, notes: &honest{seen: map[[32]byte][]byte{}}}
	st.forget = &forgetful{honest: st.notes}
	var err error
	if st.printer, err = st.measure(ctx); err != nil {
		return nil, err
	}
	down, err := w.server()
	if err != nil {
		return nil, err
	}
	up, err := w.client(w.printers, st.printer)
	if err != nil {
		return nil, err
	}
	if st.https, err = rig.FreePort(); err != nil {
		return nil, err
	}
	st.proxy, err = newProxy(w.broker.Addr, evidence.BatchTopic(st.printer), down, up, st.forget)
	return st, err
}

// measure extends PCR 14 with the agent, as its launcher would.
func (st *stand) measure(ctx context.Context) (id evidence.PrinterID, err error) {
	b, err := os.ReadFile(st.stage.Bin("platen"))
	if err != nil {
		return id, err
	}
	if err := os.MkdirAll(st.w.path("run"), 0o700); err != nil {
		return id, err
	}
	t, err := attest.New(ctx, attest.Config{Path: st.w.swtpm.Path(), StateDir: st.w.path("run")})
	if err != nil {
		return id, err
	}
	return t.ID(), errors.Join(t.ExtendAgent(ctx, sha256.Sum256(b)), t.Close())
}

// begin starts fleet and printer, enrols the one with the other and has the owner grant all
// machine data there is, once a second.
func (st *stand) begin(ctx context.Context) (err error) {
	if err := st.startFleet(ctx); err != nil {
		return err
	}
	if err := st.configure(ctx); err != nil {
		return err
	}
	st.board, err = st.stage.Start("platen-sim", nil, "-o", "jsonl", "--pty", st.w.path("tty"))
	if err != nil {
		return err
	}
	if _, err := st.board.Wait(ctx, patience, 0, func(e stage.Event) bool { return e.Event == "ready" }); err != nil {
		return err
	}
	if err := st.startAgent(); err != nil {
		return err
	}
	if err := st.answers(ctx); err != nil {
		return err
	}
	claim, err := st.stage.Run(ctx, "platen-fleet", "claim", "new", "--dir", st.w.path("fleet"))
	if err != nil {
		return err
	}
	if _, err := st.stage.Platen(ctx, "enrol", strings.TrimSpace(string(claim))); err != nil {
		return err
	}
	return st.grant(ctx, "1s")
}

// grant has the owner grant the fleet all machine data there is, once a period.
func (st *stand) grant(ctx context.Context, period string) error {
	recipient, err := fleetOf(st.w.dir)
	if err != nil {
		return err
	}
	_, err = st.stage.Platen(ctx, "consent", "grant", "--key", st.w.path("owner"), "--recipient", recipient.String(),
		"--name", "proof", "--profile", "owner", "--period", period)
	return err
}

// configure writes the printer's configuration and its owner's key.
func (st *stand) configure(ctx context.Context) error {
	if _, err := st.stage.Run(ctx, "platen", "consent", "keygen", st.w.path("owner")); err != nil {
		return err
	}
	text := fmt.Sprintf("board = \"sim\"\ndevice = \"tty\"\nstate = \"state\"\nsocket = \"run/agent.sock\"\nowner_key = \"owner.pub\"\n"+
		"allow_swap = true\nvault = \"1MiB\"\nmax_job = \"1MiB\"\ntpm = %q\n[fleet]\nenrol = \"https://%s\"\nca = %q\n",
		st.w.swtpm.Path(), st.https, filepath.Join(fleet.CADir(st.w.path("fleet")), ca.CertName))
	return os.WriteFile(st.w.path("platen.toml"), []byte(text), 0o600)
}

// startFleet starts the fleet's side and waits until it has subscribed: what comes before it
// ever did is nobody's.
func (st *stand) startFleet(ctx context.Context) (err error) {
	st.fleet, err = st.stage.Start("platen-fleet", nil, "up", "-o", "jsonl", "--dir", st.w.path("fleet"), "--name", "proof",
		"--listen-https", st.https, "--public-mqtt", st.proxy.addr, "--agent", "1="+st.stage.Bin("platen"), "--nonce-every", "1s",
		"--broker", st.w.broker.Addr, "--broker-ca", st.w.path("ops", ca.CertName), "--broker-cert", st.w.path("client.pem"), "--broker-key", st.w.path("client.key"),
		"--broker-client-id", "fleet", "--ek-ca", strings.Join(st.w.swtpm.CAs, ","))
	if err != nil {
		return err
	}
	_, err = st.fleet.Wait(ctx, patience, 0, func(e stage.Event) bool { return e.Event == "ready" })
	return err
}

func (st *stand) startAgent() (err error) {
	st.agent, err = st.stage.Start("platen", nil, "run", "--config", st.w.path("platen.toml"))
	return err
}

// answers waits until the agent can be asked.
func (st *stand) answers(ctx context.Context) error {
	var said error
	err := until(ctx, "the agent answers", func() (bool, error) {
		_, said = st.stage.Platen(ctx, "status")
		return said == nil, st.alive()
	})
	if err != nil {
		return errors.Join(err, said)
	}
	return nil
}

// alive reports whether agent and fleet go on; their logs say why not.
func (st *stand) alive() error {
	for name, p := range map[string]*stage.Process{"agent": st.agent, "fleet": st.fleet} {
		if p == nil {
			continue
		}
		select {
		case <-p.Done:
			text, _ := os.ReadFile(p.Log) // without it there is less to say
			return fmt.Errorf("the %s has ended by itself (%w): %s", name, p.Err, text[max(0, len(text)-1500):])
		default:
		}
	}
	return nil
}

// close ends everybody in order, so that no session outlives its agent.
func (st *stand) close() {
	st.stage.Stop()
	st.proxy.close()
}

// killed ends a process as the kernel does when there is no memory.
func killed(p *stage.Process) {
	_ = p.Cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.Done
}
