package scenario

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/cross/rig"
)

// commands are built as they are shipped, under a version and a release of their own.
var commands = []string{
	"platen/agent/cmd/platen", "platen/agent/cmd/platen-fleet", "platen/updater/cmd/platen-ota",
	"platen/hal/cmd/platen-sim", "platen/slicer/cmd/platen-slice", "filippo.io/age/cmd/age",
}

// atOnce is how many scripts run at a time: most of their time is waiting for printers
// that take theirs.
const atOnce = "5"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestScripts(t *testing.T) {
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("builds and runs all commands")
	}
	// Not t.TempDir: the path of a unix socket has at most 107 bytes.
	root, err := os.MkdirTemp("", "pl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	bins := filepath.Join(root, "bin")
	build(t, bins)
	models, err := filepath.Abs("../../testdata/models")
	if err != nil {
		t.Fatal(err)
	}
	f := &factory{dir: filepath.Join(root, "tpm")}
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script", WorkdirRoot: root, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bins+":"+os.Getenv("PATH"))
			e.Setenv("MODELS", models)
			w := &world{dir: e.WorkDir, bins: bins, t: e.T(), factory: f}
			e.Values[worldKey{}] = w
			e.Defer(w.end)
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "traced": // by the proof: see strace
				return os.Getenv("PLATEN_STRACE") != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"printer": cmdPrinter, "power": cmdPower, "sim": cmdSim, "agent": cmdAgent, "platen": cmdPlaten, "exits": cmdExits,
			"await": cmdAwait, "said": cmdSaid, "logged": cmdLogged, "mark": cmdMark, "pids": cmdPids,
			"signal": cmdSignal, "sockets": cmdSockets, "alone": cmdAlone, "scan": cmdScan, "descriptors": cmdDescriptors, "secure": cmdSecure, "plates": cmdPlates, "stick": cmdStick,
			"reboot": cmdReboot, "board": cmdBoard, "wound": cmdWound,
			"fleet": cmdFleet, "told": cmdTold,
			"hostile": cmdHostile, "large": cmdLarge, "resident": cmdResident,
		},
	})
}

// build makes all commands, statically linked as on a board.
func build(t *testing.T, bins string) {
	t.Helper()
	args := []string{"build", "-trimpath", "-tags", "nethttpomithttp2", "-o", bins + "/",
		"-ldflags", "-X platen/agent/cli.version=9.8.7 -X platen/agent/cli.release=41"}
	cmd := exec.Command("go", append(args, commands...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// factory makes one software TPM for all scripts, each of which gets a copy: making
// one takes seconds.
type factory struct {
	dir  string
	once sync.Once
	err  error
}

// tpm starts a TPM of its own in the world of a script.
func (f *factory) tpm(w *world) error {
	f.once.Do(func() {
		s, err := rig.StartSwtpm(w.ctx(), f.dir)
		if err == nil {
			err = s.Stop()
		}
		f.err = err
	})
	var missing *rig.ErrNoTool
	if errors.As(f.err, &missing) && os.Getenv("CI") == "" {
		w.t.Skip("needs " + missing.Name)
	}
	if f.err != nil {
		return f.err
	}
	if w.swtpm != nil {
		return nil
	}
	dir := filepath.Join(w.dir, "tpm")
	if err := os.CopyFS(dir, os.DirFS(f.dir)); err != nil {
		return fmt.Errorf("copying the TPM: %w", err)
	}
	var err error
	if w.swtpm, err = rig.StartSwtpm(w.ctx(), dir); err != nil {
		return err
	}
	return os.Symlink(w.swtpm.Socket, filepath.Join(w.dir, "tpm.sock"))
}

// process is a command that goes on while its script does. What it writes is kept
// in lines.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	from int           // first line that said and logged look at
	pipe *os.File      // our end; a process that outlives another may still write to it

	mu    sync.Mutex
	lines []string
	wake  chan struct{}
}

// start runs a command of bins; lines come from its standard output, or from its
// standard error.
func (w *world) start(stderr bool, name string, args ...string) (*process, error) {
	r, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer end.Close()
	p := &process{cmd: strace(filepath.Join(w.bins, name), args...), done: make(chan struct{}), wake: make(chan struct{}), pipe: r}
	p.cmd.Dir, p.cmd.SysProcAttr = w.dir, alone(w.alone && name == "platen")
	stray, err := os.Open("/dev/zero") // a careless parent leaves something open
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	defer stray.Close()
	p.cmd.ExtraFiles = []*os.File{stray}
	if p.cmd.Stdout = end; stderr {
		p.cmd.Stdout, p.cmd.Stderr = nil, end
	}
	if err := p.cmd.Start(); err != nil {
		r.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go p.read(r)
	go func() {
		defer close(p.done)
		p.cmd.Wait() // how it ended is for the script to say
	}()
	return p, nil
}

func (p *process) read(r *os.File) {
	var buf [4096]byte
	var rest []byte
	for {
		n, err := r.Read(buf[:])
		rest = append(rest, buf[:n]...)
		p.mu.Lock()
		for {
			line, after, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				break
			}
			p.lines, rest = append(p.lines, string(line)), after
		}
		close(p.wake)
		p.wake = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// said is what the process has written from line number from on, and a channel
// that is closed when there is more.
func (p *process) said(from int) ([]string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[from:], p.wake
}

// count is how many lines there are.
func (p *process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}
