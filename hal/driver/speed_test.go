package driver_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"platen/cross/rig"
	"platen/cross/rig/rigtest"
	"platen/hal"
	"platen/hal/driver"
	"platen/hal/marlin"
	"platen/hal/serial"
	"platen/hal/sim"

	"golang.org/x/sys/unix"
)

// TestMain is the responder when its own test starts it as one.
func TestMain(m *testing.M) {
	if kind := os.Getenv("PLATEN_RESPONDER"); kind != "" {
		for kind == kindHog && os.Getppid() != 1 {
		}
		if kind == kindBoard {
			serveBoard(3, 4)
			return
		}
		if os.Getenv(farVar) != "" {
			rise()
		}
		respond(os.NewFile(3, "pty"), os.NewFile(4, "stops"), kind)
		return
	}
	os.Exit(m.Run())
}

const (
	ident   = "FIRMWARE_NAME:Marlin 2.1 PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1\nCap:AUTOREPORT_TEMP:1\nok\n"
	report  = "ok T:21.5 /0.0 B:21.5 /0.0 @:0 B@:0\n"
	refusal = "Error:No Line Number with checksum, Last Line: 0\n"
)

// Kinds of responders: how they take a checksum without a number, and backspaces.
const (
	kindOpen  = "refuses" // as Prusa and Ultimaker: lines may follow each other at once
	kindTail  = "edits"   // as Marlin 2: all but the line feed may go ahead
	kindPlain = "plain"   // as early Marlin 2: one line after the other
	kindStuck = "stuck"   // never answers a move
	kindHog   = "hog"     // no responder: takes processor time and nothing else
	kindBoard = "board"   // a simulated printer
)

// respond answers every line at once, and writes the time at which it has seen a stop.
// It allocates nothing once it runs.
func respond(far *os.File, stops io.Writer, kind string) {
	in, out, line := make([]byte, 8192), make([]byte, 0, 8192), make([]byte, 0, 256)
	for {
		n, err := far.Read(in)
		if err != nil {
			if awaitHost(far) {
				continue
			}
			return
		}
		out = out[:0]
		for _, c := range in[:n] {
			if c != '\n' {
				line = append(line, c)
				continue
			}
			var stop bool
			out, stop = answer(out, line, kind)
			if stop {
				var t [8]byte
				binary.LittleEndian.PutUint64(t[:], uint64(monotonic()))
				stops.Write(t[:]) // its reader reports what is missing
			}
			line = line[:0]
		}
		if _, err := far.Write(out); err != nil && !awaitHost(far) {
			return
		}
	}
}

// awaitHost waits for a host that opens the other end again.
func awaitHost(far *os.File) bool {
	time.Sleep(time.Millisecond)
	_, err := far.Stat()
	return err == nil && os.Getppid() != 1
}

func answer(out, line []byte, kind string) (_ []byte, stop bool) {
	cmd := line
	numbered := len(cmd) > 0 && cmd[0] == 'N'
	if numbered {
		for cmd = cmd[1:]; len(cmd) > 0 && (cmd[0] >= '0' && cmd[0] <= '9' || cmd[0] == ' '); {
			cmd = cmd[1:]
		}
	}
	if len(cmd) == 0 {
		return out, false
	}
	if cmd[0] != 'M' {
		if kind == kindStuck && cmd[0] == 'G' && cmd[1] == '1' {
			return out, false
		}
		return append(out, "ok\n"...), false
	}
	star := bytes.IndexByte(cmd, '*')
	switch {
	case bytes.HasPrefix(cmd, []byte("M112")):
		return append(out, "Error:Printer halted. kill() called!\n"...), true
	case !numbered && star > 0 && kind == kindOpen:
		return append(out, refusal...), false
	case bytes.HasPrefix(cmd, []byte("M1055\b")):
		if kind == kindPlain {
			return append(out, "ok\n"...), false
		}
		return append(out, report...), false
	case bytes.HasPrefix(cmd, []byte("M105")):
		return append(out, report...), false
	case bytes.HasPrefix(cmd, []byte("M115")):
		return append(out, ident...), false
	}
	return append(out, "ok\n"...), false
}

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// responder is a process at the far end of a pty.
type responder struct {
	path  string
	stops *bufio.Reader
}

func startResponder(t testing.TB, kind string) *responder {
	t.Helper()
	rigtest.Starts(t)
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "PLATEN_RESPONDER="+kind, "GOMAXPROCS=1")
	cmd.ExtraFiles = []*os.File{far, w}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	w.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
		r.Close()
	})
	return &responder{path, bufio.NewReader(r)}
}

// open opens a machine on the responder. What it says to the stops of the machine before
// may come late, so that it is taken for one that is halted.
func (r *responder) open(t testing.TB, pins driver.Pins) *driver.Machine {
	t.Helper()
	for try := 1; ; try++ {
		port, err := serial.Open(serial.Config{Device: r.path, Baud: 250000})
		if err != nil {
			t.Fatal(err)
		}
		m, err := marlin.Open(t.Context(), port, driver.Options{Settle: 2 * time.Millisecond, Pins: pins, Urgent: true})
		if err == nil {
			return m
		}
		if !errors.Is(err, hal.ErrHalted) || try == 10 {
			t.Fatal(err)
		}
	}
}

// stopped returns how long after begin the far end has seen a stop. Those before are of
// machines that were halted earlier, whose owners write the stop as well.
func (r *responder) stopped(t testing.TB, begin int64) time.Duration {
	t.Helper()
	for {
		var b [8]byte
		if _, err := io.ReadFull(r.stops, b[:]); err != nil {
			t.Fatal(err)
		}
		if at := int64(binary.LittleEndian.Uint64(b[:])); at > begin {
			return time.Duration(at - begin)
		}
	}
}

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
