package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// short is how many files there are for each that short runs send.
const short = 4

// lanes is how many printers files are sent to at once: a session spends most of its life
// waiting for its controller to be silent.
const lanes = 4

// reasons are why a session refuses a file of a class.
var reasons = map[hostile.Class][]seam.Reason{
	hostile.NoFormat:    {seam.ReasonFormat, seam.ReasonDecrypt}, // a keystore is read when the keys are asked for
	hostile.NoShape:     {seam.ReasonGeometry},
	hostile.Unsupported: {seam.ReasonFormat},
	hostile.TooBig:      {seam.ReasonTooBig},
	hostile.NoProgram:   {seam.ReasonGCode, seam.ReasonEnvelope},
}

// heated is what a simulated printer says once it is heated or moves.
var heated = regexp.MustCompile(`"event":"(status|end)"`)

// cmdHostile sends the files of some rooms of package hostile to printers, each to a
// session of its own, and fails unless each is refused for the right reason, in time,
// within memory, and by a machine that stays cold: hostile ROOM... The room named sound is
// of files that have to be taken. Short runs send one of every few.
func cmdHostile(ts *testscript.TestScript, _ bool, args []string) {
	all, err := hostile.All()
	ts.Check(err)
	for _, f := range slices.Concat(hostile.Healthy(), hostile.Programs()) {
		f.Name = "sound: " + f.Name
		all = append(all, f)
	}
	queue, seen, sent := make(chan hostile.File, len(all)), 0, 0
	for _, f := range all {
		if room, _, _ := strings.Cut(f.Name, ":"); slices.Contains(args, room) {
			if seen++; seen%short == 0 || !testing.Short() {
				sent++
				queue <- f
			}
		}
	}
	close(queue)
	done := make(chan *corpus)
	for i := range lanes {
		go func() { done <- send(worldOf(ts), i, queue) }()
	}
	total := corpus{}
	for range lanes {
		c := <-done
		err = errors.Join(err, c.err)
		total.sent += c.sent
		total.resident = max(total.resident, c.resident)
		if c.most >= total.most {
			total.most, total.dearest = c.most, c.dearest
		}
	}
	ts.Check(err)
	if total.sent != sent || sent < 4*len(args) {
		ts.Fatalf("%d of %d files of %q were sent", total.sent, sent, args)
	}
	ts.Logf("%d files; the dearest took %v of CPU time (%s), %d MiB at most were resident", sent, total.most, total.dearest, total.resident>>20)
}

// corpus is what one printer made of its files.
type corpus struct {
	w        *world
	sent     int
	session  int           // the id of the one that waits for a file
	spent    time.Duration // by the sessions that have ended
	loaded   bool          // the present file was taken
	most     time.Duration
	last     string // the name of the latest file
	dearest  string
	resident int64
	err      error
}

// send sends files to printer number lane until there are no more, or a session fails.
func send(of *world, lane int, files <-chan hostile.File) *corpus {
	c := &corpus{}
	if c.w, c.err = of.beside(lane); c.err != nil {
		return c
	}
	defer c.w.end()
	sound := false
	var wrong error
	for f := range files {
		sound = sound || f.Class == hostile.Sound
		if c.spent, c.err = c.ready(); c.err == nil {
			c.err = c.try(f)
		}
		if c.err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s (%s): %w", f.Name, f.Class, c.err))
		}
		if c.session == 0 {
			break
		}
	}
	if wrong == nil {
		_, wrong = c.ready() // the agent takes jobs after all of them
	}
	if lines, _ := c.w.sim.said(0); !sound && slices.ContainsFunc(lines, heated.MatchString) {
		wrong = errors.Join(wrong, fmt.Errorf("printer %d was heated or moved", lane))
	}
	if wrong != nil {
		lines, _ := c.w.agent.said(0)
		wrong = fmt.Errorf("%w\nagent's log:\n%s", wrong, strings.Join(lines, "\n"))
	}
	c.err = wrong
	return c
}

