package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
	if _, err := d.Run(ctx, "platen-ota", "key", d.Path("approver"), "--type", "p256"); err != nil {
		return "", err
	}
	if err := errors.Join(d.release(ctx, 1), d.approve(ctx)); err != nil {
		return "", err
	}
	if d.network, err = newRelay(); err != nil {
		return "", err
	}
	ports, err := rig.FreePorts(2)
	if err != nil {
		return "", err
	}
	d.https, d.mqtt = ports[0], ports[1]
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
