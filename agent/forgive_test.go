package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platen/agent/attest"
	"platen/agent/config"
	"platen/agent/consent"
	"platen/agent/intake"
	"platen/boards"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
	"platen/updater"
	"platen/updater/boot"
	"platen/updater/publish"
	"platen/updater/slot"
)

// updatable is a printer whose slot record and TPM can be spoiled.
type updatable struct {
	*Agent
	t     *testing.T
	slots *boot.Slots
}

func newUpdatable(t *testing.T, swtpm *rig.Swtpm) *updatable {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	r, err := publish.Init(at("repo"), at("keys"), "", publish.DefaultPolicy(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	tpm, err := attest.New(t.Context(), attest.Config{Path: swtpm.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tpm.Close() })
	slots, err := boot.Open(at("slots"), slot.None)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	a := &Agent{
		cfg: &config.Config{State: at("state"), Update: &config.Update{URL: at("repo"), Root: at("repo/1.root.json"), Slots: at("slots")}},
		tpm: tpm, log: log, sup: &supervisor{log: log}, board: &boards.Board{ID: "sim"}, client: http.DefaultClient,
	}
	if err := errors.Join(a.openAudit(t.Context()), a.openUpdates()); err != nil {
		t.Fatal(err)
	}
	return &updatable{a, t, slots}
}

// audited is the audit log as it is exported.
func (u *updatable) audited() string {
	u.t.Helper()
	ctx, cancel := context.WithCancel(u.t.Context())
	cancel() // Run writes what was noted once more, and ends
	if err := u.audit.Run(ctx); err != nil {
		u.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := u.audit.Export(u.t.Context(), &b, ""); err != nil {
		u.t.Fatal(err)
	}
	return b.String()
}

// said is the one reply to a request.
func said(t *testing.T, ask func(func(intake.Reply) error) error) (got intake.Reply) {
	t.Helper()
	if err := ask(func(r intake.Reply) error { got = r; return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestForgive: why a release has failed is in the audit log once, and so is that somebody
// lets it be tried again; then it may be.
func TestForgive(t *testing.T) {
	u := newUpdatable(t, rigtest.Swtpm(t))
	none := func(intake.Reply) error { return nil }
	if err := u.forgive(none); !errors.Is(err, errNothing) {
		t.Errorf("nothing has failed: %v", err)
	}
	_, err := u.slots.Log().Update(func(r *slot.Record) error { r.Bad, r.Why = 5, slot.NoUplink; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // as at each start
		b, err := u.updates.up.Booted()
		if err != nil {
			t.Fatal(err)
		}
		u.failed(b)
	}
	if got := u.whyFailed(); got != 13 {
		t.Errorf("what telemetry says of it: %d", got)
	}
	noted := filepath.Join(u.cfg.State, failedFile)
	text, err := os.ReadFile(noted)
	if err = errors.Join(err, os.Remove(noted), os.MkdirAll(filepath.Join(noted, "stuck"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := u.forgive(none); err == nil {
		t.Error("forgiven, and the next failure would not be noted")
	}
	if b, err := u.updates.up.Booted(); err != nil || b.Bad != 5 || u.whyFailed() != 13 {
		t.Errorf("half forgiven: %d, %v", b.Bad, err)
	}
	if err := errors.Join(os.RemoveAll(noted), os.WriteFile(noted, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := said(t, u.forgive); got.Event != "forgiven" || got.Text != "5" {
		t.Errorf("forgiven: %+v", got)
	}
	log := u.audited()
	if strings.Count(log, `"failed-no-uplink"`) != 1 || strings.Count(log, `"forgiven"`) != 1 {
		t.Errorf("the audit log says:\n%s", log)
	}
	if b, err := u.updates.up.Booted(); err != nil || b.Bad != 0 || u.whyFailed() != 0 {
		t.Errorf("still held against it: %d, %v", b.Bad, err)
	}
	if _, err := os.Stat(noted); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was noted of it is there: %v", err)
	}
}

// TestMarksAreRepairedByWhoMay: whoever spoils what the TPM keeps and wipes the disk gets no
// older release in; the owner's word, given in this start, makes new marks.
func TestMarksAreRepairedByWhoMay(t *testing.T) {
	u := newUpdatable(t, rigtest.Swtpm(t))
	ctx := t.Context()
	public, owner, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	u.cfg.OwnerKey = public
	repair := func(req intake.Request) func(func(intake.Reply) error) error {
		return func(reply func(intake.Reply) error) error { return u.repairFloor(ctx, req, reply) }
	}
	none := func(intake.Reply) error { return nil }
	if err := repair(intake.Request{})(none); !errors.Is(err, errNothing) {
		t.Errorf("nothing is damaged: %v", err)
	}
	if _, err := u.stage(ctx); !errors.Is(err, updater.ErrUnknownBoard) { // the control
		t.Fatalf("before: %v", err)
	}
	if err := u.tpm.SetFloor(ctx, make([]byte, attest.FloorSize)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(u.cfg.State, "tuf")); err != nil {
		t.Fatal(err)
	}
	if err := u.openUpdates(); err != nil { // as after a restart
		t.Fatal(err)
	}
	if err := u.confirm(ctx); err != nil {
		t.Errorf("the agent ends: %v", err)
	}
	if _, err := u.stage(ctx); !errors.Is(err, updater.ErrMarks) {
		t.Errorf("damaged: %v", err)
	}
	statement := []byte(said(t, repair(intake.Request{Release: 9})).Text)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(text []byte, key ed25519.PrivateKey) []byte {
		word, err := consent.SignRelease(text, key)
		if err != nil {
			t.Fatal(err)
		}
		return word
	}
	start := fmt.Sprintf("start %d\n", u.tpm.BootCount())
	earlier := bytes.Replace(statement, []byte(start), []byte("start 1000000\n"), 1)
	for name, word := range map[string][]byte{
		"unsigned": statement, "by a stranger": sign(statement, stranger), "of another start": sign(earlier, owner),
		"on a release": sign(consent.ReleaseStatement([]byte("platen release v1\n")), owner),
	} {
		if err := repair(intake.Request{Envelope: word})(none); err == nil {
			t.Errorf("%s: repaired", name)
		}
	}
	if got := said(t, repair(intake.Request{Envelope: sign(statement, owner)})); got.Text != "9" {
		t.Errorf("repaired: %+v", got)
	}
	if floor, err := u.releaseFloor(ctx); err != nil || floor != 9 {
		t.Errorf("the floor is %d, %v", floor, err)
	}
	if _, err := u.stage(ctx); !errors.Is(err, updater.ErrUnknownBoard) {
		t.Errorf("after: %v", err)
	}
	if log := u.audited(); !strings.Contains(log, `"marks-damaged"`) || !strings.Contains(log, `"floor-repaired"`) {
		t.Errorf("the audit log says:\n%s", log)
	}
}
