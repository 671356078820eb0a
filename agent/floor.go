package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"platen/agent/attest"
	"platen/agent/cli"
	"platen/agent/config"
	"platen/updater"
	"platen/updater/trust"
)

// tpmFloor is the memory of the update client in the TPM.
type tpmFloor struct{ tpm *attest.TPM }

// Load reads what was kept last.
func (f tpmFloor) Load(ctx context.Context) ([]byte, error) { return f.tpm.Floor(ctx) }

// Save replaces it.
func (f tpmFloor) Save(ctx context.Context, marks []byte) error { return f.tpm.SetFloor(ctx, marks) }

// openSource makes the client of the update repository.
func (a *Agent) openSource(u *config.Update) (*trust.Client, error) {
	root, err := os.ReadFile(u.Root)
	if err != nil {
		return nil, fmt.Errorf("reading the factory root of updates: %w", err)
	}
	log, err := logPolicy(u)
	if err != nil {
		return nil, err
	}
	source, err := trust.New(trust.Config{
		Dir: filepath.Join(a.cfg.State, "tuf"), FactoryRoot: root, URL: u.URL, Mirrors: u.Mirrors, Board: a.board.ID,
		Printer: a.tpm.ID().String(), Ring: u.Ring,
		Client: a.client, NTP: u.NTP, Memory: tpmFloor{a.tpm}, Ticks: a.tpm.Ticks, Log: log, Refused: a.refusedMirror(),
		Floor: updater.Floor{Release: cli.Release()}, MaxTarget: int64(u.Largest), Logger: a.log,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the update metadata: %w", err)
	}
	a.locks = secondLocks{source, u.Owner}
	return source, nil
}

// releaseFloor is the release below which the TPM remembers that this printer never goes
// again, whatever disk is in it; 0 on one that has confirmed none.
func (a *Agent) releaseFloor(ctx context.Context) (uint64, error) {
	marks, err := trust.Remembered(ctx, tpmFloor{a.tpm})
	return marks.Release, err
}
