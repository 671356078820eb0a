package main

import (
	"bufio"
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

	"platen/cross/rig"
)

// call is one system call as strace wrote it down.
type call struct {
	at      string // seconds since 1970, of equal length
	nr      int
	name    string
	rest    string // arguments and result
	refused bool   // by EPERM or ENOSYS
}

// trace is what one session called, in order of time.
type trace []call

// written is a line of strace -ttt -n.
var written = regexp.MustCompile(`^(\d+\.\d+) \[\s*(0x[0-9a-f]+|\d+)\] (\w+)\((.*)`)

// made is the result of a clone that made a thread.
var made = regexp.MustCompile(`CLONE_THREAD.*= (\d+)`)

// straceArgs make strace follow every thread into a file of its own, PREFIX.TID.
func straceArgs(prefix string) []string {
	return []string{"-f", "-ff", "-ttt", "-n", "-e", "signal=none", "-o", prefix}
}

// traces reads every session that strace saw from its beginning, of all prefixes in dir.
func traces(dir string) ([]trace, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		return nil, err
	}
	threads := map[string][]call{}
	for _, path := range files {
		if threads[path], err = thread(path); err != nil {
			return nil, err
		}
	}
	var all []trace
	for path, calls := range threads {
		if !slices.ContainsFunc(calls[:min(64, len(calls))], sessionStarts) {
			continue
		}
		var t trace
		prefix := strings.TrimSuffix(path, filepath.Ext(path))
		for todo := []string{path}; len(todo) > 0; {
			one := threads[todo[0]]
			todo = todo[1:]
			t = append(t, one...)
			for _, c := range one {
				if m := made.FindStringSubmatch(c.rest); m != nil && strings.HasPrefix(c.name, "clone") {
					todo = append(todo, prefix+"."+m[1])
				}
			}
		}
		slices.SortStableFunc(t, func(a, b call) int { return strings.Compare(a.at, b.at) })
		all = append(all, t)
	}
	return all, nil
}

// sessionStarts reports the execve of a session.
func sessionStarts(c call) bool {
	return c.name == "execve" && strings.Contains(c.rest, `"session"`) && strings.HasSuffix(c.rest, "= 0")
}

// thread reads what one thread called.
func thread(path string) ([]call, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var calls []call
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		m := written.FindStringSubmatch(sc.Text())
		if m == nil || strings.HasSuffix(m[4], "<unfinished ...>") && !strings.HasPrefix(m[3], "exit") {
			continue // a thread that ends, or is ended
		}
		nr, err := strconv.ParseInt(m[2], 0, 64)
		if err != nil {
			return nil, fmt.Errorf("strace has written %q", sc.Text())
		}
		refused := strings.Contains(m[4], "= -1 EPERM") || strings.Contains(m[4], "= -1 ENOSYS")
		calls = append(calls, call{m[1], int(nr), m[3], m[4], refused})
	}
	return calls, sc.Err()
}

// confined is what a session called after its filter was loaded, if it was.
func (t trace) confined() trace {
	i := slices.IndexFunc(t, func(c call) bool { return c.name == "seccomp" && strings.Contains(c.rest, "SECCOMP_SET_MODE_FILTER") })
	if i < 0 {
		return nil
	}
	return t[i+1:]
}

// job is what a session called after it was handed a job, if it was.
func (t trace) job() trace {
	i := slices.IndexFunc(t, func(c call) bool { return c.name == "recvmsg" && strings.Contains(c.rest, "SCM_RIGHTS") })
	if i < 0 {
		return nil
	}
	return t[i+1:]
}

