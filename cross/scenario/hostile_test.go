package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"platen/agent/intake"
	"platen/agent/seam"
	"platen/testdata/hostile"
)

// What a session may take for a file that it refuses: CPU time of its whole life, and
// memory that can be written beside what it has when it is ready. The Go heap is mapped in
// pieces of 64 MiB, so that a session that takes a second one has exceeded this.
const (
	refusalTime = 2 * time.Second
	refusalHeap = 32 << 20
)

// reasons are why a session refuses a file of a class.
var reasons = map[hostile.Class][]seam.Reason{
	hostile.NoFormat:    {seam.ReasonFormat, seam.ReasonDecrypt}, // a keystore is read when the keys are asked for
	hostile.NoShape:     {seam.ReasonGeometry},
	hostile.Unsupported: {seam.ReasonFormat},
	hostile.TooBig:      {seam.ReasonTooBig},
	hostile.NoProgram:   {seam.ReasonGCode, seam.ReasonEnvelope},
}

// cmdHostile sends the files of some rooms of package hostile to the agent, each to a
// session of its own, and fails unless each is refused for the right reason, in time, and
// within memory: hostile ROOM... The room named sound is of files that have to be taken.
// Short runs send every other file.
func cmdHostile(ts *testscript.TestScript, _ bool, args []string) {
	all, err := hostile.All()
	ts.Check(err)
	for _, f := range slices.Concat(hostile.Healthy(), hostile.Programs()) {
		f.Name = "sound: " + f.Name
		all = append(all, f)
	}
	c := corpus{ts: ts, w: worldOf(ts)}
	c.spent = c.ready()
	seen := 0
	for _, f := range all {
		if room, _, _ := strings.Cut(f.Name, ":"); slices.Contains(args, room) {
			if seen++; seen%2 == 0 || !testing.Short() {
				c.send(f)
			}
		}
	}
	if len(c.wrong) > 0 || c.sent < 4*len(args) {
		c.w.dump(ts)
		ts.Fatalf("%d files of %q:\n%s", c.sent, args, strings.Join(c.wrong, "\n"))
	}
	ts.Logf("%d files; the dearest took %v of CPU time (%s), %d MiB at most were resident", c.sent, c.most, c.dearest, c.resident>>20)
}

// corpus is a run over files.
type corpus struct {
	ts       *testscript.TestScript
	w        *world
	sent     int
	session  int           // the id of the one that waits for a file
	spent    time.Duration // by the sessions that have ended
	loaded   bool          // the present file was taken
	most     time.Duration
	dearest  string
	resident int64
	wrong    []string // what did not fare as it should have
}

// ready waits for a session that has not had a file yet, and tells how much CPU time those
// before it took.
func (c *corpus) ready() (spent time.Duration) {
	agent := c.w.agent.cmd.Process.Pid
	if c.sent > 0 {
		if err := c.w.agent.await("session ready", patience); err != nil {
			c.w.dump(c.ts)
			c.ts.Fatalf("%v", err)
		}
	}
	id, err := child(agent)
	c.ts.Check(err)
	c.session, c.w.agent.from = id, c.w.agent.count()
	return childTime(c.ts, agent)
}

// send sends one file: one that means harm has to be refused, a sound one taken.
func (c *corpus) send(f hostile.File) {
	data, err := statusOf(c.session, "VmData:")
	c.ts.Check(err)
	most := uint64(data) + refusalHeap
	c.ts.Check(unix.Prlimit(c.session, unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most}, nil))
	file := putFile(c.ts, c.w, f)
	defer file.Close()
	watched, sent := make(chan int64), make(chan struct{})
	go func() { watched <- peak(c.session, sent) }()
	c.loaded = false
	r, err := c.ask(intake.Request{Op: intake.OpPrint}, file, c.cancel)
	close(sent)
	c.resident = max(c.resident, <-watched)
	fits := func(why seam.Reason) bool { return strings.Contains(r.Error, why.String()) }
	refused := err != nil && r.Code == "job-refused" && slices.ContainsFunc(reasons[f.Class], fits)
	if refused == (f.Class == hostile.Sound) || c.loaded == refused {
		c.wrong = append(c.wrong, fmt.Sprintf("%s (%s): %v (code %s)", f.Name, f.Class, err, r.Code))
	}
	c.sent++
	if took := c.ready() - c.spent; took > c.most {
		c.most, c.dearest = took, f.Name
	}
	c.spent = childTime(c.ts, c.w.agent.cmd.Process.Pid)
	if c.most > refusalTime && f.Class != hostile.Sound {
		c.ts.Fatalf("%s: took %v of CPU time", c.dearest, c.most)
	}
}

// cancel ends a job that was taken.
func (c *corpus) cancel(r intake.Reply) {
	if r.Event == "loaded" {
		c.loaded = true
		_, _ = c.ask(intake.Request{Op: intake.OpCancel}, nil, func(intake.Reply) {}) // the print's end tells
	}
}

// ask is a request to the agent of the script.
func (c *corpus) ask(req intake.Request, file *os.File, each func(intake.Reply)) (intake.Reply, error) {
	ctx, cancel := context.WithTimeout(c.w.ctx(), patience)
	defer cancel()
	return intake.Ask(ctx, filepath.Join(c.w.dir, "run", "agent.sock"), req, file, each)
}

// putFile writes a file of the corpus to the folder of the script and opens it.
func putFile(ts *testscript.TestScript, w *world, f hostile.File) *os.File {
	file, err := os.Create(filepath.Join(w.dir, "hostile"))
	ts.Check(err)
	ts.Check(f.WriteTo(file))
	ts.Check(file.Close())
	file, err = os.Open(file.Name()) // the agent takes what nobody can write to
	ts.Check(err)
	return file
}

// cmdLarge writes a sound model of so many bytes: large OUT BYTES.
func cmdLarge(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("large OUT BYTES")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), hostile.Large(n).Body, 0o600))
}

// childTime is the CPU time of all children of a process that have ended (proc_pid_stat(5):
// cutime and cstime, in hundredths of a second).
func childTime(ts *testscript.TestScript, pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	ts.Check(err)
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int64
	for _, f := range fields[13:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		ts.Check(err)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// peak is how much memory of a process was resident at most, in bytes, as far as it was
// seen before done is closed.
func peak(pid int, done <-chan struct{}) int64 {
	var most int64
	for {
		if n, err := statusOf(pid, "VmHWM:"); err == nil {
			most = max(most, n)
		}
		select {
		case <-done:
			return most
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// statusOf is a size from the status of a process, in bytes.
func statusOf(pid int, key string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("no " + key)
}
