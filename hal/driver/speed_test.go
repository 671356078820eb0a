package driver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"platen/cross/rig"
	"platen/hal/driver"
	"platen/hal/serial"

	"golang.org/x/sys/unix"
)

// usage is the processor time that this process has taken.
func usage() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cost is what a host took for lines.
type cost struct {
	name  string
	lines int
	cpu   time.Duration
	wall  time.Duration
}

func (c cost) perLine() time.Duration { return c.cpu / time.Duration(c.lines) }
func (c cost) rate() float64          { return float64(c.lines) / c.wall.Seconds() }

// ours measures our driver against a responder of a kind.
func ours(t *testing.T, name, kind string, pins driver.Pins, lines int) cost {
	t.Helper()
	m := startResponder(t, kind).open(t, pins)
	defer m.Close()
	if err := m.Run(t.Context(), moves(1000)); err != nil {
		t.Fatal(err)
	}
	cpu, begin := usage(), time.Now()
	if err := m.Run(t.Context(), moves(lines)); err != nil {
		t.Fatal(err)
	}
	return cost{name, lines, usage() - cpu, time.Since(begin)}
}

// printcore measures printrun's host: what many lines take more than few.
func printcore(t *testing.T, lines int) (cost, bool) {
	t.Helper()
	once := func(n int) (cpu, wall time.Duration, err error) {
		r := startResponder(t, kindPlain)
		file := filepath.Join(t.TempDir(), "moves.gcode")
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "G1 X%d.%03d Y%d.%03d E%d.%04d F9000\n", i%200, i%1000, i%190, i*7%1000, i/30, i%10000)
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			return 0, 0, err
		}
		cmd, err := rig.Printcore(t.Context(), "-b", "250000", r.path, file)
		if err != nil {
			return 0, 0, err
		}
		begin := time.Now()
		if err := cmd.Run(); err != nil {
			return 0, 0, err
		}
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), time.Since(begin), nil
	}
	const few = 500
	cpu0, wall0, err := once(few)
	if err != nil {
		t.Logf("printcore is not here: %v", err)
		return cost{}, false
	}
	cpu1, wall1, err := once(few + lines)
	if err != nil {
		t.Fatal(err)
	}
	return cost{"printcore (printrun)", lines, cpu1 - cpu0, wall1 - wall0}, true
}

// floor measures the least that a line can cost a host with one line in flight: a write
// that does not block and a read that does, of a line that is always the same, and
// nothing else.
func floor(t *testing.T, lines int) cost {
	t.Helper()
	r := startResponder(t, kindOpen)
	port, err := serial.Open(serial.Config{Device: r.path, Baud: 250000}) // sets up the line
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	fd, err := unix.Open(r.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	line, answer := []byte("N123G1X123.456Y100.123E12.1234*50\n"), make([]byte, 64)
	cpu, begin := usage(), time.Now()
	for range lines {
		if _, err := unix.Write(fd, line); err != nil {
			t.Fatal(err)
		}
		for n := 0; n == 0 || answer[n-1] != '\n'; {
			if n, err = unix.Read(fd, answer); err != nil && err != unix.EINTR || n == 0 && err == nil {
				t.Fatal(err)
			}
			n = max(n, 0)
		}
	}
	return cost{"floor: write, read alone", lines, usage() - cpu, time.Since(begin)}
}

// TestSpeed prints what a line costs, and what printcore takes for it on the same kind
// of pty. With PLATEN_BENCH set (cross/bench.sh) it takes its time: all of them several
// times in turn, of which the best counts, since what else the machine does makes either
// up to twice as dear.
func TestSpeed(t *testing.T) {
	bench := os.Getenv("PLATEN_BENCH") != ""
	lines, rounds := 1000, 1
	if bench {
		lines, rounds = 50_000, 5
	}
	var best []cost
	for range rounds {
		costs := []cost{
			ours(t, "ours, native USB", kindTail, driver.Pins{USB: true}, lines),
			ours(t, "ours, Marlin 1 and Prusa", kindOpen, driver.Pins{}, lines),
			ours(t, "ours, Marlin 2 on a UART", kindTail, driver.Pins{}, lines),
			ours(t, "ours, early Marlin 2", kindPlain, driver.Pins{}, lines),
			floor(t, lines),
		}
		if bench {
			if c, ok := printcore(t, 10_000); ok {
				costs = append(costs, c)
			}
		}
		best = better(best, costs)
	}
	theirs := best[len(best)-1]
	for _, c := range best {
		extra := ""
		if len(best) == 6 && c.name != theirs.name {
			extra = fmt.Sprintf("  %5.1f x less CPU (20 wanted) %6.1f x the lines (10 wanted)", float64(theirs.perLine())/float64(c.perLine()), c.rate()/theirs.rate())
		}
		t.Logf("%-26s %9v CPU a line %9.0f lines/s%s", c.name, c.perLine(), c.rate(), extra)
	}
}

// better is the least processor time and the least time of each.
func better(best, costs []cost) []cost {
	if best == nil {
		return costs
	}
	for i, c := range costs {
		best[i].cpu, best[i].wall = min(best[i].cpu, c.cpu), min(best[i].wall, c.wall)
	}
	return best
}
