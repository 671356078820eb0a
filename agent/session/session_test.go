package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"platen/agent/confine"
	"platen/agent/seam"
	"platen/agent/seam/link"
	"platen/boards"
	"platen/cross/rig/rigtest"
	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
	"platen/slicer"
	"platen/slicer/vault"
)

const models = "../../testdata/models"

// TestMain lets the test binary be a session process.
func TestMain(m *testing.M) {
	if device := os.Getenv("PLATEN_SESSION_TEST"); device != "" {
		b, err := boards.Load("sim")
		if err == nil {
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			err = Run(context.Background(), Config{Seam: os.NewFile(3, "seam"), Board: b, Device: device, Vault: 4 << 20, Logger: log})
		}
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a session process on a simulated printer, with the agent's end of the
// seam.
type child struct {
	t       *testing.T
	conn    *link.Conn
	printer *sim.Printer
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	ready   seam.Ready
}

func startSession(t *testing.T, cfg sim.Config) *child {
	t.Helper()
	if rigtest.Emulated() {
		t.Skip("user-mode emulation has no seccomp")
	}
	p, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); p.Serve(ctx, master) }()
	conn, end, err := link.Pair()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, conn: conn, printer: p, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), "PLATEN_SESSION_TEST="+path)
	c.cmd.ExtraFiles = []*os.File{end}
	c.cmd.Stderr = &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end.Close()
	t.Cleanup(func() {
		conn.Close()
		c.cmd.Process.Kill()
		c.cmd.Wait()
		cancel()
		<-served
		master.Close()
	})
	c.ready = *await[*seam.Ready](c)
	return c
}

// await reads messages until one of type M comes.
func await[M seam.Message](c *child) M {
	c.t.Helper()
	deadline := time.AfterFunc(90*time.Second, func() { c.conn.Close() })
	defer deadline.Stop()
	for {
		m, _, err := c.conn.Receive()
		if err != nil {
			c.cmd.Wait()
			c.t.Fatalf("session ended: %v\n%s", err, c.stderr.String())
		}
		if want, ok := m.(M); ok {
			return want
		}
	}
}

