package driver_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

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
	last := int64(0)
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
			if c == '\b' && kind == kindTail {
				line = line[:max(0, len(line)-1)]
				continue
			}
			if c != '\n' {
				line = append(line, c)
				continue
			}
			if n := number(line); n > questions {
				out = append(strconv.AppendInt(append(out, refused...), last+1, 10), "\nok\n"...)
				line = line[:0]
				continue
			} else if n >= 0 {
				last = n
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

// A host that has heard nothing for too long asks with a number that no line has.
const (
	questions = 1_000_000
	refused   = "Error:Line Number is not Last Line Number+1\nResend: "
)

// number is the number of a line, or -1.
func number(line []byte) (n int64) {
	if len(line) < 2 || line[0] != 'N' {
		return -1
	}
	for _, c := range line[1:] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
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
