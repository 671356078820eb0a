package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/cross/rig"
)

// patience is a guard against hanging: how long a script waits for what has to come.
const patience = 2 * time.Minute

type worldKey struct{}

// world is what runs for one script.
type world struct {
	dir, bins string
	t         testscript.T
	factory   *factory
	swtpm     *rig.Swtpm
	sim       *process
	agent     *process
	fleet     *fleet
	board     *board
	sessions  []int // ids of every session that pids has seen
	alone     bool  // agents have a network namespace of their own
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func (w *world) ctx() context.Context { return context.Background() }

// end stops what is left.
func (w *world) end() {
	w.stop(w.agent)
	w.fleet.stop(w)
	w.board.close()
	w.stop(w.sim) // a session whose agent is gone ends with its port
	for _, pid := range w.sessions {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Dir(exe) == w.bins {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if w.swtpm != nil {
		w.swtpm.Stop()
	}
}

// stop ends a process, if there is one.
func (w *world) stop(p *process) {
	if p == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.done
		w.t.Log("a process did not end when it was told to: " + p.cmd.Path)
	}
	p.pipe.Close()
}

// config is the configuration that printer writes unless the script has one.
const config = `board = "sim"
device = "tty"
state = "state"
socket = "run/agent.sock"
owner_key = "owner.pub"
operator_keys = ["operator.pub"]
vault = "2MiB"
max_job = "1MiB"
tpm = "swtpm:tpm.sock"
allow_swap = true
`

func cmdPrinter(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	ts.Check(w.factory.tpm(w))
	for _, name := range []string{"owner", "operator"} {
		ts.Check(ts.Exec("platen", "consent", "keygen", name))
	}
	path := ts.MkAbs("platen.toml")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		ts.Check(os.WriteFile(path, []byte(config), 0o600))
	}
	cmdSim(ts, neg, args)
	cmdAgent(ts, neg, nil)
	ts.Check(ts.Exec("platen", "status", "--config", "platen.toml", "-o", "json"))
	for name, key := range map[string]string{"PRINTER": "printer", "RECIPIENT": "recipient"} {
		ts.Setenv(name, field(ts.ReadFile("stdout"), key))
	}
}

// field is the value of a key in indented JSON.
func field(text, key string) string {
	m := regexp.MustCompile(`"` + key + `": "([^"]*)"`).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

func cmdSim(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	w.stop(w.sim)
	w.sim = nil
	if neg {
		return
	}
	var err error
	args = append([]string{"-o", "jsonl", "--pty", "tty", "--status-every", "20ms"}, args...)
	w.sim, err = w.start(false, "platen-sim", args...)
	ts.Check(err)
	ts.Check(w.sim.await(`"event":"ready"`, patience))
}

func cmdAgent(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	w.stop(w.agent)
	if w.agent = nil; neg {
		return
	}
	var err error
	w.agent, err = w.start(true, "platen", "run", "--config", "platen.toml")
	ts.Check(err)
	phase := "idle"
	if len(args) > 0 {
		phase = args[0]
	}
	cmdAwait(ts, false, []string{`"phase": "` + phase + `"`, "status", "-o", "json"})
}

func cmdPlaten(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("platen", append(args, "--config", "platen.toml")...)
	if neg && err == nil {
		ts.Fatalf("platen %s was not refused", args[0])
	}
	if !neg {
		ts.Check(err)
	}
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	re := regexp.MustCompile(args[0])
	end := time.Now().Add(patience)
	for {
		cmd := exec.Command(filepath.Join(w.bins, "platen"), append(args[1:], "--config", "platen.toml")...)
		cmd.Dir = w.dir
		out, err := cmd.CombinedOutput()
		if re.Match(out) {
			return
		}
		if time.Now().After(end) {
			w.dump(ts)
			ts.Fatalf("platen %s did not say %q but: %v\n%s", strings.Join(args[1:], " "), args[0], err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// dump shows the agent's log of a script that fails.
func (w *world) dump(ts *testscript.TestScript) {
	if w.agent != nil {
		lines, _ := w.agent.said(0)
		ts.Logf("agent's log:\n%s", strings.Join(lines, "\n"))
	}
}

// await waits until the process has written a line that matches, from its mark on. Each
// line is looked at once: a simulator says ten thousands.
func (p *process) await(re string, patience time.Duration) error {
	r, err := regexp.Compile(re)
	if err != nil {
		return err
	}
	limit := time.After(patience)
	from, last := p.from, "nothing"
	for {
		lines, more := p.said(from)
		if slices.ContainsFunc(lines, r.MatchString) {
			return nil
		}
		if from += len(lines); len(lines) > 0 {
			last = strings.Join(lines[max(0, len(lines)-10):], "\n")
		}
		select {
		case <-more:
		case <-limit:
			return fmt.Errorf("%q did not come; last was\n%s", re, last)
		}
	}
}

func look(ts *testscript.TestScript, p *process, neg bool, args []string) {
	if len(args) != 1 || p == nil {
		ts.Fatalf("want one regular expression, and a process that runs")
	}
	if !neg {
		if err := p.await(args[0], patience); err != nil {
			worldOf(ts).dump(ts)
			ts.Fatalf("%v", err)
		}
		return
	}
	lines, _ := p.said(p.from)
	if at := slices.IndexFunc(lines, regexp.MustCompile(args[0]).MatchString); at >= 0 {
		ts.Fatalf("%q was said:\n%s", args[0], lines[at])
	}
}

func cmdSaid(ts *testscript.TestScript, neg bool, args []string) {
	look(ts, worldOf(ts).sim, neg, args)
}

func cmdLogged(ts *testscript.TestScript, neg bool, args []string) {
	look(ts, worldOf(ts).agent, neg, args)
}

func cmdMark(ts *testscript.TestScript, _ bool, _ []string) {
	w := worldOf(ts)
	for _, p := range []*process{w.sim, w.agent} {
		if p != nil {
			p.from = p.count()
		}
	}
}
