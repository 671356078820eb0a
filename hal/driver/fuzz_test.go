package driver_test

import (
	"bytes"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/marlin"
	"platen/hal/motion"
)

// FuzzController lets a controller that is opened and at work say anything at all, in
// pieces with pauses between them. Nothing panics, what runs ends, and what ends badly
// leaves the machine halted or lost.
func FuzzController(f *testing.F) {
	for _, s := range []string{
		"ok\nok\nok\n", "start\n", "Resend: 2\nok\nResend: 2\nok\nResend: 2\nok\n", "Error:checksum mismatch, Last Line: 4\nResend: 5\nok\n",
		"Error:Printer halted. kill() called!\n", "echo:busy: processing\n\x00\xff\xfe", "ok N5 P15 B3\nok N99999999\nok N-1\n",
		"//action:pause\n//action:cancel\n", "wait\nwait\nwait\n", "T:9999 /0\nok T:21 /0 B:\n", "rs 7\nResend:7\nResend: N7:7\n", "ok T:21.5 /0.0\n\nok",
	} {
		f.Add([]byte(s), uint8(3), true)
		f.Add([]byte(s), uint8(40), false)
	}
	f.Fuzz(func(t *testing.T, says []byte, piece uint8, refuses bool) {
		if len(says) > 4096 {
			return
		}
		synctest.Test(t, func(t *testing.T) { hostile(t, says, max(1, int(piece)), refuses) })
	})
}

func hostile(t *testing.T, says []byte, piece int, refuses bool) {
	host, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		kind := kindTail
		if refuses {
			kind = kindOpen
		}
		madController(far, says, piece, kind)
	}()
	defer func() { far.Close(); <-done }()
	m, err := marlin.Open(t.Context(), host, driver.Options{})
	if err != nil {
		return
	}
	begin := time.Now()
	prog := func(yield func(motion.Op, error) bool) {
		for op := range moves(30) {
			if !yield(op, nil) {
				return
			}
		}
	}
	err = m.Run(t.Context(), prog)
	s := m.State()
	if (err != nil) != (s.Phase == hal.PhaseHalted || s.Phase == hal.PhaseLost) {
		t.Errorf("Run: %v, and the machine is %v", err, s.Phase)
	}
	if d := time.Since(begin); d > time.Hour {
		t.Errorf("Run took %v", d)
	}
	m.Close() // may say that switching off was not confirmed
}

// madController answers as it should until the first move, then says what it was given, a
// piece for each line, and after that answers again.
func madController(far net.Conn, says []byte, piece int, kind string) {
	buf, line, mad := make([]byte, 4096), []byte(nil), false
	for {
		n, err := far.Read(buf)
		if err != nil {
			return
		}
		var out []byte
		for _, c := range buf[:n] {
			if c != '\n' {
				line = append(line, c)
				continue
			}
			mad = mad || bytes.Contains(line, []byte("G1"))
			if mad && len(says) > 0 {
				k := min(piece, len(says))
				out, says = append(out, says[:k]...), says[k:]
			} else {
				out, _ = answer(out, line, kind)
			}
			line = line[:0]
		}
		time.Sleep(3 * time.Millisecond)
		if len(out) > 0 {
			if _, err := far.Write(out); err != nil {
				return
			}
		}
	}
}
