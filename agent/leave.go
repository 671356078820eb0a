package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"platen/agent/config"
	"platen/agent/durable"
	"platen/agent/evidence"
	"platen/agent/intake"
	"platen/agent/uplink"
)

// ErrLeft is what Run returns when the printer left its owner: everything of the owner's
// is gone, and the next start is that of a new printer.
var ErrLeft = errors.New("the printer has left its owner: everything of the owner's is gone")

// errLeaving ends the agent so that nothing writes any more while it leaves.
var errLeaving = errors.New("the printer leaves its owner")

// errAtWork refuses to leave while a job runs or a heater is on.
var errAtWork = &refusal{"busy", "the printer prints or heats: wait, or platen cancel, and switch its heaters off"}

// Names below the state folder. What else is in there is the owner's, but for the floors
// of releases and the controller's journal: no owner may make an old release run, or have
// a controller that was flashed by half taken for a whole one.
const (
	leavingFile = "leaving.json"
	receiptName = "receipt.pem"
	ticketsFile = "tickets.json"
	trustDir    = "tuf"
	flashDir    = "controller"
)

// leaving is the note that a printer leaves: from it on, each start goes on with that.
type leaving struct {
	Printer evidence.PrinterID `json:"printer"`
	Keep    bool               `json:"keep"` // identity and keys stay
}

// leave begins to leave: once this has returned, the agent ends and the owner's data goes
// ([Agent.finishLeaving]). The reply's text is the file in which the receipt will be.
func (a *Agent) leave(req intake.Request, reply func(intake.Reply) error) error {
	if !a.holding.TryLock() {
		return errBusy
	}
	if !a.sup.none && !a.sup.retire() { // prints in clear never hold a sealed file
		a.holding.Unlock()
		return errAtWork
	}
	// Neither is undone: no other job begins.
	b, err := json.Marshal(leaving{a.tpm.ID(), req.Keep})
	if err == nil {
		err = durable.Replace(filepath.Join(a.cfg.State, leavingFile), b)
	}
	if err != nil {
		a.sup.stay()
		a.holding.Unlock()
		return fmt.Errorf("leaving the owner: %w", err)
	}
	a.log.Warn("the printer leaves its owner", "keeps_identity", req.Keep)
	err = reply(intake.Reply{Event: "leaving", Text: filepath.Join(a.cfg.State, receiptName)})
	a.goodbye()
	return err
}

// stay takes back that the supervisor was retired.
func (s *supervisor) stay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.going = false
}

// leavingOf reads the note; nil if the printer does not leave.
func leavingOf(cfg *config.Config) (*leaving, error) {
	b, err := os.ReadFile(filepath.Join(cfg.State, leavingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	l := &leaving{}
	if err == nil {
		err = json.Unmarshal(b, l)
	}
	if err != nil {
		return nil, fmt.Errorf("reading that the printer leaves its owner: %w", err)
	}
	return l, nil
}

// finishLeaving removes what is the owner's and returns ErrLeft. Power may fail anywhere
// in it: the note is removed last, and a receipt is there before the key that signed it goes.
func (a *Agent) finishLeaving(ctx context.Context, l *leaving) error {
	if l.Printer == a.tpm.ID() {
		files, err := shredOwner(a.cfg, l.Keep)
		if err != nil {
			return err
		}
		receipt, err := a.receipt(ctx, l.Keep, files)
		if err != nil {
			return err
		}
		if err := durable.Replace(filepath.Join(a.cfg.State, receiptName), receipt); err != nil {
			return fmt.Errorf("keeping the receipt: %w", err)
		}
		if !l.Keep {
			a.tellFleets(ctx, receipt)
		}
		if err := a.tpm.Forget(ctx, l.Keep); err != nil {
			return err
		}
	}
	if err := durable.Remove(filepath.Join(a.cfg.State, leavingFile)); err != nil {
		return fmt.Errorf("leaving the owner: %w", err)
	}
	return ErrLeft
}

// shredOwner removes the owner's files. With the identity the record of printed copies
// stays: tickets of before could be printed again without it.
func shredOwner(cfg *config.Config, keep bool) (uint64, error) {
	files, err := shred(cfg.State, func(name string) bool {
		return name == leavingFile || name == trustDir || name == flashDir || keep && name == ticketsFile
	})
	if err != nil {
		return files, err
	}
	more, err := shred(RunDir(cfg), func(name string) bool { return !strings.HasPrefix(name, "chain-") })
	if err == nil && cfg.Record != "" {
		err = overwrite(cfg.Record)
		if err == nil {
			err = os.Remove(cfg.Record)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return files + more, err
}

// receipt is what the printer signs of it, in PEM.
func (a *Agent) receipt(ctx context.Context, keep bool, files uint64) ([]byte, error) {
	key, err := a.tpm.AttestationKey(ctx)
	if err != nil {
		return nil, err
	}
	goes, err := a.tpm.Holds(ctx, keep)
	if err != nil {
		return nil, err
	}
	r := evidence.Receipt{V: evidence.Version, AK: key, At: uint64(max(time.Now().Unix(), 0)), Kept: keep, Files: files, Indices: goes}
	return r.Sign(func(digest [32]byte) (evidence.Quote, error) { return a.tpm.Quote(ctx, digest) })
}

// tellFleets hands the receipt to each fleet that the printer was enrolled with. One that
// cannot be reached gets it from the owner.
func (a *Agent) tellFleets(ctx context.Context, receipt []byte) {
	for _, f := range a.fleets {
		if f.result() == nil {
			continue
		}
		if err := uplink.Leave(ctx, f.cfg.Enrol, f.roots, receipt); err != nil {
			a.log.Warn("fleet was not told: give it the receipt", "fleet", f.cfg.Name, "error", err.Error())
		}
	}
}

// Leaves reports whether the printer with this state folder leaves its owner and is not
// done with it.
func Leaves(state string) bool {
	_, err := os.Stat(filepath.Join(state, leavingFile))
	return err == nil
}
