package hil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"platen/agent/console"
	"platen/cross/rig/stage"
)

// mostCompressed is how large an image may be, compressed.
const mostCompressed = 48 << 20

// mostMemory is how many KiB the board may have in use when its agent is ready.
const mostMemory = 64 << 10

// makeImage makes keys, the repository with release 1, and the image of it.
func (b *Bench) makeImage(ctx context.Context) (string, error) {
	if err := b.keys(ctx); err != nil {
		return "", err
	}
	var err error
	if b.image, err = b.publish(ctx, Spec{Release: 1, Leaky: b.cfg.Leaky}); err != nil {
		return "", err
	}
	if err := b.fleetUp(ctx); err != nil {
		return "", err
	}
	files, err := b.files(ctx)
	if err != nil {
		return "", err
	}
	if err := b.cfg.Make.Configure(b.image.Disk, files); err != nil {
		return "", err
	}
	if b.image.Compressed > mostCompressed {
		return "", fmt.Errorf("the image has %d bytes compressed, at most %d are allowed", b.image.Compressed, mostCompressed)
	}
	return fmt.Sprintf("release 1, %.1f MiB compressed; fleet up", float64(b.image.Compressed)/(1<<20)), nil
}

// boot flashes the image and switches the board on; the console has to refuse what is not for it.
func (b *Bench) boot(ctx context.Context) (string, error) {
	if err := b.cfg.Board.Flash(ctx, b.image.Disk); err != nil {
		return "", err
	}
	if err := b.on(ctx); err != nil {
		return "", err
	}
	st, err := b.started(ctx, "idle")
	if err != nil {
		return "", err
	}
	b.printer, b.sealTo = st.Printer, st.Recipient
	u, err := b.con.ready(ctx)
	if err != nil {
		return "", err
	}
	b.first = u
	if u.kib > mostMemory {
		return "", fmt.Errorf("%d KiB of memory are in use when the agent is ready, at most %d are allowed", u.kib, mostMemory)
	}
	if st.Release != 1 || st.Keys != "approved" {
		return "", fmt.Errorf("release %d runs, its keys are %s", st.Release, st.Keys)
	}
	var failed *Failed
	if _, err := b.con.Ask(ctx, nil, "run"); !errors.As(err, &failed) || failed.Code != console.CodeRefused {
		return "", fmt.Errorf("%w: the console starts what is not for it (%v)", errControl, err)
	}
	return fmt.Sprintf("%s…, release %d in slot %s, session confined by %s\nagent ready after %.2f s of processor, %.2f s after the kernel's start, with %.1f MiB in use;\nthe console refuses what is not for it",
		st.Printer[:12], st.Release, st.Slot, st.Confined, u.cpu, u.uptime, float64(u.kib)/1024), nil
}

// finding is one of doctor's.
type finding struct{ Name, Level, What string }

// examine has the printer look at itself.
func (b *Bench) examine(ctx context.Context) ([]finding, error) {
	out, err := b.con.Ask(ctx, nil, "doctor", "-o", "json")
	var failed *Failed
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	var found []finding
	if jerr := json.NewDecoder(strings.NewReader(out)).Decode(&found); jerr != nil {
		return nil, fmt.Errorf("doctor: %w (%v)", jerr, err)
	}
	if len(found) == 0 {
		return nil, errors.New("doctor found nothing at all")
	}
	return found, nil
}

// complains is an error unless doctor finds fault with name.
func (b *Bench) complains(ctx context.Context, name string) error {
	found, err := b.examine(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(f finding) bool { return f.Name == name && f.Level != "ok" }) {
		return fmt.Errorf("%w: doctor is content with %s", errControl, name)
	}
	return nil
}

// doctor has the printer look at itself: of an image of ours on a virtual board, all is well.
func (b *Bench) doctor(ctx context.Context) (string, error) {
	found, err := b.examine(ctx)
	if err != nil {
		return "", err
	}
	count := map[string]int{}
	var bad []string
	for _, f := range found {
		count[f.Level]++
		if f.Level != "ok" {
			bad = append(bad, fmt.Sprintf("%s %s: %s", f.Level, f.Name, f.What))
		}
	}
	says := fmt.Sprintf("%d checks, %d ok, %d warnings, %d failed", len(found), count["ok"], count["warn"], count["fail"])
	if len(bad) > 0 {
		says += "\n" + strings.Join(bad, "\n")
	}
	if count["fail"] > 0 || len(bad) > 0 && b.cfg.Board.About().Counted {
		return "", errors.New(says)
	}
	return says, nil
}

// doctorNotices: of an image whose kernel leaves in memory what was freed, doctor says so.
func (b *Bench) doctorNotices(ctx context.Context) (string, error) {
	if err := b.complains(ctx, "init_on_free"); err != nil {
		return "", err
	}
	return "it says that the kernel leaves in memory what was freed", nil
}

