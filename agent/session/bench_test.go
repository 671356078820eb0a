package session

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"platen/agent/seam"
	"platen/agent/seam/link"
	"platen/hal/sim"
	"platen/slicer"
	"platen/slicer/vault"
	"platen/testdata/hostile"
)

// BenchmarkStart is the time from the start of a session's process to the first byte that
// it says to its controller: at most 50 ms. A real one is smaller than this test.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		master, path, err := sim.OpenPTY()
		if err != nil {
			b.Fatal(err)
		}
		conn, end, err := link.Pair()
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PLATEN_SESSION_TEST="+path)
		cmd.ExtraFiles = []*os.File{end}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		said := make([]byte, 1)
		for n := 0; n == 0; time.Sleep(100 * time.Microsecond) {
			n, err = master.Read(said)
			if err != nil && !errors.Is(err, unix.EIO) { // nobody has opened the other end yet
				b.Fatal(err)
			}
		}
		b.StopTimer()
		end.Close()
		conn.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		master.Close()
		b.StartTimer()
	}
}

// BenchmarkOpenLarge opens a model of 100 MB, in clear and sealed. What opening a sealed
// one costs more than reading it in clear is in "percent-more": at most 20 % of CPU time.
func BenchmarkOpenLarge(b *testing.B) {
	model := hostile.Large(100 << 20).Body
	var key fileKey
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, &key)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(model); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	v, err := vault.NewPageable(160 << 20)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	var clear, opened time.Duration
	for b.Loop() {
		clear += openOnce(b, v, model, &seam.Start{Size: uint64(len(model))})
		opened += openOnce(b, v, sealed.Bytes(), &seam.Start{Size: uint64(len(model)), Sealed: true, FileKey: key})
	}
	b.ReportMetric(float64(clear.Milliseconds())/float64(b.N), "clear-cpu-ms")
	b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "sealed-cpu-ms")
	b.ReportMetric(100*float64(opened-clear)/float64(clear), "percent-more")
}

// openOnce opens a model as a session does, and returns the CPU time that it took.
func openOnce(b *testing.B, v *vault.Vault, file []byte, st *seam.Start) time.Duration {
	b.Helper()
	before := used(b)
	r, err := plain(st, bytes.NewReader(file))
	if err != nil {
		b.Fatal(err)
	}
	mark := v.Mark()
	if _, err := slicer.Open(context.Background(), v, r, int64(st.Size), slicer.Detect, slicer.Default()); err != nil {
		b.Fatal(err)
	}
	took := used(b) - before
	v.Release(mark)
	return took
}

func used(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fileKey is a recipient that notes the key of a file.
type fileKey [16]byte

// Wrap notes it.
func (k *fileKey) Wrap(key []byte) ([]*age.Stanza, error) {
	copy(k[:], key)
	return []*age.Stanza{{Type: "noted"}}, nil
}
