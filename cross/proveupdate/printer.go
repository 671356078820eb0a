package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"platen/cross/rig"
	"platen/cross/rig/stage"
	"platen/updater/slot"
)

// patience is a guard against hanging.
const patience = 10 * time.Minute

// printer is a printer as its users have it: the real binary, started by its launcher, with a
// TPM, a controller, and releases from a web server.
type printer struct {
	stage.Stage
	shop  *shop
	tpm   *rig.Swtpm
	boot  *stage.Process // the launcher; nil while the printer is off
	agent []byte         // the binary
	last  uint64         // the newest release
	board *board

	sessions int // that stood still under what is known to be safe
}

const printerConfig = `board = "sim"
device = "tty"
state = "state"
socket = "run/agent.sock"
owner_key = "owner.pub"
vault = "2MiB"
max_job = "1MiB"
tpm = %q
allow_swap = true

[update]
url = %q
root = "root.json"
slots = "slots"
period = "24h"
largest = "64MiB"
`

// newPrinter is a printer as it leaves the factory, with release 1, switched off. platen is
// the agent's binary, beside which platen-sim is.
func newPrinter(ctx context.Context, dir, platen string) (*printer, error) {
	platen, err := filepath.Abs(platen)
	if err != nil {
		return nil, err
	}
	p := &printer{last: 1}
	p.Dir, p.Bins = filepath.Join(dir, "box"), filepath.Dir(platen)
	if err := os.Mkdir(p.Dir, 0o700); err != nil {
		return nil, err
	}
	if p.agent, err = os.ReadFile(platen); err != nil {
		return nil, err
	}
	if p.shop, err = openShop(dir); err != nil {
		return nil, err
	}
	if p.tpm, err = rig.StartSwtpm(ctx, filepath.Join(dir, "tpm")); err != nil {
		return p, err
	}
	return p, p.factory(ctx, platen)
}

// factory installs release 1 and starts what is on the other end of the printer's cable.
func (p *printer) factory(ctx context.Context, platen string) error {
	root, err := p.shop.repo.Root()
	if err != nil {
		return err
	}
	if p.board, err = newBoard(p.Dir); err != nil {
		return err
	}
	if _, err := p.Run(ctx, platen, "consent", "keygen", "owner"); err != nil {
		return err
	}
	err = errors.Join(os.WriteFile(p.Path("root.json"), root, 0o644),
		os.WriteFile(p.Path("platen.toml"), fmt.Appendf(nil, printerConfig+p.board.config(), p.tpm.Path(), p.shop.srv.URL), 0o600),
		os.WriteFile(p.Path("release"), p.program(1), 0o755))
	if err != nil {
		return err
	}
	if _, err := p.Run(ctx, platen, "install", "release", "--release", "1", "--config", "platen.toml"); err != nil {
		return err
	}
	if err := p.board.controllerOn(); err != nil {
		return err
	}
	if err := os.WriteFile(p.Path("one.hex"), hexOf(firmware(1)), 0o644); err != nil {
		return err
	}
	if _, err := p.Platen(ctx, "controller", "flash", "one.hex", "--device", "controller", "--yes", "--release", "1"); err != nil {
		return err
	}
	if err := p.board.off(); err != nil {
		return err
	}
	sim, err := p.Start("platen-sim", nil, "-o", "jsonl", "--pty", "tty", "--speed", "max")
	if err == nil {
		_, err = sim.Wait(ctx, patience, 0, func(e stage.Event) bool { return e.Event == "ready" })
	}
	return err
}

// program is the agent as a release: what is behind its end differs, and makes it larger than
// what is written between two checkpoints.
func (p *printer) program(n uint64) []byte {
	const behind = 4 << 20
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	text := make([]byte, len(p.agent)+behind)
	rng.Read(text[copy(text, p.agent):])
	return text
}

// next publishes another release.
func (p *printer) next() error {
	file := filepath.Join(p.shop.dir, "release")
	if err := os.WriteFile(file, p.program(p.last+1), 0o755); err != nil {
		return err
	}
	p.last++
	items, err := p.board.items(p.shop.dir, p.last, file)
	if err != nil {
		return err
	}
	return p.shop.release(items...)
}

// on switches the printer on, unless it is, and waits until its agent answers.
func (p *printer) on(ctx context.Context) error {
	if err := p.power(); err != nil {
		return err
	}
	_, err := p.await(ctx, func(said) bool { return true })
	return err
}

