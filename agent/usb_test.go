package agent

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/attest"
	"platen/agent/intake"
	"platen/agent/intake/stick"
	"platen/agent/intake/stick/sticktest"
)

// plugged is an agent that reads USB sticks, with one plugged in.
func plugged(t *testing.T, m *sticktest.Image) *Agent {
	t.Helper()
	a, _ := operator(t)
	a.cfg.USB, a.cfg.Sys, a.cfg.Dev = true, filepath.Join(t.TempDir(), "sys"), t.TempDir()
	if m == nil {
		return a
	}
	at := filepath.Join(a.cfg.Sys, "devices/usb1/1-1/block/sda")
	for file, text := range map[string]string{"removable": "1", "size": "99", "dev": "8:0", "queue/logical_block_size": "512"} {
		path := filepath.Join(at, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	block := filepath.Join(a.cfg.Sys, "block")
	if err := errors.Join(os.MkdirAll(block, 0o700), os.Symlink(at, filepath.Join(block, "sda")), m.Save(filepath.Join(a.cfg.Dev, "sda"))); err != nil {
		t.Fatal(err)
	}
	return a
}

// listing is what an agent lists.
func listing(t *testing.T, a *Agent) (sticks []intake.StickView, err error) {
	t.Helper()
	err = a.sticks(t.Context(), func(r intake.Reply) error {
		sticks = r.Sticks
		return nil
	})
	return sticks, err
}

// none takes no job.
func none([]byte, io.Reader, int64) error { return errors.New("taken") }

func TestSticksAreAskedFor(t *testing.T) {
	a := plugged(t, nil)
	if got := errorCode(a.fromStick(t.Context(), intake.Request{Job: "0"}, none)); got != "usb-none" {
		t.Errorf("without a stick: %s", got)
	}
	if sticks, err := listing(t, a); err != nil || len(sticks) != 0 || len(a.stickNames()) != 0 {
		t.Errorf("without a stick: %v, %v", sticks, err)
	}
	a = plugged(t, sticktest.Make(sticktest.Plan{FS: sticktest.FAT12}))
	if names := a.stickNames(); len(names) != 1 || names[0] != "sda" {
		t.Errorf("control: %v", names)
	}
	if got := errorCode(a.fromStick(t.Context(), intake.Request{Job: "0"}, none)); got != "usb-job" {
		t.Errorf("an empty stick: %s", got)
	}
	a.usb.Lock()
	if got := errorCode(a.fromStick(t.Context(), intake.Request{Job: "0"}, none)); got != "usb-busy" {
		t.Errorf("while another reads: %s", got)
	}
	a.usb.Unlock()
	a.cfg.USB = false
	if _, err := listing(t, a); errorCode(err) != "usb-off" || len(a.stickNames()) != 0 {
		t.Errorf("sticks are read although they are not to be: %v", err)
	}
}

// TestTicketBeforeItsFile has a sealed file that cannot be opened beside a ticket that
// nobody has signed: it is the ticket that is spoken of, as the file is not looked at.
func TestTicketBeforeItsFile(t *testing.T) {
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	env, err := intake.NewTicket(&intake.Held{Size: 700}, "stl", []string{"P1"}, 1, time.Now(), time.Hour).Sign(t.Context(), stranger)
	if err != nil {
		t.Fatal(err)
	}
	m := sticktest.Make(sticktest.Plan{FS: sticktest.FAT16, Files: []sticktest.File{{Path: "j.age", Data: make([]byte, 700)}, {Path: "j.ticket", Data: env}}})
	m.Link(m.At("j.age").Clusters[0], 1)
	a := plugged(t, m)
	sticks, err := listing(t, a)
	if err != nil || len(sticks) != 1 || len(sticks[0].Jobs) != 1 {
		t.Fatalf("%v, %v", sticks, err)
	}
	if j := sticks[0].Jobs[0]; j.Code != "ticket-signature" || j.ID != "" {
		t.Errorf("%+v", j)
	}
	if got := errorCode(a.fromStick(t.Context(), intake.Request{}, none)); got != "usb-job" {
		t.Errorf("a job that nobody has signed: %s", got)
	}
	err = a.withSticks(t.Context(), func(sticks []openStick, _ func(time.Duration)) error {
		_, err := sticks[0].stick.Sealed(sticks[0].jobs[0].Job, 700)
		return err
	})
	if errorCode(err) != "usb-chain" {
		t.Errorf("control: the file is sound: %v", err)
	}
}

// TestUsedUpOnStick has a ticket without a copy left on a stick: it is refused, but for a
// print that a power loss broke, whose copy is counted already and judged elsewhere.
func TestUsedUpOnStick(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	tpm := new(attest.TPM)
	data := bytes.Repeat([]byte("sealed "), 100)
	ticket := intake.NewTicket(&intake.Held{Size: 700}, "stl", []string{tpm.ID().String()}, 1, time.Now().Add(-time.Minute), time.Hour)
	env, err := ticket.Sign(t.Context(), priv)
	if err != nil {
		t.Fatal(err)
	}
	a := plugged(t, sticktest.Make(sticktest.Plan{FS: sticktest.ExFAT, Files: []sticktest.File{{Path: "j.age", Data: data}, {Path: "j.ticket", Data: env}}}))
	a.tpm, a.cfg.OperatorKeys = tpm, []ed25519.PublicKey{pub}
	req := intake.Request{Job: fmt.Sprintf("%x", []byte(ticket.Job))[:6]}
	taken := 0
	take := func(envelope []byte, sealed io.Reader, size int64) error {
		taken++
		got, err := io.ReadAll(sealed)
		if !bytes.Equal(envelope, env) || !bytes.Equal(got, data) || size != 700 {
			t.Errorf("what is taken is not what is on the stick: %v", err)
		}
		return err
	}
	if err := a.fromStick(t.Context(), req, take); err != nil || taken != 1 {
		t.Fatalf("control: %v", err)
	}
	if err := a.ledger.Take(t.Context(), ticket, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := errorCode(a.fromStick(t.Context(), req, take)); got != "ticket-copies" || taken != 1 {
		t.Errorf("a ticket that is used up: %s", got)
	}
	req.Resume = true
	if err := a.fromStick(t.Context(), req, take); err != nil || taken != 2 {
		t.Errorf("a print that was broken does not go on: %v", err)
	}
}

// TestChoose finds jobs by what their ids begin with.
func TestChoose(t *testing.T) {
	job := func(err error, id ...byte) stickJob { return stickJob{ticket: intake.Ticket{Job: id}, err: err} }
	one, two := &stick.Stick{}, &stick.Stick{}
	bad := errors.New("not this one")
	sticks := []openStick{
		{stick: one, jobs: []stickJob{job(bad), job(bad, 0x12, 0x34), job(nil, 0x12, 0x99), job(nil, 0xAA)}},
		{stick: two, jobs: []stickJob{job(nil, 0x12, 0x34), job(bad, 0xAA)}},
	}
	for id, want := range map[string]*stick.Stick{"1234": two, "129": one, "aa": one, "a": one} {
		if from, j, err := choose(sticks, id); from != want || err != nil || j.err != nil {
			t.Errorf("%s: %v, %v", id, j, err)
		}
	}
	for id, want := range map[string]error{"": errNotOnStick, "12": errManyJobs, "b": errNotOnStick, "12345": errNotOnStick} {
		if _, _, err := choose(sticks, id); err != want {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
	sticks = append(sticks, openStick{err: bad})
	if _, _, err := choose(sticks, "b"); err != bad {
		t.Errorf("a job on a stick that cannot be read: %v", err)
	}
}
