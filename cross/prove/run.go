package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"platen/cross/rig"
	"platen/cross/rig/stage"
)

// job is a file to print and what its printing needs.
type job struct{ file, ticket string }

// args are the arguments of platen print.
func (j job) args() []string {
	if j.ticket == "" {
		return []string{"print", j.file}
	}
	return []string{"print", j.file, "--ticket", j.ticket}
}

// seal seals plain to the printer with age, which gets it through a pipe: nothing in
// clear is on a disk. The operator's ticket is for as many copies as there can be.
func (h *house) seal(ctx context.Context, name string, plain []byte) (job, error) {
	j := job{h.desk.Path(name + ".age"), h.desk.Path(name + ".ticket")}
	st, err := h.await(ctx, "idle")
	if err != nil {
		return j, err
	}
	cmd := exec.CommandContext(ctx, h.desk.Bin("age"), "-r", st.Recipient, "-o", j.file)
	cmd.Stdin = bytes.NewReader(plain)
	if out, err := cmd.CombinedOutput(); err != nil {
		return j, fmt.Errorf("age: %w: %s", err, out)
	}
	ticket, err := h.desk.Run(ctx, "platen-fleet", "ticket", j.file, "--key", h.desk.Path("operator"), "--printer", st.Printer, "--copies", "10000")
	if err != nil {
		return j, err
	}
	return j, os.WriteFile(j.ticket, ticket, 0o600)
}

// print has the client send a job; the client is done when the job is.
func (h *house) print(j job) (*stage.Process, error) {
	return h.desk.Start("platen", nil, append(j.args(), "--config", h.box.Path("platen.toml"))...)
}

// printed waits until a job has been printed to its end.
func printed(ctx context.Context, client *stage.Process) error {
	select {
	case <-client.Done:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return errors.New("the print does not end")
	}
	if client.Err != nil {
		text, _ := os.ReadFile(client.Log)
		return fmt.Errorf("the print failed: %w: %s", client.Err, bytes.TrimSpace(text))
	}
	return nil
}

// middle starts a job on a slow line and pauses it in its middle: it stands there, with
// all that it needs in memory, until it is resumed or ended.
func (h *house) middle(ctx context.Context, j job) (*stage.Process, error) {
	h.wire.setSlow(true)
	begun := h.wire.after(5)
	client, err := h.print(j)
	if err != nil {
		return nil, err
	}
	select {
	case <-begun:
	case <-client.Done:
		return nil, fmt.Errorf("the print ended at once: %w", printed(ctx, client))
	case <-time.After(patience):
		return nil, errors.New("the print does not begin")
	}
	if err := h.owner(ctx, "pause"); err != nil {
		return nil, err
	}
	_, err = h.await(ctx, "paused")
	return client, err
}

// finish resumes a paused job and has it printed to its end.
func (h *house) finish(ctx context.Context, client *stage.Process) error {
	h.wire.setSlow(false)
	if err := h.owner(ctx, "resume"); err != nil {
		return err
	}
	if err := printed(ctx, client); err != nil {
		return err
	}
	_, err := h.await(ctx, "idle")
	return err
}

// off ends the printer's processes: the agent, and a session that outlives it. Those of
// SIGTERM are ended in order.
func (h *house) off(sig syscall.Signal) {
	if h.agent == nil {
		return
	}
	session := h.session()
	h.agent.Cmd.Process.Signal(sig)
	select {
	case <-h.agent.Done:
	case <-time.After(patience):
		h.agent.Cmd.Process.Kill()
		<-h.agent.Done
	}
	for _, pid := range []int{session, h.session()} {
		if pid != 0 {
			rig.Kill(pid, syscall.SIGKILL)
		}
	}
}

// enrolled enrols the printer and has its owner grant the fleet all machine data there
// is, unless that was done before.
func (h *house) enrolled(ctx context.Context) error {
	if h.sealTo != "" {
		return nil
	}
	st, err := h.await(ctx, "idle")
	if err != nil {
		return err
	}
	claim, err := h.desk.Run(ctx, "platen-fleet", "claim", "new", "--dir", h.desk.Path("fleet"))
	if err != nil {
		return err
	}
	out, err := h.box.Platen(ctx, "enrol", strings.TrimSpace(string(claim)), "-o", "json")
	if err != nil {
		return err
	}
	recipient := field(out, "text")
	h.sealTo = st.Recipient
	return h.owner(ctx, "consent", "grant", "--key", h.desk.Path("owner"), "--recipient", recipient, "--name", "proof", "--profile", "owner", "--period", "1s")
}