// beside makes another printer in a folder of its own, with the same configuration.
func (w *world) beside(n int) (*world, error) {
	o := &world{dir: filepath.Join(w.dir, "lane"+strconv.Itoa(n)), bins: w.bins, t: w.t, factory: w.factory}
	if err := os.Mkdir(o.dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"platen.toml", "owner.pub", "operator.pub"} {
		b, err := os.ReadFile(filepath.Join(w.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(o.dir, name), b, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	err := o.factory.tpm(o)
	if err == nil {
		o.sim, err = o.start(false, "platen-sim", "-o", "jsonl", "--pty", "tty", "--status-every", "20ms", "--speed", "200", "--reset-on-open=false")
	}
	if err == nil {
		err = o.sim.await(`"event":"ready"`, patience)
	}
	if err == nil {
		o.agent, err = o.start(true, "platen", "run", "--config", "platen.toml")
	}
	if err != nil {
		o.end()
		return nil, err
	}
	return o, nil
}

// ready waits for a session that has not had a file yet, and tells how much CPU time those
// before it took: too much of it is an error.
func (c *corpus) ready() (spent time.Duration, err error) {
	c.session = 0
	if err := c.w.agent.await("session ready", patience); err != nil {
		return 0, err
	}
	c.w.agent.from = c.w.agent.count()
	agent := c.w.agent.cmd.Process.Pid
	if c.session, err = child(agent); err != nil {
		return 0, err
	}
	spent, err = childTime(agent)
	if took := spent - c.spent; c.sent > 0 && took > c.most {
		c.most, c.dearest = took, c.last
	}
	if err == nil && c.most > refusalTime {
		c.session = 0 // no more are sent
		err = fmt.Errorf("%s took %v of CPU time", c.dearest, c.most)
	}
	return spent, err
}

// try sends one file: one that means harm has to be refused, a sound one taken.
func (c *corpus) try(f hostile.File) error {
	data, err := statusOf(c.session, "VmData:")
	if err != nil {
		return err
	}
	most := uint64(data) + refusalHeap
	if err := unix.Prlimit(c.session, unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil {
		return err
	}
	file, err := putFile(c.w, f)
	if err != nil {
		return err
	}
	defer file.Close()
	watched, over := make(chan int64), make(chan struct{})
	go func() { watched <- peak(c.session, over) }()
	c.sent++
	c.last, c.loaded = f.Name, false
	r, err := c.ask(intake.Request{Op: intake.OpPrint}, file, c.cancel)
	close(over)
	c.resident = max(c.resident, <-watched)
	fits := func(why seam.Reason) bool { return strings.Contains(r.Error, why.String()) }
	refused := err != nil && r.Code == "job-refused" && slices.ContainsFunc(reasons[f.Class], fits)
	if refused == (f.Class == hostile.Sound) || c.loaded == refused {
		return fmt.Errorf("was not treated as such (%s, code %q)", r.Error, r.Code)
	}
	return nil
}

// cancel ends a job that was taken.
func (c *corpus) cancel(r intake.Reply) {
	if r.Event == "loaded" {
		c.loaded = true
		_, _ = c.ask(intake.Request{Op: intake.OpCancel}, nil, func(intake.Reply) {}) // the print's end tells
	}
}

// ask is a request to the agent.
func (c *corpus) ask(req intake.Request, file *os.File, each func(intake.Reply)) (intake.Reply, error) {
	ctx, cancel := context.WithTimeout(c.w.ctx(), patience)
	defer cancel()
	return intake.Ask(ctx, filepath.Join(c.w.dir, "run", "agent.sock"), req, file, each)
}

// putFile writes a file of the corpus to the printer's folder and opens it as the agent
// takes it: so that nobody can write to it.
func putFile(w *world, f hostile.File) (*os.File, error) {
	file, err := os.Create(filepath.Join(w.dir, "hostile"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.WriteTo(file), file.Close()); err != nil {
		return nil, err
	}
	return os.Open(file.Name())
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

// cmdResident fails unless less than so many MiB of a process are resident: resident PID
// MIB.
func cmdResident(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("resident PID MIB")
	}
	most, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	got, err := statusOf(pidArg(ts, args[0]), "VmRSS:")
	ts.Check(err)
	ts.Logf("%d kB are resident", got>>10)
	if (got < most<<20) == neg {
		ts.Fatalf("%d kB are resident, the bar is %d MiB", got>>10, most)
	}
}

// childTime is the CPU time of all children of a process that have ended (proc_pid_stat(5):
// cutime and cstime, in hundredths of a second).
func childTime(pid int) (time.Duration, error) {
	fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, f := range fields[13:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil
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
