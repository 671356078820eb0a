package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/attest"
	"platen/agent/fleet"
	"platen/agent/fleet/ca"
	"platen/cross/rig"
	"platen/cross/rig/stage"
)

// patience is a guard against hanging: how long anything that has to come may take.
const patience = 3 * time.Minute

// house is where the proof takes place: a printer, whose files are on a file system of
// their own, and the desk of those who send to it.
type house struct {
	box  stage.Stage // of the printer: its configuration, state and logs, and nothing else
	desk stage.Stage // of its owner, its operator and the fleet

	image   string // the box's file system as a file; "" if it is a plain folder
	noImage error  // why

	tpm    *rig.Swtpm
	wire   *wire
	broker *stage.Broker
	mqtt   *record
	agent  *stage.Process
	leaky  string // the leaking build
	sealTo string
	began  time.Time
}

// record keeps what is written to it.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps p.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

// bytes is all that was kept.
func (r *record) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.b.Bytes())
}

// imageSize is how large the printer's file system is in bytes.
const imageSize = 96 << 20

// newHouse makes a house below a new folder of its own, with a printer that is not
// switched on yet.
func newHouse(ctx context.Context, bins string) (*house, error) {
	dir, err := os.MkdirTemp("", "plprove") // short: a unix socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	h := &house{began: time.Now(), mqtt: &record{}, leaky: filepath.Join(dir, "platen-leaky")}
	h.desk = stage.Stage{Dir: dir, Bins: bins}
	h.box = stage.Stage{Dir: filepath.Join(dir, "box"), Bins: bins}
	if err := os.Mkdir(h.box.Dir, 0o700); err != nil {
		return h, err
	}
	h.image = filepath.Join(dir, "box.img")
	if h.noImage = h.mountImage(ctx); h.noImage != nil {
		h.image = ""
	}
	for _, d := range []string{"home", "tmp"} {
		if err := os.Mkdir(h.box.Path(d), 0o700); err != nil {
			return h, err
		}
	}
	if h.wire, err = newWire(); err != nil {
		return h, err
	}
	if err := os.Symlink(h.wire.port, h.box.Path("tty")); err != nil {
		return h, err
	}
	if h.tpm, err = rig.StartSwtpm(ctx, h.desk.Path("tpm")); err != nil {
		return h, err
	}
	return h, h.configure(ctx)
}

// mountImage makes the printer's file system and mounts it as a loop device.
func (h *house) mountImage(ctx context.Context) error {
	f, err := os.Create(h.image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(imageSize), f.Close()); err != nil {
		return err
	}
	mkfs, err := rig.Command(ctx, "mkfs.ext4", "-q", "-F", h.image)
	if err != nil {
		return err
	}
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, bytes.TrimSpace(out))
	}
	return h.mount(ctx)
}

// mount mounts the image.
func (h *house) mount(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "mount", "-o", "loop", h.image, h.box.Dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount -o loop: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// unmount takes the printer's file system away, and ends whatever still stands on it: a
// session, say, that its agent had just begun to start.
func (h *house) unmount() error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = unix.Unmount(h.box.Dir, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		all, perr := processes()
		if perr != nil {
			return perr
		}
		for _, p := range all {
			if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid)); err == nil && cwd == h.box.Dir {
				_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may be gone by now
			}
		}
	}
	if err != nil {
		return fmt.Errorf("unmounting the printer's file system: %w", err)
	}
	return nil
}

