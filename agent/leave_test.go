package agent

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"platen/agent/attest"
	"platen/agent/config"
	"platen/agent/evidence"
	"platen/agent/intake"
	"platen/agent/seam"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// canary is what no file may hold after its owner has left.
var canary = []byte("the owner's, and nobody else's")

// house is a printer's state folder with something of its owner's everywhere, and its TPM.
type house struct {
	t    *testing.T
	tpm  *rig.Swtpm
	cfg  *config.Config
	kept []string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, tpm: rigtest.Swtpm(t), kept: []string{"state/controller/journal", "state/tuf/root.json"},
		cfg: &config.Config{State: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "run", "agent.sock"), Record: filepath.Join(dir, "record")}}
	for _, name := range []string{"state/consent/grant", "state/audit/log-0", "state/spool/deep/er/segment", "state/mirror/1", "state/fleet/enrolment.cbor",
		"state/fleet-vendor/enrolment.cbor", "state/tickets.json", "state/approvals.json", "state/marker", "run/chain-0123", "record"} {
		h.write(name, canary)
	}
	for _, name := range h.kept {
		h.write(name, []byte("no owner's"))
	}
	h.write("run/pcr14.log", nil)
	h.kept = append(h.kept, "run/pcr14.log")
	outside := filepath.Join(dir, "elsewhere") // a link must not lead the shredder out
	h.write("elsewhere", canary)
	if err := os.Symlink(outside, filepath.Join(h.cfg.State, "link")); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) path(name string) string { return filepath.Join(filepath.Dir(h.cfg.State), name) }

func (h *house) write(name string, b []byte) {
	h.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(h.path(name)), 0o700), os.WriteFile(h.path(name), b, 0o600)); err != nil {
		h.t.Fatal(err)
	}
}

