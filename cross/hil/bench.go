package hil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"platen/cross/rig"
	"platen/cross/rig/leak"
	"platen/cross/rig/stage"
	"platen/updater/approval"
)

// Config says what is tried, and with what.
type Config struct {
	// Dir is the folder of everything that is written: logs, keys, results. It exists.
	Dir string
	// Bins is the folder of the commands for this machine.
	Bins string
	// Board is what it is tried on.
	Board Board
	// Make makes images.
	Make Maker
	// Short leaves out most of the power cuts and what repeats.
	Short bool
	// Leaky has the images leak what they print, on purpose, and keep what was freed.
	Leaky bool
	// Cuts is how often the power of a virtual board is cut in a print; 0 is 50, or 4 if Short.
	Cuts int
	// Seed is of what is drawn.
	Seed uint64
	// Out is where a line for each scenario goes.
	Out io.Writer
}

// Maker makes images of the board. Its methods are called one at a time.
type Maker interface {
	// Image makes the image of a release.
	Image(ctx context.Context, s Spec) (Image, error)
	// Configure writes what is one printer's own onto the disk of an image.
	Configure(disk string, files map[string][]byte) error
}

// Spec is an image to be made.
type Spec struct {
	// Release is its number.
	Release uint64
	// Broken makes one that starts and never gets to where it runs an agent.
	Broken bool
	// Leaky makes one whose agent and session write models to the disk and to the log, and whose kernel
	// leaves in memory what was freed.
	Leaky bool
	// Approver is the file with the private key that approves what boots.
	Approver string
}

// Image is what was made of a Spec.
type Image struct {
	// Disk is the file that is flashed, Rootfs what a release replaces one of its slots with, Agent
	// the agent of the release.
	Disk, Rootfs, Agent string
	// Boot is by what it starts: "uboot" or "efi".
	Boot string
	// Compressed is how many bytes the disk has compressed.
	Compressed int64
	// PCRs are what registers of the TPM hold after a start of it.
	PCRs []approval.PCR
}

// Bench is a board and everything around it.
type Bench struct {
	stage.Stage
	cfg   Config
	rng   *rand.Rand
	began time.Time

	console *os.File
	control *os.File
	con     *Console // while it is on
	ctl     *Controller
	fleet   *stage.Process

	https, mqtt string
	image       Image
	printer     string
	sealTo      string
	recipient   string
	canary      *leak.Canary
	jobs        int      // sealed so far
	later       string   // one that waits for its print
	sealed      string   // the last of them
	sources     []string // and where it is served
	moves       int      // of a whole print
	first       usage    // of the first start of all
}

// boardID is the id of the board that releases are for.
func (b *Bench) boardID() string {
	return strings.TrimSuffix(path.Base(b.cfg.Board.About().Printer), ".toml")
}

// NewBench makes a bench. The board is off.
func NewBench(cfg Config) (*Bench, error) {
	if cfg.Cuts == 0 {
		cfg.Cuts = 50
		if cfg.Short {
			cfg.Cuts = 4
		}
	}
	b := &Bench{Stage: stage.Stage{Dir: cfg.Dir, Bins: cfg.Bins}, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 84)), began: time.Now()}
	var err error
	if b.console, err = os.Create(b.Path("console.log")); err != nil {
		return nil, err
	}
	if b.control, err = os.Create(b.Path("controller.log")); err != nil {
		return nil, errors.Join(err, b.console.Close())
	}
	b.ctl = newController(100, b.control)
	b.canary = leak.NewCanary(cfg.Seed+1, 24, 3)
	return b, nil
}

// Close switches the board off and ends what runs.
func (b *Bench) Close() error {
	var err error
	if b.con != nil {
		err = b.cut(context.Background())
	}
	b.Stop()
	return errors.Join(err, b.console.Close(), b.control.Close())
}

// on switches the board on.
func (b *Bench) on(ctx context.Context) error {
	w, err := b.cfg.Board.On(ctx)
	if err != nil {
		return err
	}
	return b.wire(w, "on")
}

// wire takes the lines to a board that was switched on, in the way how.
func (b *Bench) wire(w Wires, how string) error {
	fmt.Fprintf(b.console, "\n--- power %s, %s\n", how, time.Now().Format(time.TimeOnly))
	b.con = newConsole(w.Console, b.console)
	if w.Controller != nil {
		return b.ctl.power(w.Controller)
	}
	return nil
}

// cut takes the power away from board and controller.
func (b *Bench) cut(ctx context.Context) error { return b.leave(b.cfg.Board.Cut(ctx)) }

// leave lets go of a board that was switched off, or was not for err.
func (b *Bench) leave(err error) error {
	b.ctl.cut()
	cerr := b.con.Close()
	b.con = nil
	if errors.Is(cerr, os.ErrClosed) {
		cerr = nil
	}
	fmt.Fprintf(b.console, "\n--- power cut, %s\n", time.Now().Format(time.TimeOnly))
	return errors.Join(err, cerr)
}

// started waits until the agent of a board that was switched on answers and is in one of phases,
// and knows whether its keys open jobs.
func (b *Bench) started(ctx context.Context, phases ...string) (status, error) {
	// Whoever asks before the agent answers only takes processor time from its start.
	l, err := b.con.Wait(ctx, agentReady, "platen-init: FATAL", "Kernel panic")
	if err != nil {
		return status{}, err
	}
	if !strings.Contains(l, agentReady) {
		return status{}, fmt.Errorf("the board does not come up: %s", l)
	}
	return b.await(ctx, "to get to "+strings.Join(phases, " or "), func(st status) bool {
		return slices.Contains(phases, st.Phase) && st.Keys != "sealed"
	})
}

