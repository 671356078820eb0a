package driver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"platen/cross/rig/rigtest"
	"platen/hal/driver"
	"platen/hal/marlin"
	"platen/hal/serial"
	"platen/hal/sim"

	"golang.org/x/sys/unix"
)

// rankVar names the class of a process that stands for a controller; without it the
// process has not asked yet.
const rankVar = "PLATEN_RANK"

const farVar = "PLATEN_FAR" // a responder stands for other hardware as well

const speedVar = "PLATEN_BOARD_SPEED" // sim.Config.Speed

// rise gives this process, which stands for hardware of its own, a class that no load of
// the host reaches, as far as the system lets it, and begins anew so that all of its
// threads have it.
func rise() string {
	if rank := os.Getenv(rankVar); rank != "" {
		return rank
	}
	runtime.LockOSThread()
	rank := "SCHED_FIFO"
	if unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, 0) != nil {
		rank = "nice -10"
		if unix.Setpriority(unix.PRIO_PROCESS, 0, -10) != nil {
			rank = "no class of its own"
		}
	}
	exe, err := os.Executable()
	if err == nil {
		err = unix.Exec(exe, os.Args, append(os.Environ(), rankVar+"="+rank))
	}
	return "none: " + err.Error()
}

// boardReport is what the process of a board says when it is asked to end.
type boardReport struct {
	Rank  string
	Stats sim.Stats
}

// serveBoard is a simulated board in a process of its own, until it is interrupted.
func serveBoard(pty, report int) {
	rank := rise()
	if unix.SetNonblock(pty, true) != nil { // so that it is polled
		return
	}
	far, out := os.NewFile(uintptr(pty), "pty"), os.NewFile(uintptr(report), "report")
	cfg := board(0, sim.Faults{})
	var err error
	if cfg.Speed, err = strconv.Atoi(os.Getenv(speedVar)); err != nil {
		return
	}
	p, err := sim.New(cfg)
	if err != nil {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	still := wire(ctx)
	p.Serve(ctx, far) // until it is interrupted
	still()
	json.NewEncoder(out).Encode(boardReport{rank, p.Stats()}) // its reader reports what is missing
}

// wire gives the kernel's workers, which carry bytes from one end of a pseudo terminal to
// the other, the class of the board until ctx ends, where the system allows that: they
// stand for a wire, which no load of the host delays. There may be others at any time.
func wire(ctx context.Context) (wait func()) {
	raised := map[int]*unix.SchedAttr{}
	raise := func() {
		names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is sound
		for _, name := range names {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name))) // a number, by the pattern
			if comm, err := os.ReadFile(name); err != nil || raised[pid] != nil || !strings.HasPrefix(string(comm), "kworker/u") {
				continue
			}
			was, err := unix.SchedGetAttr(pid, 0)
			if err == nil && was.Policy == unix.SCHED_NORMAL &&
				unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, 0) == nil {
				raised[pid] = was
			}
		}
	}
	var wg sync.WaitGroup
	if os.Getenv("PLATEN_BENCH") != "" { // else nothing is measured
		wg.Go(func() {
			for tick := time.NewTicker(2 * time.Second); ; {
				raise()
				select {
				case <-tick.C:
				case <-ctx.Done():
					for pid, was := range raised {
						unix.SchedSetAttr(pid, was, 0) // it may have ended
					}
					return
				}
			}
		})
	}
	return wg.Wait
}

// boardProcess starts a simulated board; end has it say what it has seen.
func boardProcess(t *testing.T, speed int) (path string, end func() boardReport) {
	t.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := again(t, kindBoard)
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", speedVar, speed))
	cmd.ExtraFiles = []*os.File{far, w}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	w.Close()
	var once sync.Once
	stop := func() (rep boardReport) {
		once.Do(func() {
			cmd.Process.Signal(os.Interrupt)
			if err := json.NewDecoder(r).Decode(&rep); err != nil {
				t.Errorf("the board did not report: %v", err)
			}
			cmd.Wait()
			r.Close()
		})
		return rep
	}
	t.Cleanup(func() { stop() })
	return path, stop
}

// again is this test binary as something else.
func again(t *testing.T, kind string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "PLATEN_RESPONDER="+kind)
	return cmd
}

// hogs starts processes that do nothing but take time.
func hogs(t *testing.T, n int) (stop func()) {
	t.Helper()
	var all []*exec.Cmd
	for range n {
		cmd := again(t, kindHog)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	return func() {
		for _, cmd := range all {
			cmd.Process.Kill()
			cmd.Wait() // it was killed
		}
	}
}

// burn keeps n threads of this process busy, as a slicer does, with two of Go's
// processors more than there are cores, as a session has them, or with as many.
func burn(n int, spare bool) (stop func()) {
	procs := runtime.NumCPU()
	if spare {
		procs += 2
	}
	before := runtime.GOMAXPROCS(procs)
	var over atomic.Bool
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for !over.Load() {
			}
		})
	}
	return func() {
		over.Store(true)
		wg.Wait()
		runtime.GOMAXPROCS(before)
	}
}

// TestNeverStarvesLoaded prints in real time, through a pty, while both cores are busy:
// with other processes, or with the slicer of this one. The board is a process in a class
// of its own where the system allows that, as are the workers that carry its bytes, since
// they stand for other hardware. It takes minutes with PLATEN_BENCH set, and that long for other processes alone
// if it is a duration; else time is simulated, and moves are counted.
func TestNeverStarvesLoaded(t *testing.T) {
	rigtest.Starts(t)
	cores := runtime.NumCPU()
	cases := []struct {
		name   string
		hogs   int
		burn   int
		spare  bool
		urgent bool
	}{
		{"nothing beside it", 0, 0, false, true},
		{"other processes, owner as the rest", cores, 0, false, false},
		{"other processes", cores, 0, false, true},
		{"own threads, no spare processor", 0, cores, false, true},
		{"own threads", 0, cores, true, true},
	}
	d, speed := 20*time.Second, 1
	if os.Getenv("PLATEN_BENCH") == "" {
		d, speed, cases = time.Second, sim.Fastest, cases[2:3]
	} else if long, err := time.ParseDuration(os.Getenv("PLATEN_BENCH")); err == nil {
		d, cases = long, cases[2:3]
	}
	for _, c := range cases {
		path, end := boardProcess(t, speed)
		port, err := serial.Open(serial.Config{Device: path, Baud: 250000})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := port.Write([]byte("M201 X20000 Y20000 E20000\n")); err != nil {
			t.Fatal(err)
		}
		m, err := marlin.Open(t.Context(), port, driver.Options{Urgent: c.urgent})
		if err != nil {
			t.Fatal(err)
		}
		quiet, cool := hogs(t, c.hogs), burn(c.burn, c.spare)
		cpu := usage()
		err = m.Run(t.Context(), fine(d, 0.2))
		cpu = usage() - cpu
		quiet()
		cool()
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		rep := end()
		t.Logf("%v in real time, busy: %-36s planner dry %3d times in %d moves, %d lines again, %v CPU; board is %s",
			d, c.name, rep.Stats.Starved, rep.Stats.Moves, rep.Stats.Resends, cpu.Round(time.Millisecond), rep.Rank)
		if want := uint64(d.Seconds() * 750); rep.Stats.Moves != want {
			t.Errorf("%s: the board drove %d moves, %d were asked for", c.name, rep.Stats.Moves, want)
		}
	}
}
