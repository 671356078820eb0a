package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/cli"
	"platen/cross/rig"
	"platen/cross/rig/stage"
)

// board is the board file of the simulated printer.
const board = "sim"

// startFleet makes the update repository with release 1 and starts the fleet.
func (d *demo) startFleet(ctx context.Context) (string, error) {
	var err error
	if d.tpm, err = rig.StartSwtpm(ctx, d.Path("tpm")); err != nil {
		return "", err
	}
	if _, err := d.Run(ctx, "platen-ota", "init", d.Path("tuf"), "--keys", d.Path("offline-keys")); err != nil {
		return "", err
	}
	if _, err := d.Run(ctx, "platen-ota", "approver", d.Path("approver")); err != nil {
		return "", err
	}
	if err := errors.Join(d.release(ctx, 1), d.approve(ctx)); err != nil {
		return "", err
	}
	if d.network, err = newRelay(); err != nil {
		return "", err
	}
	if d.https, err = stage.FreePort(); err != nil {
		return "", err
	}
	if d.mqtt, err = stage.FreePort(); err != nil {
		return "", err
	}
	d.network.point(d.mqtt)
	ready, err := d.fleetUp(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("broker %s, enrolment and updates %s", d.mqtt, ready.HTTPS), nil
}

// fleetUp starts platen-fleet with further arguments and waits until it is up.
func (d *demo) fleetUp(ctx context.Context, args ...string) (stage.Event, error) {
	args = append([]string{"up", "-o", "jsonl", "--dir", d.Path("fleet"), "--name", "demo operator",
		"--listen-mqtt", d.mqtt, "--listen-https", d.https, "--public-mqtt", d.network.addr(),
		"--tuf", d.Path("tuf"), "--ek-ca", strings.Join(d.tpm.CAs, ","), "--nonce-every", "10s"}, args...)
	var err error
	if d.fleet, err = d.Start("platen-fleet", nil, args...); err != nil {
		return stage.Event{}, err
	}
	return d.fleet.Wait(ctx, 20*time.Second, 0, func(e stage.Event) bool { return e.Event == "ready" })
}

// release adds a release of the agent to the repository and publishes it.
func (d *demo) release(ctx context.Context, n int) error {
	if _, err := d.Run(ctx, "platen-ota", "add", d.Path("tuf"), "--release", fmt.Sprint(n), "--board", board,
		"--file", d.Bin(fmt.Sprintf("platen-release-%d", n))); err != nil {
		return err
	}
	_, err := d.Run(ctx, "platen-ota", "publish", d.Path("tuf"))
	return err
}

// approve approves the states that printers get into with the releases so far.
func (d *demo) approve(ctx context.Context) error {
	if _, err := d.Run(ctx, "platen-ota", "approve", d.Path("tuf"), "--board", board, "--key", d.Path("approver")); err != nil {
		return err
	}
	_, err := d.Run(ctx, "platen-ota", "publish", d.Path("tuf"))
	return err
}

// startPrinter starts the simulated printer and an agent of release 1 in its slot.
func (d *demo) startPrinter(ctx context.Context) (string, error) {
	err := d.inspect(ctx)
	if err != nil {
		return "", err
	}
	if d.sim, err = d.Start("platen-sim", nil, "-o", "jsonl", "--pty", d.Path("tty"), "--speed", fmt.Sprint(d.speed),
		"--volume", "220x220x250", "--emergency-parser", "--status-every", "200ms"); err != nil {
		return "", err
	}
	if _, err := d.sim.Wait(ctx, 10*time.Second, 0, func(e stage.Event) bool { return e.Event == "ready" }); err != nil {
		return "", err
	}
	if err := d.configure(ctx); err != nil {
		return "", err
	}
	if _, err := d.Platen(ctx, "install", d.Bin("platen-release-1"), "--release", "1"); err != nil {
		return "", err
	}
	if d.boot, err = d.Start("platen", nil, "boot", "--config", d.Path("platen.toml")); err != nil {
		return "", err
	}
	st, err := d.waitStatus(ctx, 60*time.Second, func(st status) bool { return st.Phase == "idle" && st.Keys == "approved" })
	if err != nil {
		return "", err
	}
	d.printer, d.sealTo = st.Printer, st.Recipient
	return fmt.Sprintf("%s…, release %d in slot %s, session confined by %s;\nits keys open jobs in approved states only, and this is one", st.Printer[:12], st.Release, st.Slot, st.Confined), nil
}

// configure writes the printer's configuration and the keys of owner and operator.
func (d *demo) configure(ctx context.Context) error {
	for _, name := range []string{"owner", "operator"} {
		if _, err := d.Platen(ctx, "consent", "keygen", d.Path(name)); err != nil {
			return err
		}
	}
	out, err := d.Run(ctx, "platen-fleet", "ca", "--dir", d.Path("fleet"))
	if err != nil {
		return err
	}
	d.ca = strings.TrimSpace(string(out))
	root, err := d.Run(ctx, "platen-ota", "root", d.Path("tuf"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.Path("root.json"), root, 0o644); err != nil {
		return err
	}
	text := fmt.Sprintf(`board = %q
device = "tty"
state = "state"
socket = "run/agent.sock"
owner_key = "owner.pub"
approver_key = "approver.pub"
operator_keys = ["operator.pub"]
allow_swap = true
vault = "%dMiB"
tpm = %q
[fleet]
enrol = "https://%s"
ca = %q
[update]
url = "https://%s/tuf/"
root = "root.json"
slots = "slots"
period = "1h"
`, board, vaultMiB(), d.tpm.Path(), d.https, d.ca, d.https)
	return os.WriteFile(d.Path("platen.toml"), []byte(text), 0o644)
}

// vaultMiB is as much locked memory as a session of this user can have, up to 256
// MiB, in whole MiB.
func vaultMiB() uint64 {
	const most = 256
	if os.Geteuid() == 0 {
		return most
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		return 1
	}
	return max(1, min(most, uint64(lim.Cur)>>20-1))
}

// status is what the demo reads of platen status.
type status struct {
	Printer, Recipient, Phase, Slot, Update, Confined, Keys string
	Release, Approved                                       uint64
	Progress                                                int `json:"progress_percent"`
}

func (d *demo) status(ctx context.Context) (status, error) {
	var st status
	out, err := d.Platen(ctx, "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	return st, err
}

// waitStatus asks the agent until ok likes the answer.
func (d *demo) waitStatus(ctx context.Context, limit time.Duration, ok func(status) bool) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		st, err := d.status(ctx)
		if err == nil && ok(st) {
			return st, nil
		}
		select {
		case <-ctx.Done():
			return st, fmt.Errorf("the agent did not get there within %s (phase %s, %v)", limit, st.Phase, err)
		case <-d.boot.Done:
			return st, fmt.Errorf("the launcher ended: %v", d.boot.Err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *demo) enrol(ctx context.Context) (string, error) {
	claim, err := d.Run(ctx, "platen-fleet", "claim", "new", "--dir", d.Path("fleet"))
	if err != nil {
		return "", err
	}
	if code, err := d.Refused(ctx, "platen", "enrol", "WRONG-CLAIM", "--config", d.Path("platen.toml")); err != nil {
		return "", fmt.Errorf("a wrong claim: %w (%s)", err, code)
	}
	out, err := d.Platen(ctx, "enrol", strings.TrimSpace(string(claim)), "-o", "json")
	if err != nil {
		return "", err
	}
	var got stage.Event
	if err := json.Unmarshal(out, &got); err != nil {
		return "", err
	}
	d.recipient = got.Text
	if _, err := d.fleet.Wait(ctx, 10*time.Second, 0, func(e stage.Event) bool { return e.Event == "enrolled" && e.Printer == d.printer }); err != nil {
		return "", err
	}
	out, err = d.Run(ctx, "platen-fleet", "printers", "--dir", d.Path("fleet"), "--approver", d.Path("approver.pub"))
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(out), "opens them in your approved states") {
		return "", errors.New("the job key is not certified as bound to the approver")
	}
	return "endorsement key certified, attestation key activated, client certificate issued; a wrong claim was refused;\n" +
		"its job key is certified as bound to the approver", nil
}

// grant has the owner consent; before that, nothing may have been sent.
func (d *demo) grant(ctx context.Context) (string, error) {
	time.Sleep(3 * time.Second)
	if d.batches() != 0 {
		return "", errors.New("machine data left before its owner had granted it")
	}
	if _, err := d.Platen(ctx, "consent", "grant", "--key", d.Path("owner"), "--recipient", d.recipient,
		"--name", "demo operator", "--profile", "owner", "--period", "2s"); err != nil {
		return "", err
	}
	if _, err := d.fleet.Wait(ctx, 20*time.Second, 0, func(e stage.Event) bool { return e.Event == "batch" }); err != nil {
		return "", err
	}
	return "nothing was sent before; signed by the owner, first batch verified", nil
}

// batches counts the batches verified so far.
func (d *demo) batches() int {
	n := 0
	for _, e := range d.fleet.Events() {
		if e.Event == "batch" {
			n++
		}
	}
	return n
}

// seal seals the model with stock age and has the operator sign a ticket.
func (d *demo) seal(ctx context.Context) (string, error) {
	if _, err := d.Run(ctx, "age", "-r", d.sealTo, "-o", d.Path("job.age"), d.model); err != nil {
		return "", err
	}
	if err := d.ticket(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s sealed to %s… with age, ticket signed for one copy", filepath.Base(d.model), d.sealTo[:16]), nil
}

// ticket has the operator sign a ticket for one copy of the sealed job.
func (d *demo) ticket(ctx context.Context) error {
	ticket, err := d.Run(ctx, "platen-fleet", "ticket", d.Path("job.age"), "--key", d.Path("operator"), "--printer", d.printer)
	if err != nil {
		return err
	}
	return os.WriteFile(d.Path("job.ticket"), ticket, 0o644)
}

// print prints the sealed job and tells what the simulated printer counted.
func (d *demo) print(ctx context.Context) (string, error) {
	from := len(d.sim.Events())
	bar := cli.NewProgress(os.Stderr, "    printing")
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for n := from; ; {
			e, err := d.sim.Wait(ctx, time.Hour, n, func(e stage.Event) bool { return e.Event == "status" || e.Event == "end" })
			if err != nil || e.Event == "end" {
				return
			}
			n = len(d.sim.Events())
			bar.Set(int64(1000*e.Z), int64(1000*d.height), fmt.Sprintf("z %.1f mm, %d lines, %.0f °C", e.Z, e.Lines, e.HotEnd))
		}
	}()
	began := time.Now()
	_, err := d.Platen(ctx, "print", d.Path("job.age"), "--ticket", d.Path("job.ticket"))
	took := time.Since(began)
	if err != nil {
		return "", err
	}
	end, err := d.sim.Wait(ctx, 30*time.Second, from, func(e stage.Event) bool { return e.Event == "end" })
	<-finished
	bar.Done()
	if err != nil {
		return "", err
	}
	if code, err := d.Refused(ctx, "platen", "print", d.Path("job.age"), "--ticket", d.Path("job.ticket"), "--config", d.Path("platen.toml")); err != nil || code != "ticket-copies" {
		return "", fmt.Errorf("a second copy on a ticket for one: code %q, %w", code, err)
	}
	return fmt.Sprintf("%d layers, %d lines, %.1f m of filament, %s of machine time in %s; a second copy was refused",
		end.Layers, end.Lines, end.Filament/1000, time.Duration(end.SimTime*float64(time.Second)).Round(time.Second), took.Round(time.Second)), nil
}

// inspect asks the desk slicer how high the model is, for the progress bar, and how
// large, for the speed of the simulated printer.
func (d *demo) inspect(ctx context.Context) error {
	out, err := d.Run(ctx, "platen-slice", "inspect", d.model, "-o", "json")
	if err != nil {
		return err
	}
	var info struct {
		Size   [3]float64 `json:"size_mm"`
		Volume float64    `json:"volume_mm3"`
	}
	if err := json.Unmarshal(out, &info); err != nil || info.Size[2] <= 0 {
		return fmt.Errorf("platen-slice inspect did not give the size: %v", err)
	}
	d.height = info.Size[2]
	if d.speed == 0 {
		const flow, wanted = 4, 20 // mm³ a second of printing; seconds of the demo
		d.speed = int(max(60, min(1000, info.Volume/flow/wanted)))
	}
	return nil
}

func (d *demo) telemetry(ctx context.Context) (string, error) {
	from := len(d.fleet.Events())
	if _, err := d.fleet.Wait(ctx, 20*time.Second, from, func(e stage.Event) bool { return e.Event == "batch" && e.Release == 1 }); err != nil {
		return "", err
	}
	for _, e := range d.fleet.Events() {
		if e.Event == "refused" && !strings.HasPrefix(e.Reason, "enrol") || e.Event == "missing" {
			return "", fmt.Errorf("an honest printer was not believed: %s %s", e.Event, e.Reason)
		}
	}
	return fmt.Sprintf("%d batches verified against the TPM, release 1, none refused, none missing", d.batches()), nil
}

// update publishes release 2 and has the printer take it, once its states are approved.
func (d *demo) update(ctx context.Context) (string, error) {
	if err := d.release(ctx, 2); err != nil {
		return "", err
	}
	if code, err := d.Refused(ctx, "platen", "update", "--config", d.Path("platen.toml")); err != nil || code != "update-unapproved" {
		return "", fmt.Errorf("a release under which no job could be opened: code %q, %w", code, err)
	}
	if err := d.approve(ctx); err != nil {
		return "", err
	}
	from := len(d.fleet.Events())
	if _, err := d.Platen(ctx, "update"); err != nil {
		return "", err
	}
	st, err := d.waitStatus(ctx, 90*time.Second, func(st status) bool { return st.Release == 2 && st.Phase == "idle" && st.Update == "" })
	if err != nil {
		return "", err
	}
	e, err := d.fleet.Wait(ctx, 60*time.Second, from, func(e stage.Event) bool { return e.Event == "batch" && e.Release == 2 })
	if err != nil {
		return "", fmt.Errorf("telemetry does not attest release 2: %w", err)
	}
	return fmt.Sprintf("refused while its states were not approved; then staged, booted from slot %s, confirmed; batch %d attests release %d", st.Slot, e.Seq, e.Release), nil
}

// tamperedUpdate flips one bit of the binary of release 3 on the server.
func (d *demo) tamperedUpdate(ctx context.Context) (string, error) {
	if err := errors.Join(d.release(ctx, 3), d.approve(ctx)); err != nil {
		return "", err
	}
	target, err := newest(filepath.Join(d.Path("tuf"), "targets"))
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(target)
	if err != nil {
		return "", err
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(target, b, 0o644); err != nil {
		return "", err
	}
	code, err := d.Refused(ctx, "platen", "update", "--config", d.Path("platen.toml"))
	if err != nil {
		return "", err
	}
	st, err := d.status(ctx)
	if err != nil || st.Release != 2 {
		return "", fmt.Errorf("release %d runs after a refused update: %w", st.Release, err)
	}
	return "refused as " + code + "; release 2 still runs", nil
}

// opened shows that what was sealed before the update opens under release 2: a second
// ticket for the same file is taken as far as the session's having all of it.
func (d *demo) opened(ctx context.Context) (string, error) {
	if err := d.ticket(ctx); err != nil {
		return "", err
	}
	st, err := d.waitStatus(ctx, 60*time.Second, func(st status) bool { return st.Phase == "idle" && st.Keys == "approved" })
	if err != nil {
		return "", err
	}
	if st.Approved != 2 || st.Recipient != d.sealTo {
		return "", fmt.Errorf("approved as release %d, or the recipient changed", st.Approved)
	}
	if _, err := d.Platen(ctx, "print", d.Path("job.age"), "--ticket", d.Path("job.ticket"), "--detach"); err != nil {
		return "", err
	}
	if _, err := d.Platen(ctx, "cancel"); err != nil {
		return "", err
	}
	if _, err := d.waitStatus(ctx, 60*time.Second, func(st status) bool { return st.Phase == "idle" }); err != nil {
		return "", err
	}
	return "the job that was sealed before the update opens under release 2, on another ticket; cancelled", nil
}

// newest is the file below dir that was written last.
func newest(dir string) (string, error) {
	var path string
	var at time.Time
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if fi, err := e.Info(); err == nil && fi.ModTime().After(at) {
			path, at = p, fi.ModTime()
		}
		return nil
	})
	if err == nil && path == "" {
		err = errors.New("the repository has no target")
	}
	return path, err
}

// replayed puts a hostile broker between printer and verifier and has it repeat a
// frame, and alter one.
func (d *demo) replayed(ctx context.Context) (string, error) {
	cert, err := stage.Insider(d.ca, d.Dir)
	if err != nil {
		return "", err
	}
	if d.attacker, err = stage.NewBroker(cert, nil); err != nil {
		return "", err
	}
	d.fleet.Stop()
	if _, err := d.fleetUp(ctx, "--broker", d.attacker.Addr, "--broker-ca", d.ca, "--broker-cert", d.Path("insider.pem"), "--broker-key", d.Path("insider.key")); err != nil {
		return "", err
	}
	d.network.point(d.attacker.Addr)
	if _, err := d.fleet.Wait(ctx, 60*time.Second, 0, func(e stage.Event) bool { return e.Event == "batch" }); err != nil {
		return "", fmt.Errorf("through the hostile broker: %w", err)
	}
	from := len(d.fleet.Events())
	if err := d.attacker.Replay(); err != nil {
		return "", err
	}
	replay, err := d.fleet.Wait(ctx, 20*time.Second, from, func(e stage.Event) bool { return e.Event == "refused" })
	if err != nil {
		return "", err
	}
	if err := d.attacker.Flip(); err != nil {
		return "", err
	}
	flip, err := d.fleet.Wait(ctx, 20*time.Second, from, func(e stage.Event) bool { return e.Event == "refused" && e.Reason != replay.Reason })
	if err != nil {
		return "", fmt.Errorf("a flipped bit: %w", err)
	}
	return fmt.Sprintf("a hostile broker repeats one: refused as %s; it flips a bit: refused as %s", replay.Reason, flip.Reason), nil
}

// dropped has the hostile broker swallow a frame though it tells the printer that
// it arrived.
func (d *demo) dropped(ctx context.Context) (string, error) {
	from := len(d.fleet.Events())
	d.attacker.Swallow()
	select {
	case <-d.attacker.Gulped:
	case <-time.After(30 * time.Second):
		return "", errors.New("no frame came to be swallowed")
	}
	e, err := d.fleet.Wait(ctx, 30*time.Second, from, func(e stage.Event) bool { return e.Event == "missing" })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the hostile broker swallows one: noticed, batch %d is missing", e.From), nil
}
