package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/seam"
	"platen/agent/seam/link"
	"platen/boards"
	"platen/hal"
	"platen/hal/motion"
	"platen/slicer/vault"
)

// slowMachine prints until it is cancelled, and then cools until it is halted.
type slowMachine struct {
	hal.Machine
	runs   int
	halted chan struct{}
}

func (m *slowMachine) Run(ctx context.Context, prog motion.Program) error {
	if m.runs++; m.runs == 1 {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-m.halted:
		return hal.ErrHalted
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *slowMachine) Halt(string) error { close(m.halted); return nil }
func (m *slowMachine) State() hal.State  { return hal.State{} }

// TestHaltWhileCooling cancels a job whose machine takes its time to cool, and then
// halts it.
func TestHaltWhileCooling(t *testing.T) {
	b, err := boards.Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	conn, end, err := link.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far, err := link.FromFile(end)
	if err != nil {
		t.Fatal(err)
	}
	m := &slowMachine{halted: make(chan struct{})}
	s := &session{cfg: Config{Board: b}, log: slog.New(slog.DiscardHandler), machine: m, vault: v, phase: seam.PhaseIdle}
	s.conn.Store(far)
	ended := make(chan error, 1)
	go func() { ended <- s.serve(context.Background()) }()

	c := &child{t: t, conn: conn}
	content := model(t, "cube.stl")
	c.start(seam.Start{Job: [16]byte{6}, Size: uint64(len(content))}, content)
	if r := receipt(t, conn); r.Code != seam.CodeLoaded {
		t.Fatalf("%s: %s", r.Code, r.Reason)
	}
	for _, k := range []seam.Kind{seam.KindCancel, seam.KindHalt} {
		if err := conn.Send(&seam.Command{Kind: k}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // it cools by now
	}
	select {
	case <-m.halted:
	case <-time.After(time.Minute):
		t.Error("a machine that cools down cannot be halted")
	}
	if r := receipt(t, conn); r.Code != seam.CodeCancelled {
		t.Errorf("%s: %s", r.Code, r.Reason)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func receipt(t *testing.T, conn *link.Conn) *seam.Receipt {
	t.Helper()
	for {
		m, _, err := conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := m.(*seam.Receipt); ok {
			return r
		}
	}
}

// TestFileKeyIsZeroed reads a sealed file that does not open: the key is gone all
// the same, long before the job's end.
func TestFileKeyIsZeroed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealed")
	if err := os.WriteFile(path, []byte("age-encryption.org/v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := boards.Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	st := &seam.Start{Sealed: true, FileKey: [16]byte{1, 2, 3}}
	s := &session{cfg: Config{Board: b}}
	if _, err := s.read(t.Context(), st, f); err == nil {
		t.Fatal("control: it opens")
	}
	if st.FileKey != [16]byte{} {
		t.Error("the file key is still in memory")
	}
}

// TestSessionRefusesHugeFile hands over a file with nothing in it but its size. A
// count of triangles that goes with the size makes it worse: then only the vault says
// that it is too much.
func TestSessionRefusesHugeFile(t *testing.T) {
	for name, count := range map[string]uint32{"zeros": 0, "triangles": 1 << 31} {
		size := int64(1 << 40)
		if count > 0 {
			size = 84 + 50*int64(count)
		}
		path := filepath.Join(t.TempDir(), "huge")
		head := binary.LittleEndian.AppendUint32(make([]byte, 80), count)
		if err := os.WriteFile(path, head, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Skipf("no sparse files here: %v", err)
		}
		c := startSession(t, fast)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		began := time.Now()
		if err := c.conn.Send(&seam.Start{Job: [16]byte{7}, Format: seam.FormatAny, Size: uint64(size)}, f); err != nil {
			t.Fatal(err)
		}
		if r := await[*seam.Receipt](c); r.Code != seam.CodeRefused {
			t.Errorf("%s: %s, %s", name, r.Code, r.Reason)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
		if s := c.printer.Stats(); s.Moves != 0 || s.HotendSet != 0 {
			t.Errorf("%s: the machine moved or was heated", name)
		}
	}
}

// An object that is to be left out is told to the running job; where there is none, or
// one that does not know its objects, the session goes on.
func TestSkip(t *testing.T) {
	var log bytes.Buffer
	s := &session{log: slog.New(slog.NewTextHandler(&log, nil))}
	var got []int
	if s.command(input{msg: &seam.Skip{Object: 2}}, nil, true) || log.Len() == 0 {
		t.Error("the session ends, or says nothing of what it cannot do")
	}
	log.Reset()
	s.skip = func(n int) bool { got = append(got, n); return true }
	if s.command(input{msg: &seam.Skip{Object: 2}}, nil, true) || log.Len() > 0 || len(got) != 1 || got[0] != 2 {
		t.Errorf("left out: %v", got)
	}
}