// agent is an agent that has got as far as its TPM.
func (h *house) agent() *Agent {
	h.t.Helper()
	tpm, err := attest.New(h.t.Context(), attest.Config{Path: h.tpm.Path(), StateDir: RunDir(h.cfg)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { tpm.Close() })
	log := slog.New(slog.DiscardHandler)
	return &Agent{cfg: h.cfg, log: log, sup: &supervisor{log: log}, tpm: tpm}
}

// files lists what is left, and which of it has the canary.
func (h *house) files() (all, owners []string) {
	h.t.Helper()
	root := os.DirFS(filepath.Dir(h.cfg.State))
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "elsewhere" {
			return err
		}
		all = append(all, path)
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := fs.ReadFile(root, path)
		if bytes.Contains(b, canary) {
			owners = append(owners, path)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all, owners
}

// begin asks for it as the local socket does, and returns once the agent would end.
func (h *house) begin(a *Agent, keep bool) *leaving {
	h.t.Helper()
	ended := false
	a.goodbye = func() { ended = true }
	err := a.leave(intake.Request{Keep: keep}, func(r intake.Reply) error {
		if r.Text != h.path("state/"+receiptName) {
			h.t.Errorf("the receipt will be at %q", r.Text)
		}
		return nil
	})
	if err != nil || !ended || !Leaves(h.cfg.State) {
		h.t.Fatalf("leaving begins: ended %t, %v", ended, err)
	}
	if err := a.leave(intake.Request{}, nil); !errors.Is(err, errBusy) {
		h.t.Errorf("leaving twice: %v", err)
	}
	if _, err := a.sup.start(&seam.Start{Format: seam.FormatAny}, nil, along{}, nil); !errors.Is(err, errGoing) {
		h.t.Errorf("a print in clear while it leaves: %v", err)
	}
	l, err := leavingOf(h.cfg)
	if err != nil || l == nil {
		h.t.Fatalf("the note: %+v %v", l, err)
	}
	return l
}

// TestLeave: everything of the owner's is overwritten and removed, floors and the
// controller's journal stay, the receipt is there, and the keys are others.
func TestLeave(t *testing.T) {
	h := newHouse(t)
	a := h.agent()
	id := a.tpm.ID()
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := a.tpm.JobKey().ECDH(peer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, owners := h.files(); len(owners) != 11 { // the control
		t.Fatalf("the owner's files: %q", owners)
	}
	held, err := os.Open(h.path("state/spool/deep/er/segment"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := a.finishLeaving(t.Context(), h.begin(a, false)); !errors.Is(err, ErrLeft) {
		t.Fatal(err)
	}
	all, owners := h.files()
	want := append([]string{"state/" + receiptName}, h.kept...)
	slices.Sort(want)
	if slices.Sort(all); !slices.Equal(all, want) || len(owners) != 0 || Leaves(h.cfg.State) {
		t.Errorf("left are %q, the owner's are %q", all, owners)
	}
	was := make([]byte, len(canary)) // what is on the disk where the file was
	if _, err := held.ReadAt(was, 0); err != nil || !bytes.Equal(was, make([]byte, len(canary))) {
		t.Errorf("the file was not overwritten: %q %v", was, err)
	}
	if b, err := os.ReadFile(h.path("elsewhere")); err != nil || !bytes.Equal(b, canary) {
		t.Errorf("a file outside of the state folder: %q %v", b, err)
	}
	h.receipt(id, false)
	a.tpm.Close()
	b := h.agent()
	again, err := b.tpm.JobKey().ECDH(peer.PublicKey())
	if err != nil || b.tpm.ID() == id || bytes.Equal(again, sealed) {
		t.Errorf("what was sealed to the printer that was still opens: %v", err)
	}
}

func (h *house) receipt(id evidence.PrinterID, keep bool) {
	h.t.Helper()
	text, err := os.ReadFile(h.path("state/" + receiptName))
	if err != nil {
		h.t.Fatal(err)
	}
	r, _, _, err := evidence.DecodeReceipt(text)
	if err != nil || r.Kept != keep || r.Kept == slices.Contains(r.Indices, evidence.IdentityIndex) {
		h.t.Errorf("receipt %+v: %v", r, err)
	}
}

// TestReset: a printer that keeps its identity keeps its keys, and the record of what it
// has printed.
func TestReset(t *testing.T) {
	h := newHouse(t)
	a := h.agent()
	id := a.tpm.ID()
	if err := a.finishLeaving(t.Context(), h.begin(a, true)); !errors.Is(err, ErrLeft) {
		t.Fatal(err)
	}
	if _, owners := h.files(); !slices.Equal(owners, []string{"state/tickets.json"}) {
		t.Errorf("left are %q", owners)
	}
	h.receipt(id, true)
	a.tpm.Close()
	if b := h.agent(); b.tpm.ID() != id {
		t.Error("the identity is another one")
	}
}

// TestLeavingIsNotForAPrinterAtWork: nor does one that cannot keep the note begin to.
func TestLeavingIsNotForAPrinterAtWork(t *testing.T) {
	h := newHouse(t)
	a := h.agent()
	a.sup.done = make(chan seam.Receipt)
	if err := a.leave(intake.Request{}, nil); !errors.Is(err, errAtWork) || Leaves(h.cfg.State) {
		t.Errorf("leaving while it prints: %v", err)
	}
	a.sup.done = nil
	a.sup.status = seam.Status{NHeaters: 1, Heaters: [seam.MaxHeaters]seam.Heater{{Target: 60_000}}}
	if err := a.leave(intake.Request{}, nil); !errors.Is(err, errAtWork) || Leaves(h.cfg.State) {
		t.Errorf("leaving while a heater is on: %v", err)
	}
	a.sup.status = seam.Status{}
	h.cfg.State = h.path("nowhere/at/all")
	if err := a.leave(intake.Request{}, nil); err == nil || errors.Is(err, errBusy) {
		t.Errorf("leaving without a disk: %v", err)
	}
	if !a.holding.TryLock() || a.sup.going {
		t.Error("and no job can be taken any more")
	}
}

// TestLeavingGoesOn: wherever power fails, the next start ends what was begun, and a
// receipt is there before the key that signs it goes.
func TestLeavingGoesOn(t *testing.T) {
	h := newHouse(t)
	a := h.agent()
	id := a.tpm.ID()
	l := h.begin(a, false)
	cut := func(step string, do func() error) {
		if err := do(); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		a.tpm.Close()
		a = h.agent() // a start
		again, err := leavingOf(h.cfg)
		if err != nil || again == nil || *again != *l {
			t.Fatalf("after %s: note %+v %v", step, again, err)
		}
	}
	cut("nothing", func() error { return nil })
	cut("a part of the files", func() error { return os.RemoveAll(h.path("state/consent")) })
	cut("all files", func() error { _, err := shredOwner(h.cfg, false); return err })
	if a.tpm.ID() != id {
		t.Fatal("the identity went before there was a receipt")
	}
	// The last cut that is possible: the identity is gone, the note is not.
	if err := a.finishLeaving(t.Context(), l); !errors.Is(err, ErrLeft) {
		t.Fatal(err)
	}
	h.receipt(id, false)
	note, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	h.write("state/"+leavingFile, note)
	cut("the identity", func() error { return nil })
	next := a.tpm.ID()
	if err := a.finishLeaving(context.Background(), l); !errors.Is(err, ErrLeft) || Leaves(h.cfg.State) {
		t.Fatal(err)
	}
	h.receipt(id, false)
	a.tpm.Close()
	if b := h.agent(); next == id || b.tpm.ID() != next {
		t.Error("the new printer lost its identity, too")
	}
	h.write("state/"+leavingFile, []byte("{"))
	if _, err := leavingOf(h.cfg); err == nil || strings.Contains(err.Error(), "{") {
		t.Errorf("a broken note: %v", err)
	}
}