// reaching are the calls that reach for a file, a network or another program.
func (t trace) reaching() []string {
	var names []string
	for _, c := range t {
		switch c.name {
		case "open", "openat", "openat2", "creat", "socket", "connect", "bind", "listen", "socketpair", "execve", "execveat", "fork", "vfork",
			"memfd_create", "memfd_secret", "io_uring_setup", "ptrace", "kill", "pidfd_open", "process_vm_readv", "shmget", "mount":
			names = append(names, c.name)
		case "clone", "clone3":
			if !strings.Contains(c.rest, "CLONE_THREAD") {
				names = append(names, c.name+" of a process")
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// traced runs do while every call of the agent and of what it starts is written down,
// and returns the sessions that began meanwhile: the one that is there is ended first.
func (h *house) traced(ctx context.Context, name string, do func() error) ([]trace, error) {
	dir := h.desk.Path("trace-" + name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	t, err := h.attach(ctx, dir, append(straceArgs(filepath.Join(dir, "s")), "-p", strconv.Itoa(h.agent.Cmd.Process.Pid))...)
	if err != nil {
		return nil, err
	}
	err = rig.Kill(h.session(), syscall.SIGKILL)
	if err == nil {
		err = h.another(ctx)
	}
	if err == nil {
		err = do()
	}
	t.stop()
	if err != nil {
		return nil, err
	}
	return traces(dir)
}

// tracer is a strace that runs.
type tracer struct {
	cmd *exec.Cmd
	log *os.File
}

// attach starts strace and waits until it has got hold of what it is to trace. What it
// says goes to name.log.
func (h *house) attach(ctx context.Context, name string, args ...string) (*tracer, error) {
	cmd, err := rig.Command(ctx, "strace", args...)
	if err != nil {
		return nil, err
	}
	t := &tracer{cmd: cmd}
	if t.log, err = os.Create(name + ".log"); err != nil {
		return nil, err
	}
	t.cmd.Stderr = t.log
	if err := t.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting strace: %w", err), t.log.Close())
	}
	if err := attached(t.log.Name()); err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// stop has strace let go of all and waits for it; how it ends says nothing.
func (t *tracer) stop() {
	t.cmd.Process.Signal(syscall.SIGINT)
	_ = t.cmd.Wait()
	t.log.Close()
}

// attached waits until strace says that it has got hold of something.
func attached(log string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "attached") {
			return nil
		}
		if strings.Contains(string(text), "not permitted") {
			return fmt.Errorf("strace may not trace here: %s", text)
		}
	}
	return errors.New("strace does not attach")
}

// another waits for the session after one that was killed.
func (h *house) another(ctx context.Context) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if h.session() != 0 {
			_, err := h.await(ctx, "idle")
			return err
		}
	}
	return errors.New("no session follows one that was killed")
}

// calls is the claim about what a session calls once it has a job.
func (p *proof) calls(ctx context.Context) (claim, error) {
	const what = "from the start of a job on, a session opens, connects and executes nothing"
	clean, err := p.printTraced(ctx, p.h.box.Bin("platen"), 40)
	if missing, ok := errors.AsType[*rig.ErrNoTool](err); ok {
		return claim{"calls", what, missing.Error(), "", notRun}, nil
	}
	if err != nil {
		return claim{}, err
	}
	leaky, err := p.printTraced(ctx, p.h.leaky, 50)
	if err != nil {
		return claim{}, err
	}
	before := clean[:len(clean)-len(clean.job())].reaching()
	wrong, tried := clean.job().reaching(), leaky.job().reaching()
	refused := 0
	for _, c := range leaky.job() {
		if c.refused {
			refused++
		}
	}
	evidence := fmt.Sprintf("%d calls of a whole sealed print, %d different ones", len(clean.job()), len(clean.job().numbers()))
	if len(wrong) > 0 {
		evidence += ": FOUND " + strings.Join(wrong, ", ")
	}
	return judged("calls", what, len(wrong) > 0 || len(clean.job()) < 100, evidence,
		slices.Contains(before, "openat") && slices.Contains(tried, "openat") && slices.Contains(tried, "socket") && refused > 0,
		fmt.Sprintf("the same trace before the job shows %s; a session that tries is seen to (%s) and refused %d times", strings.Join(before, ", "), strings.Join(tried, ", "), refused)), nil
}

// printTraced prints a canary under strace and returns what its session called.
func (p *proof) printTraced(ctx context.Context, bin string, seed uint64) (trace, error) {
	h := p.h
	if err := h.on(ctx, bin, "idle"); err != nil {
		return nil, err
	}
	defer h.off(syscall.SIGTERM)
	j, _, _, err := h.jobs(ctx, draw(p.o.seed+seed), bin == h.leaky)
	if err != nil {
		return nil, err
	}
	all, err := h.traced(ctx, filepath.Base(bin), func() error {
		client, err := h.print(j)
		if err != nil {
			return err
		}
		if err := printed(ctx, client); err != nil {
			return err
		}
		_, err = h.await(ctx, "idle")
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if len(t.job()) > 0 {
			return t, nil
		}
	}
	return nil, fmt.Errorf("strace saw %d sessions, none of which got a job", len(all))
}

// numbers are the calls that were made and not refused, each once.
func (t trace) numbers() []int {
	var all []int
	for _, c := range t {
		if !c.refused {
			all = append(all, c.nr)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
