package virtual

import (
	"bufio"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"platen/agent/attest"
	"platen/cross/rig/rigtest"
)

// firmware is a program for the bare machine: it says "on\n" at its UART (a PL011 at 0x09000000),
// and then each byte that it is told plus one.
func firmware() []byte {
	code := []uint32{
		0xd2a12000,             // mov x0, #0x09000000
		0x52800de1, 0xb9000001, // mov w1, #'o'; str w1, [x0]
		0x52800dc1, 0xb9000001, // 'n'
		0x52800141, 0xb9000001, // '\n'
		0xb9401802, // wait: ldr w2, [x0, #24]  flags
		0x3727ffe2, // tbnz w2, #4, wait        nothing received
		0xb9400001, // ldr w1, [x0]
		0x11000421, // add w1, w1, #1
		0xb9000001, // str w1, [x0]
		0x17fffffb, // b wait
	}
	b := make([]byte, 0, 4096)
	for _, c := range code {
		b = binary.LittleEndian.AppendUint32(b, c)
	}
	return b[:4096]
}

// machine is one that is off, and the image on its disk.
func machine(t *testing.T) (m *Machine, image string) {
	t.Helper()
	dir := t.TempDir()
	bios, image := filepath.Join(dir, "bios"), filepath.Join(dir, "image")
	rigtest.Check(t, os.WriteFile(bios, firmware(), 0o600))
	rigtest.Check(t, os.WriteFile(image, make([]byte, 1<<20), 0o600))
	m, err := New(t.Context(), Config{Dir: dir, Firmware: func() ([]string, error) { return []string{"-bios", bios}, nil }, MiB: 64, Seed: 1})
	rigtest.Check(t, err)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	rigtest.Check(t, m.Flash(t.Context(), image))
	return m, image
}

// TestMachine switches a machine on twice: its lines work, a cut ends them, and its TPM and disk
// are the same ones afterwards.
func TestMachine(t *testing.T) {
	m, image := machine(t)
	for range 2 {
		w, err := m.On(t.Context())
		rigtest.Check(t, err)
		r := bufio.NewReader(w.Console)
		if l, err := r.ReadString('\n'); err != nil || l != "on\n" {
			t.Fatalf("it says %q, %v", l, err)
		}
		if _, err := w.Console.Write([]byte("A")); err != nil {
			t.Fatal(err)
		}
		if b, err := r.ReadByte(); err != nil || b != 'B' {
			t.Fatalf("it answers %q, %v", b, err)
		}
		if w.Controller == nil || m.Disk() == nil {
			t.Error("it has no printer port or no disk")
		}
		if _, err := m.On(t.Context()); err == nil {
			t.Error("it was switched on twice")
		}
		rigtest.Check(t, m.Cut(t.Context()))
		if _, err := r.ReadByte(); err == nil {
			t.Error("it says something after its power was cut")
		}
		if st, err := os.Stat(m.Image()); err != nil || st.Size() != 1<<20 || m.Image() == image {
			t.Errorf("its disk after the cut: %v", err)
		}
	}
	if err := m.Cut(t.Context()); err == nil {
		t.Error("it was switched off twice")
	}
}

// TestMoment keeps a moment of a machine and goes back to it: the program goes on where it stood, and
// what was in its memory then can be read.
func TestMoment(t *testing.T) {
	m, _ := machine(t)
	if err := m.Keep(t.Context()); err == nil {
		t.Error("a moment of a machine that is off was kept")
	}
	rigtest.Check(t, m.WithTPM(t.Context(), func(path string) error {
		tpm, err := attest.Open(path)
		if err != nil {
			return err
		}
		return tpm.Close()
	}))
	w, err := m.On(t.Context())
	rigtest.Check(t, err)
	if l, err := bufio.NewReader(w.Console).ReadString('\n'); err != nil || l != "on\n" {
		t.Fatalf("it says %q, %v", l, err)
	}
	memory := filepath.Join(t.TempDir(), "seen")
	rigtest.Check(t, m.Memory(t.Context(), memory))
	if st, err := os.Stat(memory); err != nil || st.Size() != 64<<20 {
		t.Errorf("its memory: %v", err)
	}
	rigtest.Check(t, m.Keep(t.Context()))
	m.Unplug(true)
	for range 2 {
		w, err := m.Rewind(t.Context())
		rigtest.Check(t, err)
		if _, err := w.Console.Write([]byte("A")); err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if _, err := w.Console.Read(b[:]); err != nil || b[0] != 'B' {
			t.Fatalf("it answers %q, %v: it did not go on where it stood", b, err)
		}
		if _, err := m.Rewind(t.Context()); err == nil {
			t.Error("it went back while it was on")
		}
		rigtest.Check(t, m.Cut(t.Context()))
	}
}
