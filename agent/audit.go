package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"platen/agent/audit"
	"platen/agent/cli"
	"platen/agent/intake"
	"platen/agent/seam"
	"platen/hal"
	"platen/updater/slot"
)

// openAudit opens the audit log. One that was tampered with does not stop the printer: it
// is said in the new one, and whoever was granted anything gets nothing until the owner
// has looked.
func (a *Agent) openAudit(ctx context.Context) error {
	dir, err := slot.OpenDir(filepath.Join(a.cfg.State, "audit"))
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	if a.audit, err = audit.Open(ctx, dir, a.tpm, a.log); err != nil {
		return err
	}
	a.audit.Note(audit.Entry{Event: audit.Started, Serial: cli.Release()})
	return nil
}

// record notes the beginnings and ends of jobs, and faults, of which st is the last
// status. It never blocks.
func (a *Agent) record(st seam.Status) {
	now := hal.Fault(st.Fault)
	if last := hal.Fault(a.lastFault.Swap(uint32(now))); now != 0 && now != last {
		a.audit.Note(audit.Entry{Event: audit.Fault, Code: code(now.String())})
	}
}

// ended notes how a job has ended.
func (a *Agent) ended(r seam.Receipt) {
	a.machine.Ended(r)
	a.audit.Note(audit.Entry{Event: audit.JobEnded, Job: hex.EncodeToString(r.Job[:]), Code: code(r.Code.String())})
}

// began notes that a job was handed to the session.
func (a *Agent) began(job [16]byte) {
	a.audit.Note(audit.Entry{Event: audit.JobBegan, Job: hex.EncodeToString(job[:])})
}

// answer answers a request of the local socket, and notes if it is refused.
func (a *Agent) answer(ctx context.Context, req intake.Request, file *os.File, reply func(intake.Reply) error) error {
	err := a.handle(ctx, req, file, reply)
	if req.Op != intake.OpStatus {
		a.refused(err)
	}
	return err
}

// refused notes a request that was refused, by its code.
func (a *Agent) refused(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		a.audit.Note(audit.Entry{Event: audit.Refused, Code: code(errorCode(err))})
	}
}

// updated notes what became of a release.
func (a *Agent) updated(release uint64, what string) {
	a.audit.Note(audit.Entry{Event: audit.Update, Serial: release, Code: code(what)})
}

// code makes a word or two into a code of the audit log.
func code(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, s)
	return s[:min(len(s), 48)]
}

// exportAudit writes the log, signed to the end, into the client's file.
func (a *Agent) exportAudit(ctx context.Context, req intake.Request, file *os.File) error {
	if file == nil {
		return errors.New("an export needs a file to be written to")
	}
	return a.audit.Export(ctx, file, req.Nonce)
}