// configure writes keys and configuration, starts the fleet and the broker before it,
// and measures the agent as its launcher would.
func (h *house) configure(ctx context.Context) error {
	for _, name := range []string{"owner", "operator"} {
		if _, err := h.desk.Run(ctx, "platen", "consent", "keygen", h.desk.Path(name)); err != nil {
			return err
		}
	}
	authority, err := ca.Open(fleet.CADir(h.desk.Path("fleet")))
	if err != nil {
		return err
	}
	cert, err := stage.Insider(authority.Path(), h.desk.Dir)
	if err != nil {
		return err
	}
	if h.broker, err = stage.NewBroker(cert, h.mqtt); err != nil {
		return err
	}
	up, err := h.desk.Start("platen-fleet", nil, "up", "-o", "jsonl", "--dir", h.desk.Path("fleet"), "--name", "proof",
		"--listen-mqtt", "127.0.0.1:0", "--listen-https", "127.0.0.1:0", "--public-mqtt", h.broker.Addr, "--agent", "1="+h.box.Bin("platen"),
		"--broker", h.broker.Addr, "--broker-ca", authority.Path(), "--broker-cert", h.desk.Path("insider.pem"), "--broker-key", h.desk.Path("insider.key"),
		"--ek-ca", strings.Join(h.tpm.CAs, ","))
	if err != nil {
		return err
	}
	ready, err := up.Wait(ctx, patience, 0, func(e stage.Event) bool { return e.Event == "ready" })
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`board = "sim"
device = "tty"
state = "state"
socket = "run/agent.sock"
owner_key = %q
operator_keys = [%q]
allow_swap = true
vault = "16MiB"
max_job = "4MiB"
tpm = %q
[fleet]
enrol = %q
ca = %q
`, h.desk.Path("owner.pub"), h.desk.Path("operator.pub"), h.tpm.Path(), ready.HTTPS, authority.Path())
	if err := os.WriteFile(h.box.Path("platen.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	return h.measure(ctx)
}

// measure extends PCR 14 with the agent.
func (h *house) measure(ctx context.Context) error {
	b, err := os.ReadFile(h.box.Bin("platen"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.box.Path("run"), 0o700); err != nil {
		return err
	}
	t, err := attest.New(ctx, attest.Config{Path: h.tpm.Path(), StateDir: h.box.Path("run"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(t.ExtendAgent(ctx, sha256.Sum256(b)), t.Close())
}

// on switches the printer on, with this build of its agent, and waits until the session
// is in one of phases.
func (h *house) on(ctx context.Context, bin string, phases ...string) error {
	env := []string{"HOME=" + h.box.Path("home"), "TMPDIR=" + h.box.Path("tmp"), "GOTRACEBACK=crash"}
	if bin == h.leaky {
		env = append(env, "PLATEN_LEAK="+h.box.Dir)
	}
	var err error
	if h.agent, err = h.box.Start(bin, env, "run", "--config", h.box.Path("platen.toml")); err != nil {
		return err
	}
	st, err := h.await(ctx, phases...)
	if err == nil && st.Phase == "idle" {
		_ = h.owner(ctx, "discard", "--yes") // of a print that a crash or a power cut broke, if one did
	}
	return err
}

// status is what the proof reads of platen status.
type status struct {
	Printer, Recipient, Phase, Confined, Tickets string
	Count                                        uint64 `json:"ticket_count"`
}

// await asks the agent until its session is in one of phases.
func (h *house) await(ctx context.Context, phases ...string) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var st status
		out, err := h.desk.Run(ctx, "platen", "status", "-o", "json", "--config", h.box.Path("platen.toml"))
		if err == nil {
			err = json.Unmarshal(out, &st)
		}
		for _, p := range phases {
			if err == nil && st.Phase == p {
				return st, nil
			}
		}
		select {
		case <-ctx.Done():
			return st, fmt.Errorf("the printer did not get to %s: it is %q (%v)", strings.Join(phases, " or "), st.Phase, err)
		case <-h.agent.Done:
			return st, fmt.Errorf("the agent ended (%v): see %s", h.agent.Err, h.agent.Log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// owner runs a command of the printer's owner at the printer.
func (h *house) owner(ctx context.Context, args ...string) error {
	_, err := h.desk.Run(ctx, "platen", append(args, "--config", h.box.Path("platen.toml"))...)
	return err
}

// lastLog is the end of what agent and session have logged.
func (h *house) lastLog() string {
	if h.agent == nil {
		return ""
	}
	text, err := os.ReadFile(h.agent.Log)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for l := range strings.Lines(string(text)) {
		if strings.HasPrefix(l, "time=") { // not what the runtime says of a crash
			lines = append(lines, l)
		}
	}
	return strings.Join(lines[max(0, len(lines)-12):], "")
}

// close ends all of it and removes what is left.
func (h *house) close() error {
	var errs []error
	h.off(syscall.SIGTERM)
	h.desk.Stop()
	if h.broker != nil {
		errs = append(errs, h.broker.Close())
	}
	if h.wire != nil {
		h.wire.close()
	}
	if h.tpm != nil {
		errs = append(errs, h.tpm.Stop())
	}
	if h.image != "" {
		if err := h.unmount(); err != nil { // nothing of this is to stay mounted in any case
			errs = append(errs, err, unix.Unmount(h.box.Dir, unix.MNT_DETACH))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(h.desk.Dir))...)
}
