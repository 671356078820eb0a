package driver_test

import (
	"bytes"
	"os"
	"runtime"
	"testing"
	"time"

	"platen/hal/driver"
	"platen/hal/marlin"
	"platen/hal/motion"
	"platen/hal/serial"
	"platen/hal/sim"
	"platen/hal/unit"
)

const ident = "FIRMWARE_NAME:Marlin 2.1 PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1\nCap:AUTOREPORT_TEMP:1\nok\n"

// respond answers every line at once and allocates nothing: one ok a line, a report
// for M105, a name for M115.
func respond(far *os.File) {
	buf := make([]byte, 4096)
	out := make([]byte, 0, 4096)
	var line []byte = make([]byte, 0, 256)
	for {
		n, err := far.Read(buf)
		if err != nil {
			return
		}
		out = out[:0]
		for _, c := range buf[:n] {
			if c != '\n' {
				line = append(line, c)
				continue
			}
			switch {
			case len(line) == 0:
			case bytes.Contains(line, []byte("M105")):
				out = append(out, "ok T:21.5 /0.0 B:21.5 /0.0 @:0 B@:0\n"...)
			case bytes.Contains(line, []byte("M115")):
				out = append(out, ident...)
			default:
				out = append(out, "ok\n"...)
			}
			line = line[:0]
		}
		if _, err := far.Write(out); err != nil {
			return
		}
	}
}

// instant opens a machine on a pty whose far end answers at once.
func instant(t testing.TB, opt driver.Options) *driver.Machine {
	t.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	port, err := serial.Open(serial.Config{Device: path, Baud: 250000})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); respond(far) }()
	t.Cleanup(func() { far.Close(); <-done })
	opt.Settle = 10 * time.Millisecond
	m, err := marlin.Open(t.Context(), port, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// moves is a program of n short moves.
func moves(n int) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for i := range n {
			op := motion.Op{
				Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, E: unit.Millimetre / 30, Feed: 150 * unit.MillimetrePerSecond,
				To: [3]unit.Length{unit.Length(i%200) * unit.Millimetre, unit.Length(i%190) * unit.Millimetre},
			}
			if !yield(op, nil) {
				return
			}
		}
	}
}

// TestNoAllocationPerLine sends lines through the whole driver and counts.
func TestNoAllocationPerLine(t *testing.T) {
	m := instant(t, driver.Options{})
	const lines = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	if err := m.Run(t.Context(), moves(lines)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > lines/50 {
		t.Errorf("%d allocations for %d lines", n, lines)
	}
	if s := m.State(); s.Lines < lines || s.Resends > 0 {
		t.Errorf("state %+v", s)
	}
	t.Logf("%d lines in %v, %v a line", lines, took.Round(time.Millisecond), took/lines)
}
