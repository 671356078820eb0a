package virtual

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"platen/cross/hil"
	"platen/cross/hil/cutdisk"
	"platen/cross/rig"
)

// Unplug pulls the network's cable, or puts it back, before the machine is switched on: an unplugged
// one still has its router, and reaches nothing beyond it.
func (m *Machine) Unplug(out bool) { m.alone = out }

// Keep stops the machine, keeps this moment of it (memory, processor, devices, TPM and disk), and
// switches it off. See Rewind. There is one moment at a time.
func (m *Machine) Keep(ctx context.Context) error {
	if m.on == nil {
		return errors.New("keep a moment: the machine is off")
	}
	if err := os.RemoveAll(m.moment()); err != nil {
		return fmt.Errorf("keep a moment: %w", err)
	}
	if err := os.Mkdir(m.moment(), 0o700); err != nil {
		return fmt.Errorf("keep a moment: %w", err)
	}
	q := m.on.qmp
	if err := q.do(ctx, "stop", nil, nil); err != nil {
		return err
	}
	if err := q.do(ctx, "migrate", map[string]string{"uri": "exec:cat > '" + m.memory() + "'"}, nil); err != nil {
		return err
	}
	if err := q.migrated(ctx); err != nil {
		return err
	}
	if err := m.end(cutdisk.LoseNone); err != nil {
		return err
	}
	disk := filepath.Join(m.moment(), "disk")
	err := errors.Join(os.Rename(m.image, disk), os.CopyFS(filepath.Join(m.moment(), "tpm"), os.DirFS(m.tpmState())))
	if err != nil {
		return fmt.Errorf("keep a moment: %w", err)
	}
	m.image, m.own = disk, false
	return nil
}

// Rewind switches the machine on at the moment that was kept: it goes on from there, however often
// it is done. What its disk and its TPM held since is gone.
func (m *Machine) Rewind(ctx context.Context) (hil.Wires, error) {
	if m.on != nil {
		return hil.Wires{}, errors.New("rewind: the machine is on")
	}
	err := errors.Join(m.forget(), os.RemoveAll(m.tpmState()))
	if err == nil {
		err = os.CopyFS(m.tpmState(), os.DirFS(filepath.Join(m.moment(), "tpm")))
	}
	if err != nil {
		return hil.Wires{}, fmt.Errorf("rewind: %w", err)
	}
	m.image, m.own = filepath.Join(m.moment(), "disk"), false
	return m.switchOn(ctx, "-incoming", "exec:cat '"+m.memory()+"'")
}

// moment is the folder of the moment that was kept, memory its memory, processor and devices.
func (m *Machine) moment() string   { return filepath.Join(m.cfg.Dir, "moment") }
func (m *Machine) memory() string   { return filepath.Join(m.moment(), "memory") }
func (m *Machine) tpmState() string { return filepath.Join(m.tpmDir(), "state") }

// Memory writes all memory of the machine, which is on, to the new file path. It stands still meanwhile.
func (m *Machine) Memory(ctx context.Context, path string) error {
	if m.on == nil {
		return errors.New("look at the memory: the machine is off")
	}
	q := m.on.qmp
	err := q.do(ctx, "stop", nil, nil)
	if err == nil {
		err = q.do(ctx, "human-monitor-command", map[string]string{
			"command-line": "pmemsave " + strconv.Itoa(ramAt) + " " + strconv.Itoa(m.cfg.MiB<<20) + " \"" + path + "\""}, nil)
	}
	return errors.Join(err, q.goOn(ctx))
}

// WithTPM calls fn with a copy of the machine's TPM, which is off, as after a reset; see attest.Config for
// its path. The machine's own stays as it is.
func (m *Machine) WithTPM(ctx context.Context, fn func(path string) error) error {
	if m.on != nil {
		return errors.New("look at the TPM: the machine is on")
	}
	dir := filepath.Join(m.cfg.Dir, "tpm-copy")
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(m.tpmDir())); err != nil {
		return fmt.Errorf("look at the TPM: %w", err)
	}
	tpm, err := rig.StartSwtpm(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(fn(tpm.Path()), tpm.Stop())
}

// ramAt is where the memory of QEMU's "virt" begins.
const ramAt = 1 << 30

// migrated waits until a machine that was stopped has written all of itself.
func (m *monitor) migrated(ctx context.Context) error {
	return m.until(ctx, "query-migrate", func(s state) (bool, error) {
		if s.Status == "failed" || s.Status == "cancelled" {
			return false, fmt.Errorf("keep a moment: the machine cannot be written down: %s", s.Desc)
		}
		return s.Status == "completed", nil
	})
}

// goOn has a machine run that stands still, or that is to go on where it stood once, when all of that is
// there: what it is told before is lost.
func (m *monitor) goOn(ctx context.Context) error {
	return m.until(ctx, "query-status", func(s state) (bool, error) {
		if s.Status == "running" || s.Status == "inmigrate" {
			return s.Status == "running", nil
		}
		return false, m.do(ctx, "cont", nil, nil)
	})
}

// state is what the monitor says of the machine.
type state struct {
	Status string
	Desc   string `json:"error-desc"`
}

// until asks until ok likes the answer.
func (m *monitor) until(ctx context.Context, question string, ok func(state) (bool, error)) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var s state
		if err := m.do(ctx, question, nil, &s); err != nil {
			return err
		}
		if done, err := ok(s); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
