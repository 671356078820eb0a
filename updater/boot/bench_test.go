package boot_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platen/updater/boot"
	"platen/updater/boot/rpi"
	"platen/updater/slot"
)

// benchImage is the root file system of the benchmark.
const benchImage = 256 << 20

// BenchmarkInstallRoot writes a root file system of 256 MiB from a local file: hashed on the
// way, made durable, read back. Beside it, dd with conv=fsync copies the same file; both
// begin with what the page cache holds of it.
func BenchmarkInstallRoot(b *testing.B) {
	dir := b.TempDir()
	src := filepath.Join(dir, "image")
	tool := exec.Command("dd", "if=/dev/urandom", "of="+src, "bs=1M", fmt.Sprintf("count=%d", benchImage>>20))
	if out, err := tool.CombinedOutput(); err != nil {
		b.Fatalf("dd: %v\n%s", err, out)
	}
	b.SetBytes(benchImage)
	var ours, dd time.Duration
	for b.Loop() {
		begun := time.Now()
		if out, err := exec.Command("dd", "if="+src, "of="+filepath.Join(dir, "dd"), "bs=1M", "conv=fsync").CombinedOutput(); err != nil {
			b.Fatalf("dd: %v\n%s", err, out)
		}
		dd += time.Since(begun)
		if err := os.Remove(filepath.Join(dir, "dd")); err != nil {
			b.Fatal(err)
		}
		begun = time.Now()
		installRoot(b, dir, src)
		ours += time.Since(begun)
	}
	b.ReportMetric(float64(ours)/float64(dd), "of-dd")
	b.ReportMetric(peakMiB(b), "MiB-peak")
}

func installRoot(b *testing.B, dir, src string) {
	b.Helper()
	state, err := os.MkdirTemp(dir, "state")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(state)
	d, err := slot.OpenDir(state)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	env, err := rpi.Open(rpi.Config{Partitions: [2]int{2, 3}, Open: func(m slot.Mode) (slot.File, error) { return d.Open("autoboot.txt", m) }})
	if err == nil {
		err = slot.Replace(d, "autoboot.txt", env.File(slot.A))
	}
	if err == nil {
		err = slot.Replace(d, "root-b", nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	root, err := boot.NewRoot(boot.RootConfig{Log: slot.NewLog(d), Env: env, Running: slot.A,
		Open: func(n slot.Name, m slot.Mode) (slot.File, error) { return d.Open("root-"+n.String(), m) }})
	if err != nil {
		b.Fatal(err)
	}
	in, err := os.Open(src)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	w, err := root.Open(slot.B)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.New() // as the download does
	if _, err := io.CopyBuffer(io.MultiWriter(w, sum), struct{ io.Reader }{in}, make([]byte, 32<<10)); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// peakMiB is the most memory that this process has had.
func peakMiB(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