// start hands a file to the session.
func (c *child) start(st seam.Start, content []byte) {
	c.t.Helper()
	f, err := os.CreateTemp(c.t.TempDir(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	f.Write(content)
	f.Seek(0, io.SeekStart)
	st.Format = seam.FormatAny
	if err := c.conn.Send(&st, f); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) exited() error {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		c.t.Fatal("the session does not end with its job")
		return nil
	}
}

func model(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(models, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var volume = [3]unit.Length{220 * unit.Millimetre, 220 * unit.Millimetre, 250 * unit.Millimetre}

var fast = sim.Config{Speed: sim.Fastest, Volume: volume}

func TestSessionPrintsInTheClear(t *testing.T) {
	c := startSession(t, fast)
	if !confine.Measure(c.ready.Confined).Has(confine.Required) {
		t.Errorf("confined by %q only", confine.Measure(c.ready.Confined))
	}
	b := model(t, "cube.stl")
	c.start(seam.Start{Job: [16]byte{1}, Size: uint64(len(b))}, b)
	if r := await[*seam.Receipt](c); r.Code != seam.CodeLoaded {
		t.Fatalf("%s: %s\n%s", r.Code, r.Reason, c.stderr.String())
	}
	if r := await[*seam.Receipt](c); r.Code != seam.CodeDone {
		t.Fatalf("%s: %s\n%s", r.Code, r.Reason, c.stderr.String())
	}
	if err := c.exited(); err != nil {
		t.Errorf("exit: %v\n%s", err, c.stderr.String())
	}
	st := c.printer.Stats()
	if st.Layers < 95 || st.HotendSet != 0 || st.BedSet != 0 {
		t.Errorf("printed %d layers, hot end set to %v, bed to %v", st.Layers, st.HotendSet, st.BedSet)
	}
}

func TestSessionPrintsSealed(t *testing.T) {
	plain := model(t, "tee.stl")
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	w.Write(plain)
	w.Close()
	header, err := age.ExtractHeader(bytes.NewReader(sealed.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	key, err := age.DecryptHeader(header, id)
	if err != nil {
		t.Fatal(err)
	}
	st := seam.Start{Job: [16]byte{2}, Sealed: true, Size: uint64(len(plain)), FileKey: [16]byte(key)}

	c := startSession(t, fast)
	c.start(st, sealed.Bytes())
	for _, want := range []seam.Code{seam.CodeLoaded, seam.CodeDone} {
		if r := await[*seam.Receipt](c); r.Code != want {
			t.Fatalf("%s: %s, want %s", r.Code, r.Reason, want)
		}
	}

	altered := bytes.Clone(sealed.Bytes())
	altered[len(altered)-30] ^= 1
	wrong := st
	rand.Read(wrong.FileKey[:])
	for name, try := range map[string]struct {
		st   seam.Start
		file []byte
	}{"altered": {st, altered}, "cut off": {st, sealed.Bytes()[:sealed.Len()-20]}, "wrong key": {wrong, sealed.Bytes()}} {
		c := startSession(t, fast)
		c.start(try.st, try.file)
		if r := await[*seam.Receipt](c); r.Code != seam.CodeRefused || r.Reason != seam.ReasonDecrypt {
			t.Errorf("%s: %s, %s", name, r.Code, r.Reason)
		}
		if s := c.printer.Stats(); s.Moves != 0 || s.HotendSet != 0 {
			t.Errorf("%s: the machine moved or was heated", name)
		}
	}
}

func TestSessionRefuses(t *testing.T) {
	for name, try := range map[string]struct {
		content []byte
		reason  seam.Reason
	}{
		"no model":  {[]byte("call it a day\n"), seam.ReasonFormat},
		"empty":     {nil, seam.ReasonFormat},
		"too large": {bytes.ReplaceAll(model(t, "cube-ascii.stl"), []byte("20"), []byte("900")), seam.ReasonOutOfReach},
	} {
		c := startSession(t, fast)
		c.start(seam.Start{Job: [16]byte{3}, Size: uint64(len(try.content))}, try.content)
		if r := await[*seam.Receipt](c); r.Code != seam.CodeRefused || r.Reason != try.reason {
			t.Errorf("%s: %s, %s", name, r.Code, r.Reason)
		}
		if s := c.printer.Stats(); s.Moves != 0 || s.HotendSet != 0 || s.BedSet != 0 {
			t.Errorf("%s: the machine moved or was heated", name)
		}
		c.exited()
		if strings.Contains(c.stderr.String(), "900") {
			t.Errorf("%s: the log tells of the model", name)
		}
	}
}

func TestSessionCancelCools(t *testing.T) {
	c := startSession(t, sim.Config{Speed: 50, Volume: volume})
	b := model(t, "cube.stl")
	c.start(seam.Start{Job: [16]byte{4}, Size: uint64(len(b))}, b)
	await[*seam.Receipt](c)
	for c.printer.Stats().Layers < 2 {
		time.Sleep(20 * time.Millisecond)
	}
	c.conn.Send(&seam.Command{Kind: seam.KindCancel}, nil)
	if r := await[*seam.Receipt](c); r.Code != seam.CodeCancelled {
		t.Errorf("%s: %s", r.Code, r.Reason)
	}
	c.exited()
	if s := c.printer.Stats(); s.HotendSet != 0 || s.BedSet != 0 {
		t.Errorf("hot end set to %v, bed to %v", s.HotendSet, s.BedSet)
	}
}

func TestPrintGoesOnWithoutTheAgent(t *testing.T) {
	c := startSession(t, sim.Config{Speed: 200, Volume: volume})
	b := model(t, "tee.stl")
	c.start(seam.Start{Job: [16]byte{5}, Size: uint64(len(b))}, b)
	await[*seam.Receipt](c)
	c.conn.Close() // the agent dies
	if err := c.exited(); err != nil {
		t.Errorf("exit: %v\n%s", err, c.stderr.String())
	}
	if s := c.printer.Stats(); s.Layers < 50 || s.HotendSet != 0 {
		t.Errorf("printed %d layers, hot end set to %v", s.Layers, s.HotendSet)
	}
}

// TestModelsStayInTheEnvelope holds the slicer's programs against the limits of one
// board, and one of them against those of every other.
func TestModelsStayInTheEnvelope(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(models, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no models")
	}
	cube := []string{filepath.Join(models, "cube.stl")}
	if testing.Short() {
		files = cube
	}
	for _, id := range boards.List() {
		b, err := boards.Load(id)
		if err != nil {
			t.Fatal(err)
		}
		if !b.Prints() {
			continue
		}
		s, err := settingsOf(b)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		some := files
		if id != "sim" {
			some = cube // the slicer does the same on every board
		}
		for _, f := range some {
			if err := runDry(t, b, s, f); err != nil {
				t.Errorf("%s on %s: %v", filepath.Base(f), id, err)
			}
		}
		if err := pausedDry(t, b, s, cube[0]); err != nil {
			t.Errorf("a pause on %s: %v", id, err)
		}
		tight := *b
		tight.Limits.Max[2] = 1
		if runDry(t, &tight, s, cube[0]) == nil {
			t.Errorf("control: %s prints higher than the machine is", id)
		}
	}
}

// pausedDry holds a program with a pause after its 500th operation against the
// envelope.
func pausedDry(t *testing.T, b *boards.Board, s slicer.Settings, file string) error {
	p := pause{board: b}
	n, parked := 0, false
	err := dry(t, b, s, file, func(prog motion.Program) motion.Program {
		return p.hold(func(yield func(motion.Op, error) bool) {
			for op, err := range prog {
				if n++; n == 500 {
					p.set(true)
				}
				if !yield(op, err) {
					return
				}
			}
		}, nil)
	}, func(op motion.Op) {
		if op.E == -2*mm {
			parked = true
			p.set(false)
		}
	})
	if err == nil && !parked {
		t.Error("control: the pause did not park")
	}
	return err
}

func runDry(t *testing.T, b *boards.Board, s slicer.Settings, file string) error {
	return dry(t, b, s, file, func(p motion.Program) motion.Program { return p }, func(motion.Op) {})
}

func dry(t *testing.T, b *boards.Board, s slicer.Settings, file string, through func(motion.Program) motion.Program, see func(motion.Op)) error {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	job, err := slicer.Open(t.Context(), v, bytes.NewReader(content), int64(len(content)), slicer.Detect, s)
	if err != nil {
		return err
	}
	whole := b.Sequence(gcodefile.State{}).Macro(boards.MacroStart).Program(job.Program(t.Context())).Macro(boards.MacroEnd)
	for op, err := range envelope.Check(b.Limits, through(whole.Ops())) {
		if err != nil {
			return err
		}
		see(op)
	}
	return nil
}
