package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"platen/agent/cli"
	"platen/agent/confine"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/intake"
	"platen/agent/seam"
	"platen/hal"
	"platen/hal/unit"
	"platen/hal/watch"
	"platen/updater"
)

// handle answers one request of the local socket.
func (a *Agent) handle(ctx context.Context, req intake.Request, file *os.File, reply func(intake.Reply) error) error {
	switch req.Op {
	case intake.OpStatus:
		st, err := a.statusView(ctx)
		if err != nil {
			return err
		}
		return reply(intake.Reply{Status: st})
	case intake.OpPrint:
		return a.print(ctx, req, file, reply)
	case intake.OpQueue, intake.OpQueueAdd, intake.OpQueuePrint, intake.OpQueueDrop, intake.OpBedClear:
		return a.queueOp(ctx, req, file, reply)
	case intake.OpUSB:
		return a.sticks(ctx, reply)
	case intake.OpRecredit:
		return a.recredit(ctx, req.Envelope)
	case intake.OpState:
		return a.state(ctx, reply)
	case intake.OpApprove:
		return a.approve(ctx, req.Envelope)
	case intake.OpDiscard:
		return a.discard(ctx)
	case intake.OpContentKey:
		return a.contentKey(ctx, reply)
	case intake.OpPause:
		return a.sup.jobCommand(seam.KindPause)
	case intake.OpResume:
		return a.sup.jobCommand(seam.KindResume)
	case intake.OpCancel:
		return a.sup.jobCommand(seam.KindCancel)
	case intake.OpSkip:
		return a.sup.skip(req.Object)
	case intake.OpSelfTest:
		return a.selfTest(ctx, req, reply)
	case intake.OpHalt:
		return a.sup.command(seam.KindHalt)
	case intake.OpGrant:
		return a.grant(req.Envelope, reply)
	case intake.OpRevoke:
		return a.revoke(req.Recipient)
	case intake.OpEnrol:
		return a.enrol(ctx, req, reply)
	case intake.OpLeave:
		return a.leave(req, reply)
	case intake.OpMirror:
		return a.exportMirror(req, file)
	case intake.OpAudit:
		return a.exportAudit(ctx, req, file)
	case intake.OpUpdate:
		return a.updateFrom(ctx, req, file, reply)
	case intake.OpUpdateWaiting:
		return a.waiting(ctx, reply)
	case intake.OpUpdateApprove:
		return a.approveRelease(req.Envelope)
	case intake.OpUpdateForgive:
		return a.forgive(reply)
	case intake.OpUpdateRepair:
		return a.repairFloor(ctx, req, reply)
	}
	return fmt.Errorf("no such request: %q", req.Op)
}

func (a *Agent) grant(envelope []byte, reply func(intake.Reply) error) error {
	if a.consent == nil {
		return errNoOwner
	}
	g, err := a.consent.Put(envelope, time.Now())
	if err != nil {
		return &refusal{grantCode(err), "grant refused: " + err.Error()}
	}
	a.log.Info("grant in force", "serial", g.Serial)
	return reply(intake.Reply{Event: "granted", Text: g.Text()})
}

// grantCode is the code of a refused grant for programs.
func grantCode(err error) string {
	for _, c := range []struct {
		is   error
		code string
	}{
		{consent.ErrSignature, "signature"}, {consent.ErrRecord, "form"}, {consent.ErrCatalogue, "catalogue"},
		{consent.ErrTime, "time"}, {consent.ErrPrinter, "printer"}, {consent.ErrSerial, "serial"},
	} {
		if errors.Is(err, c.is) {
			return "grant-" + c.code
		}
	}
	return "grant-failed"
}

func (a *Agent) revoke(recipient string) error {
	if a.consent == nil {
		return errNoOwner
	}
	id, err := evidence.ParseRecipientID(recipient)
	if err != nil {
		return fmt.Errorf("revoking: %w", err)
	}
	if err := a.consent.Revoke(id, time.Now()); err != nil {
		return fmt.Errorf("revoking: %w", err)
	}
	a.log.Info("grant revoked")
	return nil
}

var errNoOwner = &refusal{"no-owner", "the printer knows no owner: set owner_key in the configuration"}

// statusView is the printer on one screen.
func (a *Agent) statusView(ctx context.Context) (*intake.Status, error) {
	st, ready, _ := a.sup.snapshot()
	v := &intake.Status{
		Printer: a.tpm.ID().String(), Board: a.board.ID,
		Release: cli.Release(), Version: cli.Version(), Recipient: a.recipient,
		Enrolled: a.enrolled(), Phase: st.Phase.String(), Fault: hal.Fault(st.Fault).String(), Progress: int(st.Progress),
		Confined: confine.Measure(ready.Confined).String(), VaultBytes: ready.VaultBytes,
		Boot: a.tpm.BootCount(), Uptime: time.Since(a.started).Round(time.Second).String(),
		Slot: a.slotName(), Update: a.updateState(),
		Heaters: []intake.HeaterView{}, Recipients: []intake.GrantView{},
		Sensors: len(a.board.Sensors), Sticks: a.stickNames(), Watchdog: a.dog.state(a.cfg.Watchdog != ""),
	}
	v.Queue = fmt.Sprintf("%s, %d of %d jobs, at most %d MiB", a.cfg.Queue, len(a.queue.List()), a.cfg.QueueJobs, a.cfg.QueueBytes>>20)
	if st.Trip != 0 {
		v.Trip = watch.Reason(st.Trip).String()
	}
	for i, x := range a.board.Sensors {
		if st.Missing&(1<<i) != 0 {
			v.Missing = append(v.Missing, x.Name)
		}
	}
	for _, h := range st.Heaters[:st.NHeaters] {
		v.Heaters = append(v.Heaters, intake.HeaterView{Name: heaterName(h.ID), Actual: unit.Celsius(h.Actual).Rounded(), Target: unit.Celsius(h.Target).Rounded()})
	}
	a.viewKeys(ctx, v)
	a.viewTPM(ctx, v)
	v.Broken = a.recovery.view(a.board.Recovers())
	if a.consent != nil {
		for _, g := range a.consent.Grants(time.Now()) {
			v.Recipients = append(v.Recipients, intake.GrantView{ID: g.Recipient.String(), Name: g.Name, Profile: g.Profile.String(), Expires: g.Expiry})
		}
	}
	return v, nil
}

func heaterName(id uint8) string {
	switch {
	case id == 0:
		return "bed"
	case id == 1:
		return "chamber"
	default:
		return fmt.Sprintf("hotend%d", id-8)
	}
}

// updateNow checks for a release and stages it.
func (a *Agent) updateNow(ctx context.Context, reply func(intake.Reply) error) error {
	if a.updates == nil {
		return errors.New("updates are not configured: set [update] in the configuration")
	}
	t, err := a.stage(ctx)
	if errors.Is(err, updater.ErrUpToDate) {
		return reply(intake.Reply{Event: "up-to-date"})
	}
	if err != nil {
		return &updateError{err}
	}
	return reply(intake.Reply{Event: "staged", Text: fmt.Sprint(t.Release)})
}

// updateError gives an updater's error its code.
type updateError struct{ err error }

// Error is the text inside.
func (e *updateError) Error() string { return e.err.Error() }

// Unwrap returns the error inside.
func (e *updateError) Unwrap() error { return e.err }

// ErrorCode is the updater's code behind "update-".
func (e *updateError) ErrorCode() string { return "update-" + updater.Code(e.err) }
