package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"platen/agent/confine"
	"platen/cross/rig"
)

// reasons are why a session may make a call that no print of a test makes.
var reasons = map[int]string{
	unix.SYS_RESTART_SYSCALL: "the kernel itself makes it, when a process that was stopped goes on",
	unix.SYS_CLOCK_GETTIME:   "of machines whose kernel gives no clock without a call",
	unix.SYS_EXIT:            "of a thread that the runtime ends",
	unix.SYS_GETRANDOM:       "of kernels before 6.11, which give no random numbers without a call",
	unix.SYS_RT_SIGACTION:    "of a crash: the runtime lets the signal end it",
	unix.SYS_IOCTL:           "of a real port, whose control lines reset the controller, and of pins; a pseudo terminal has neither",
	unix.SYS_MUNLOCK:         "of kernels without memfd_secret, where the vault is locked and unlocked",
}

// spare is the claim that the filter's list has no call that nobody makes. It runs every
// scenario under strace: models, G-code, sealed files, packages, pauses, cancels, faults,
// agents that are killed, every dialect.
func (p *proof) spare(ctx context.Context) (claim, error) {
	const what = "the filter's list is what sessions call, and no call more"
	strace, err := rig.Command(ctx, "strace", append([]string{"-D"}, straceArgs(p.h.desk.Path("trace-scenarios/s"))...)...)
	if err != nil {
		return claim{"allow-list", what, err.Error(), "", notRun}, nil
	}
	dir := p.h.desk.Path("trace-scenarios")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return claim{}, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=60m", "-run=TestScripts", "./cross/scenario")
	cmd.Dir = p.o.module
	cmd.Env = append(strace.Env, "PLATEN_STRACE="+strings.Join(strace.Args, " "))
	said, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		fmt.Fprintf(os.Stderr, "a scenario failed under strace; what it called counts all the same:\n%s", said[max(0, len(said)-2000):])
	} else if err != nil {
		return claim{}, fmt.Errorf("running the scenarios: %w", err)
	}
	sessions, err := traces(dir)
	if err != nil {
		return claim{}, err
	}
	made, names := map[int]bool{}, map[int]string{}
	printed := 0
	for _, t := range sessions {
		if len(t.job()) > 0 {
			printed++
		}
		for _, c := range t.confined() {
			names[c.nr] = c.name
			made[c.nr] = made[c.nr] || !c.refused
		}
	}
	c := listed(what, confine.Allowed(), made, names, len(sessions), printed)
	died, err := p.taken(ctx)
	if err != nil {
		return claim{}, err
	}
	if c.Control = fmt.Sprintf("a print whose session may not %s any more ends so: %s", takenCall, died); died == "" {
		c.State, c.Control = failed, "NOT CAUGHT: a session that may not "+takenCall+" any more prints on"
	}
	return c, nil
}

// takenCall is a call on the list that the control takes away.
const takenCall = "write"

// taken prints while a call of the list is refused as the filter would, and returns how
// the print ended, "" if nothing was noticed.
func (p *proof) taken(ctx context.Context) (string, error) {
	h := p.h
	if err := h.on(ctx, h.box.Bin("platen"), "idle"); err != nil {
		return "", err
	}
	defer h.off(syscall.SIGTERM)
	c := draw(p.o.seed + 60)
	j, err := h.seal(ctx, c.stl.Word, c.stl.STL())
	if err != nil {
		return "", err
	}
	t, err := h.attach(ctx, h.desk.Path("taken"), "-f", "-e", "trace="+takenCall, "-e", "inject="+takenCall+":error=EPERM", "-o", h.desk.Path("taken.trace"), "-p", strconv.Itoa(h.session()))
	if err != nil {
		return "", err
	}
	client, err := h.print(j)
	if err != nil {
		return "", err
	}
	err = printed(ctx, client)
	t.stop()
	if err == nil {
		return "", nil
	}
	text, _ := os.ReadFile(client.Log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1], nil
}

// listed holds the list against what was made.
func listed(what string, allowed []int, made map[int]bool, names map[int]string, sessions, printed int) claim {
	var spare, excused, foreign []string
	seen := 0
	for _, nr := range allowed {
		switch why, ok := reasons[nr]; {
		case made[nr]:
			seen++
		case ok:
			excused = append(excused, fmt.Sprintf("%d (%s)", nr, why))
		default:
			spare = append(spare, fmt.Sprint(nr))
		}
	}
	for nr, ok := range made {
		if ok && !slices.Contains(allowed, nr) {
			foreign = append(foreign, names[nr])
		}
	}
	evidence := fmt.Sprintf("%d sessions, %d with a job: of %d calls allowed %d were made, %d have a reason: %s", sessions, printed, len(allowed), seen, len(excused), strings.Join(excused, "; "))
	if len(spare) > 0 {
		evidence += "; SPARE: " + strings.Join(spare, ", ")
	}
	if len(foreign) > 0 {
		slices.Sort(foreign)
		evidence += "; MADE BUT NOT ON THE LIST: " + strings.Join(foreign, ", ")
	}
	c := claim{"allow-list", what, evidence, "", holds}
	if len(spare)+len(foreign) > 0 || printed == 0 {
		c.State = failed
	}
	return c
}