// cutEnrolment takes the power away while the printer enrols, wherever that is by then.
func (b *Bench) cutEnrolment(ctx context.Context) (string, error) {
	claim, err := b.claim(ctx)
	if err != nil {
		return "", err
	}
	before := b.printer
	asked := make(chan error, 1)
	con := b.con
	go func() {
		_, err := con.Ask(ctx, nil, "enrol", claim)
		asked <- err
	}()
	// Half of the times the fleet has heard of it already.
	if b.rng.IntN(2) == 0 {
		if _, err := b.fleet.Wait(ctx, patience, 0, func(e stage.Event) bool { return e.Event == "enrolled" }); err != nil {
			return "", err
		}
	}
	if err := b.cut(ctx); err != nil {
		return "", err
	}
	ended := <-asked
	if err := b.on(ctx); err != nil {
		return "", err
	}
	st, err := b.started(ctx, "idle")
	if err != nil {
		return "", err
	}
	if st.Printer != before || st.Recipient != b.sealTo {
		return "", errors.New("it is another printer after the power cut, or has another key")
	}
	how := "before it was told that it had been enrolled"
	if ended == nil {
		how = "after it was told that it had been enrolled"
	}
	return "cut " + how + "; it is the same printer afterwards, with the same job key", nil
}

func (b *Bench) claim(ctx context.Context) (string, error) {
	out, err := b.Run(ctx, "platen-fleet", "claim", "new", "--dir", b.Path("fleet"))
	return strings.TrimSpace(string(out)), err
}

// enrol joins the fleet, after a wrong claim was refused.
func (b *Bench) enrol(ctx context.Context) (string, error) {
	var failed *Failed
	if _, err := b.con.Ask(ctx, nil, "enrol", "WRONG-CLAIM"); !errors.As(err, &failed) {
		return "", fmt.Errorf("%w: a wrong claim was taken (%v)", errControl, err)
	}
	claim, err := b.claim(ctx)
	if err != nil {
		return "", err
	}
	from := len(b.fleet.Events())
	out, err := b.con.Ask(ctx, nil, "enrol", claim, "-o", "json")
	if err != nil {
		return "", err
	}
	var got stage.Event
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		return "", err
	}
	b.recipient = got.Text
	e, err := b.fleet.Wait(ctx, patience, from, func(e stage.Event) bool { return e.Event == "enrolled" && e.Printer == b.printer })
	if err != nil {
		return "", err
	}
	text, err := b.Run(ctx, "platen-fleet", "printers", "--dir", b.Path("fleet"), "--approver", b.Path("approver.pub"))
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(text), "opens them in your approved states") {
		return "", errors.New("the job key is not certified as bound to the approver")
	}
	return fmt.Sprintf("as release %d, by the TPM's endorsement key; its job key is certified as bound to the approver; a wrong claim was refused", e.Release), nil
}

// telemetry has the owner grant the fleet machine data, of which nothing was sent before.
func (b *Bench) telemetry(ctx context.Context) (string, error) {
	if n := b.batches(); n != 0 {
		return "", fmt.Errorf("%d batches came before they were granted", n)
	}
	text, err := b.con.Ask(ctx, nil, "consent", "request", "--recipient", b.recipient, "--name", "rig", "--profile", "owner", "--period", "2s")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(b.Path("grant.txt"), []byte(text), 0o600); err != nil {
		return "", err
	}
	env, err := b.Run(ctx, "platen", "consent", "sign", b.Path("grant.txt"), "--key", b.Path("owner"))
	if err != nil {
		return "", err
	}
	forged, err := b.Run(ctx, "platen", "consent", "sign", b.Path("grant.txt"), "--key", b.Path("operator"))
	if err != nil {
		return "", err
	}
	var failed *Failed
	if _, err := b.con.Ask(ctx, forged, "consent", "grant", "--signed", stdin); !errors.As(err, &failed) {
		return "", fmt.Errorf("%w: a grant that somebody else has signed was taken (%v)", errControl, err)
	}
	if b.batches() != 0 {
		return "", fmt.Errorf("%w: machine data came before it was granted", errControl)
	}
	if _, err := b.con.Ask(ctx, env, "consent", "grant", "--signed", stdin); err != nil {
		return "", err
	}
	if err := b.attested(ctx, 0, 1); err != nil {
		return "", err
	}
	return "signed by the owner, batches of release 1 verified against the TPM, none refused; nothing came before, and a grant signed by somebody else was refused", nil
}

// attested waits for two batches of a release among the fleet's events from number from on, and
// is an error if any was refused or is missing.
func (b *Bench) attested(ctx context.Context, from int, release uint64) error {
	for range 2 {
		_, err := b.fleet.Wait(ctx, patience, from, func(e stage.Event) bool { from++; return e.Event == "batch" && e.Release == release })
		if err != nil {
			return fmt.Errorf("telemetry of release %s: %w", strconv.FormatUint(release, 10), err)
		}
	}
	for _, e := range b.fleet.Events() {
		// MQTT delivers at least once: what was sent again after a break is refused as a replay.
		again := e.Event == "refused" && e.Reason == "replayed"
		if e.Event == "refused" && !again && !strings.HasPrefix(e.Reason, "enrol") || e.Event == "missing" {
			return fmt.Errorf("an honest printer was not believed: %s %s", e.Event, e.Reason)
		}
	}
	return nil
}