// power switches the printer on, unless it is.
func (p *printer) power() (err error) {
	if p.boot == nil {
		if err = p.board.on(); err == nil {
			name, args := p.board.launcher(p.Bin("platen"))
			p.boot, err = p.Start(name, nil, args...)
		}
	}
	return err
}

// said is what platen status says.
type said struct {
	Slot   string
	Update string
	Phase  string
}

// await asks the agent until what it says will do.
func (p *printer) await(ctx context.Context, want func(said) bool) (said, error) {
	limit, cancel := context.WithTimeout(ctx, patience) // not of what is started here
	defer cancel()
	for {
		var s said
		out, err := p.Run(limit, "platen", "status", "-o", "json", "--config", "platen.toml")
		if err == nil {
			err = json.Unmarshal(out, &s)
		}
		if err == nil && want(s) {
			return s, nil
		}
		if p.board.ordered() {
			if err := errors.Join(p.cutPower(ctx), p.power()); err != nil {
				return s, err
			}
		}
		select {
		case <-limit.Done():
			return s, fmt.Errorf("the agent does not get there: %+v, %v\n%s", s, err, p.log())
		case <-p.boot.Done:
			return s, fmt.Errorf("the launcher ended: %w\n%s", p.boot.Err, p.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// log is the end of what launcher and agent have logged.
func (p *printer) log() string {
	text, err := os.ReadFile(p.boot.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// agentPID is the agent's process, 0 if there is none just now.
func (p *printer) agentPID() int {
	pids := rig.Children(p.boot.Cmd.Process.Pid)
	if len(pids) == 0 {
		return 0
	}
	return pids[0]
}

// killAgent kills the agent with that number, if the launcher still has it: while that stands
// still the number is nobody else's.
func (p *printer) killAgent(pid int) error {
	launcher := p.boot.Cmd.Process.Pid
	defer syscall.Kill(launcher, syscall.SIGCONT)
	if err := rig.Freeze(launcher); err != nil {
		return err
	}
	if !slices.Contains(rig.Children(launcher), pid) {
		return nil
	}
	syscall.Kill(pid, syscall.SIGKILL)
	return rig.Gone(pid)
}

// cutPower kills launcher, agent and session, resets the TPM, switches the controller off, and
// forgets what lives no longer than a boot. Nothing is started meanwhile: each is frozen before
// those it has started are looked for. What stands still then has to be safe.
func (p *printer) cutPower(ctx context.Context) error {
	if p.boot == nil {
		return nil
	}
	all := append([]int{p.boot.Cmd.Process.Pid}, orphans(p.Dir)...)
	for i := 0; i < len(all); i++ {
		if err := rig.Freeze(all[i]); err != nil {
			return err
		}
		for _, pid := range rig.Children(all[i]) {
			if !slices.Contains(all, pid) {
				all = append(all, pid)
			}
		}
	}
	sessions, unsafe := p.board.safe(all, p.last)
	if unsafe == nil {
		p.sessions += sessions
	}
	for _, pid := range all {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range all {
		if err := rig.Gone(pid); err != nil {
			return err
		}
	}
	<-p.boot.Done
	p.boot = nil
	return errors.Join(unsafe, p.board.off(), os.RemoveAll(p.Path("run")), p.tpm.Reset(ctx))
}

// orphans are sessions of the printer in dir, whoever their parent is: each names its folder,
// and one that outlives its agent is nobody's child here.
func orphans(dir string) (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if f := strings.Split(string(text), "\x00"); err == nil && len(f) > 1 && f[1] == "session" && strings.Contains(string(text), dir) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// record is the printer's slot record.
func (p *printer) record() (slot.Record, error) {
	d, err := slot.OpenDir(p.Path("slots"))
	if err != nil {
		return slot.Record{}, err
	}
	defer d.Close()
	return slot.NewLog(d).Load()
}

// arrived is how much of a release is in the file that is being written, if something was
// written since.
func (p *printer) arrived(since time.Time) int64 {
	for _, n := range []string{"a", "b"} {
		if st, err := os.Stat(p.Path("slots/" + n + "/platen.new")); err == nil && st.ModTime().After(since) {
			return st.Size()
		}
	}
	return 0
}

// close ends everything.
func (p *printer) close(ctx context.Context) error {
	err := p.cutPower(ctx)
	p.Stop()
	if p.board != nil {
		err = errors.Join(err, p.board.off(), p.board.fs.Close())
	}
	if p.tpm != nil {
		err = errors.Join(err, p.tpm.Stop())
	}
	p.shop.close()
	return err
}