// status is what scenarios read of platen status.
type status struct {
	Printer, Recipient, Phase, Slot, Update, Confined, Keys, Fault string
	Release, Approved, Boot                                        uint64
	Broken                                                         *struct{ Layer int } `json:"broken_print"`
}

// await asks the agent until ok likes the answer.
func (b *Bench) await(ctx context.Context, what string, ok func(status) bool) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var st status
	for {
		var now status
		out, err := b.askOnce(ctx, "status")
		if err == nil {
			err = json.Unmarshal([]byte(out), &now)
		}
		if err == nil {
			if st = now; ok(st) {
				return st, nil
			}
		}
		if _, refused := errors.AsType[*Failed](err); err != nil && !refused && ctx.Err() == nil && b.gone() {
			return st, err
		}
		if b.con.Count(`msg="agent ended"`) > maxEnds {
			return st, fmt.Errorf("the printer was waited for %s: its agent does not stay; the console said at last: %s", what, b.con.tail())
		}
		select {
		case <-ctx.Done():
			return st, fmt.Errorf("the printer was waited for %s: it is %+v (%v)", what, st, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// askOnce asks what is asked again and again: a board that starts meanwhile never answers.
func (b *Bench) askOnce(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience/20)
	defer cancel()
	return b.con.Ask(ctx, nil, command, "-o", "json")
}

// maxEnds is how often an agent may end after a start of the board.
const maxEnds = 4

// gone is whether the console has ended.
func (b *Bench) gone() bool {
	select {
	case <-b.con.done:
		return true
	default:
		return false
	}
}

// files are what is the printer's own: its configuration and the keys it believes.
func (b *Bench) files(ctx context.Context) (map[string][]byte, error) {
	root, err := b.Run(ctx, "platen-ota", "root", b.Path("tuf"))
	if err != nil {
		return nil, err
	}
	ca, err := b.Run(ctx, "platen-fleet", "ca", "--dir", b.Path("fleet"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"root.json": root, "fw_env.config": []byte(envText)}
	for name, at := range map[string]string{"fleet.pem": strings.TrimSpace(string(ca)),
		"owner.pub": b.Path("owner.pub"), "operator.pub": b.Path("operator.pub"), "approver.pub": b.Path("approver.pub")} {
		if files[name], err = os.ReadFile(at); err != nil {
			return nil, err
		}
	}
	_, port, _ := strings.Cut(b.https, ":")
	about := b.cfg.Board.About()
	files["platen.toml"] = fmt.Appendf(nil, configText, about.Host+":"+port, about.Printer, b.image.Boot, envs[b.image.Boot])
	return files, nil
}

// keys makes the keys of everybody, and the repository.
func (b *Bench) keys(ctx context.Context) error {
	for _, name := range []string{"owner", "operator"} {
		if _, err := b.Run(ctx, "platen", "consent", "keygen", b.Path(name)); err != nil {
			return err
		}
	}
	if _, err := b.Run(ctx, "platen-ota", "init", b.Path("tuf"), "--keys", b.Path("offline-keys")); err != nil {
		return err
	}
	_, err := b.Run(ctx, "platen-ota", "key", b.Path("approver"), "--type", "p256")
	return err
}

// fleetUp starts the fleet, which the board reaches at this machine's address.
func (b *Bench) fleetUp(ctx context.Context) error {
	about := b.cfg.Board.About()
	at := func(addr string) string {
		_, port, _ := strings.Cut(addr, ":")
		return about.Host + ":" + port
	}
	ports, err := rig.FreePorts(2)
	if err != nil {
		return err
	}
	b.https, b.mqtt = ports[0], ports[1]
	b.fleet, err = b.Start("platen-fleet", nil, "up", "-o", "jsonl", "--dir", b.Path("fleet"), "--name", "rig", "--host", about.Host,
		"--listen-mqtt", b.mqtt, "--listen-https", b.https, "--public-mqtt", at(b.mqtt), "--public-https", "https://"+at(b.https),
		"--tuf", b.Path("tuf"), "--ek-ca", strings.Join(about.EKCAs, ","), "--nonce-every", "10s")
	if err != nil {
		return err
	}
	_, err = b.fleet.Wait(ctx, patience, 0, func(e stage.Event) bool { return e.Event == "ready" })
	return err
}

// publish makes an image of a release and adds it to the repository: agent and root file system as one set.
func (b *Bench) publish(ctx context.Context, s Spec) (Image, error) {
	s.Approver = b.Path("approver")
	img, err := b.cfg.Make.Image(ctx, s)
	if err != nil {
		return img, err
	}
	n := fmt.Sprint(s.Release)
	add := []string{"add", b.Path("tuf"), "--release", n, "--board", b.boardID(), "--name", "rootfs", "--file", img.Rootfs}
	for _, p := range img.PCRs {
		add = append(add, "--pcr", fmt.Sprintf("%d=%x", p.Index, p.Value[:]))
	}
	if _, err := b.Run(ctx, "platen-ota", add...); err != nil {
		return img, err
	}
	if _, err := b.Run(ctx, "platen-ota", "add", b.Path("tuf"), "--release", n, "--board", b.boardID(), "--file", img.Agent, "--with", "rootfs="+n); err != nil {
		return img, err
	}
	if _, err := b.Run(ctx, "platen-ota", "approve", b.Path("tuf"), "--board", b.boardID(), "--key", b.Path("approver")); err != nil {
		return img, err
	}
	_, err = b.Run(ctx, "platen-ota", "publish", b.Path("tuf"))
	return img, err
}

// batches counts the batches verified so far.
func (b *Bench) batches() int {
	n := 0
	for _, e := range b.fleet.Events() {
		if e.Event == "batch" {
			n++
		}
	}
	return n
}
