package confine

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"platen/cross/rig/rigtest"
)

// TestMain lets the test binary stand in for a process to be confined.
func TestMain(m *testing.M) {
	switch os.Getenv("PLATEN_CONFINE_TEST") {
	case "session":
		child(Session)
	case "agent":
		child(Agent)
	case "free":
		child(func() (Measure, error) { return 0, nil })
	}
	os.Exit(m.Run())
}

// report is what a child prints: the outcome of each attempt, "" for success.
type report struct {
	Held     Measure
	Err      string
	Attempts map[string]string
	Status   string
	Worked   bool
	Dumpable int
	Threads  [2]int // GOMAXPROCS before, and once the runtime had time to look again
}

func child(confine func() (Measure, error)) {
	pre, _ := os.Open("/proc/self/status")
	a, b, _ := socketpair()
	var r report
	r.Threads[0] = runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(r.Threads[0]) // as a session: the runtime does not ask again then
	held, err := confine()
	r.Held = held
	if err != nil {
		r.Err = err.Error()
	}
	r.Attempts = map[string]string{
		"open":   try(func() error { f, err := os.Open("/proc/self/cmdline"); closeIf(f); return err }),
		"create": try(func() error { return os.WriteFile(os.TempDir()+"/platen-confine-test", nil, 0o600) }),
		"socket": try(func() error { fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); unix.Close(fd); return err }),
		"unix":   try(func() error { fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); unix.Close(fd); return err }),
		"listen": try(func() error { l, err := net.Listen("tcp", "127.0.0.1:0"); closeIf(l); return err }),
		"exec":   try(func() error { return exec.Command("/bin/true").Run() }),
		"memfd":  try(func() error { fd, err := unix.MemfdCreate("x", 0); unix.Close(fd); return err }),
		"signal": try(func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) }),
		"own":    try(func() error { _, err := unix.FcntlInt(uintptr(a), unix.F_SETOWN, os.Getpid()); return err }),
		"execute": try(func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
			return err
		}),
		"hoard": try(func() error {
			b, err := unix.Mmap(-1, 0, 2*margin, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
			if err == nil {
				unix.Munmap(b)
			}
			return err
		}),
		"ask":     try(func() error { _, err := unix.IoctlGetInt(a, unix.TIOCINQ); return err }),
		"process": try(func() error { return unix.Kill(os.Getppid(), 0) }),
		"mount":   try(mount),
	}
	r.Worked = work(a, b)
	r.Dumpable, _ = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	time.Sleep(2500 * time.Millisecond) // the runtime looks at its processors every second
	r.Threads[1] = runtime.GOMAXPROCS(0)
	buf := make([]byte, 4096)
	if pre != nil {
		n, _ := pre.ReadAt(buf, 0)
		r.Status = string(buf[:n])
	}
	json.NewEncoder(os.Stdout).Encode(r)
	os.Exit(0)
}

// mount asks for what fails for everybody, as there is nothing to mount upon: it is nil if the
// kernel got so far as to see that.
func mount() error {
	err := unix.Mount("none", "/there is nothing here", "tmpfs", 0, "")
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func try(f func() error) string {
	if err := f(); err != nil {
		return err.Error()
	}
	return ""
}

func closeIf(c interface{ Close() error }) {
	if c != nil {
		c.Close()
	}
}

func socketpair() (int, int, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	return p[0], p[1], err
}

// work does what a session does all day: threads, timers, garbage, an open socket.
func work(a, b int) bool {
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			runtime.LockOSThread() // forces threads
			x := make([][]byte, 0, 64)
			for range 64 {
				x = append(x, make([]byte, 64<<10))
			}
			runtime.GC()
			time.Sleep(time.Millisecond)
			runtime.KeepAlive(x)
		})
	}
	wg.Wait()
	if err := unix.Sendmsg(a, []byte("ping"), nil, nil, 0); err != nil {
		return false
	}
	buf := make([]byte, 16)
	n, _, _, _, err := unix.Recvmsg(b, buf, nil, 0)
	return err == nil && string(buf[:n]) == "ping"
}

func runChild(t *testing.T, mode string) report {
	t.Helper()
	if rigtest.Emulated() {
		t.Skip("user-mode emulation has no seccomp")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PLATEN_CONFINE_TEST="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("child said %q: %v", out, err)
	}
	return r
}

func TestSessionIsConfined(t *testing.T) {
	free := runChild(t, "free")
	for name, err := range free.Attempts {
		if err != "" && name != "mount" { // which finds nothing to mount; its control is in TestAgentCannotListen
			t.Errorf("control: %s fails in a free process already: %s", name, err)
		}
	}
	if free.Dumpable != 1 {
		t.Errorf("control: a free process is dumpable: %d", free.Dumpable)
	}
	r := runChild(t, "session")
	if r.Dumpable != 0 {
		t.Error("a confined session is dumpable")
	}
	if r.Threads[0] != r.Threads[1] {
		t.Errorf("the runtime uses %d processors before and %d after", r.Threads[0], r.Threads[1])
	}
	if r.Err != "" {
		t.Fatalf("confining failed: %s", r.Err)
	}
	if want := Required &^ MemoryLocked; !r.Held.Has(want) {
		t.Errorf("held %q, want at least %q", r.Held, want)
	}
	for name, err := range r.Attempts {
		if err == "" {
			t.Errorf("a confined session can still %s", name)
		}
	}
	if !r.Held.Has(Bounded) || !strings.Contains(r.Attempts["hoard"], "cannot allocate memory") {
		t.Errorf("memory is without bound: %q", r.Attempts["hoard"])
	}
	if got, want := r.Held.Has(AllLocked), mayLockAll(t); got != want {
		t.Errorf("all memory locked: %t, want %t", got, want)
	}
	if !r.Worked {
		t.Error("a confined session cannot do its work")
	}
	for _, line := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
		if !strings.Contains(r.Status, line) {
			t.Errorf("/proc/self/status lacks %q", line)
		}
	}
}

// mayLockAll reports whether this process can lock memory without bound.
func mayLockAll(t *testing.T) bool {
	t.Helper()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	return lim.Max == unix.RLIM_INFINITY || capable(string(status), unix.CAP_SYS_RESOURCE)
}

func TestAgentCannotListen(t *testing.T) {
	r := runChild(t, "agent")
	if r.Err != "" {
		t.Fatalf("confining failed: %s", r.Err)
	}
	if r.Dumpable != 0 {
		t.Error("a confined agent is dumpable")
	}
	if !strings.Contains(r.Attempts["listen"], "operation not permitted") {
		t.Errorf("a confined agent listens: %q", r.Attempts["listen"])
	}
	if !strings.Contains(r.Attempts["mount"], "operation not permitted") {
		t.Errorf("a confined agent mounts: %q", r.Attempts["mount"])
	}
	if err := mount(); err != nil {
		t.Errorf("control: mounting where nothing is: %v", err)
	}
	for _, name := range []string{"open", "socket", "exec"} {
		if r.Attempts[name] != "" {
			t.Errorf("a confined agent cannot %s: %s", name, r.Attempts[name])
		}
	}
}

func TestSystemFindings(t *testing.T) {
	good := fstest.MapFS{
		"swaps":                            {Data: []byte("Filename\tType\n/dev/zram0 partition 1 0 5\n")},
		"sys/kernel/core_pattern":          {Data: []byte("core\n")},
		"self/status":                      {Data: []byte("CapEff:\t0000000000004000\n")},
		"sys/kernel/seccomp/actions_avail": {Data: []byte("kill_process errno allow\n")},
	}
	for _, f := range System(good, 1<<40) {
		if f.Level != OK {
			t.Errorf("%s: %v %s", f.Name, f.Level, f.What)
		}
	}
	bad := fstest.MapFS{
		"swaps":                   {Data: []byte("Filename\tType\n/dev/sda2 partition 1 0 5\n")},
		"sys/kernel/core_pattern": {Data: []byte("|/usr/lib/systemd/systemd-coredump\n")},
		"self/status":             {Data: []byte("CapEff:\t0000000000000000\n")},
	}
	want := map[string]Level{"swap": Fail, "core_pattern": Warn, "memlock": Fail, "seccomp": Fail}
	found := System(bad, 1<<62)
	for _, f := range found {
		if f.Level != want[f.Name] {
			t.Errorf("%s: %v, want %v", f.Name, f.Level, want[f.Name])
		}
		if f.Level != OK && f.Remedy == "" {
			t.Errorf("%s has no remedy", f.Name)
		}
	}
	// Each of what fails keeps jobs away by itself, and swap only where that is not allowed.
	for name, proc := range map[string]fstest.MapFS{
		"swap":    {"swaps": bad["swaps"], "sys/kernel/seccomp/actions_avail": good["sys/kernel/seccomp/actions_avail"]},
		"seccomp": {"swaps": good["swaps"]},
		"neither": good,
	} {
		for _, swapped := range []bool{false, true} {
			err := Fit(proc, 0, swapped)
			if want := name == "seccomp" || name == "swap" && !swapped; errors.Is(err, ErrUnfit) != want {
				t.Errorf("%s, swap allowed %t: %v", name, swapped, err)
			}
		}
	}
	if err := Fit(good, 0, false); err != nil {
		t.Errorf("control: %v", err)
	}
}
