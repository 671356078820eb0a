package marlin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// script is a controller that answers each command by a function of it, in no time.
type script struct {
	far    net.Conn
	mute   atomic.Bool
	stops  atomic.Int32
	bare   chan string // commands without a number
	answer func(cmd string) string
}

const ident = "FIRMWARE_NAME:Marlin 2.1 PROTOCOL_VERSION:1.0 EXTRUDER_COUNT:1\nCap:AUTOREPORT_TEMP:1\nok\n"

// play starts a script at the far end of a pipe and returns the near end. extra may
// answer what it wants to answer otherwise.
func play(t *testing.T, extra func(cmd string) (string, bool)) (*script, net.Conn) {
	host, far := net.Pipe()
	s := &script{far: far, bare: make(chan string, 100)}
	s.answer = func(cmd string) string {
		if extra != nil {
			if text, ok := extra(cmd); ok {
				return text
			}
		}
		switch {
		case cmd == "M115":
			return ident
		case cmd == "M105":
			return "ok T:21.5 /0.0 B:21.5 /0.0 @:0 B@:0\n"
		}
		return "ok\n"
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewScanner(far)
		for in.Scan() {
			s.take(in.Text())
		}
	}()
	t.Cleanup(func() { far.Close(); <-done })
	return s, host
}

func (s *script) take(text string) {
	cmd := text
	if strings.HasPrefix(text, "N") {
		cmd = strings.TrimLeft(strings.TrimLeft(text[1:], "0123456789"), " ")
		cmd, _, _ = strings.Cut(cmd, "*")
	} else if text != "" {
		select {
		case s.bare <- text:
		default:
		}
	}
	if cmd == "M112" {
		s.stops.Add(1)
	}
	if cmd == "" || s.mute.Load() {
		return
	}
	s.far.Write([]byte(s.answer(cmd)))
}

func TestOpenFails(t *testing.T) {
	says := func(text string) func(string) (string, bool) {
		return func(cmd string) (string, bool) { return text, cmd == "M115" }
	}
	for name, c := range map[string]struct {
		extra func(string) (string, bool)
		want  string
	}{
		"silence":        {func(string) (string, bool) { return "", true }, "no answer"},
		"wrong rate":     {func(string) (string, bool) { return "\x8f\xf0\x03\n\xfe\n", true }, "baud rate"},
		"other dialect":  {says("FIRMWARE_NAME:Repetier_1.0.4 PROTOCOL_VERSION:1.0\nok\n"), "is not Marlin"},
		"stopped before": {says("Error:Printer halted. kill() called!\n"), "fault controller"},
		"never follows":  {func(cmd string) (string, bool) { return "ok\n", cmd != "M115" }, "halted by fault"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, host := play(t, c.extra)
				begin := time.Now()
				m, err := Open(t.Context(), host, Options{})
				if err == nil {
					m.Close()
					t.Fatal("opened")
				}
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if d := time.Since(begin); d > 2*time.Minute {
					t.Errorf("it took %v", d)
				}
				if _, err := host.Write([]byte("x")); err == nil {
					t.Error("the port was left open")
				}
			})
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, host := play(t, func(string) (string, bool) { return "", true })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := Open(ctx, host, Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestOpenWaitsForTheBoot lets a controller sleep through the first question and
// then talk at length, as boards do that are reset by opening the port.
func TestOpenWaitsForTheBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, host := play(t, nil)
		s.mute.Store(true)
		go func() {
			time.Sleep(3 * time.Second)
			for _, line := range []string{"start", "echo: 3.14.0", " External Reset", "adc_init", "echo:SD init fail"} {
				fmt.Fprintln(s.far, line)
				time.Sleep(200 * time.Millisecond)
			}
			s.mute.Store(false)
		}()
		m, err := Open(t.Context(), host, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	})
}

// TestOpenAsksTheTalkative opens a controller that never falls silent.
func TestOpenAsksTheTalkative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, host := play(t, nil)
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
					s.far.Write([]byte(" T:21.0 /0.0 B:21.0 /0.0 @:0 B@:0\n"))
				}
			}
		}()
		defer close(stop)
		m, err := Open(t.Context(), host, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	})
}

// TestSilentController falls silent in the middle of a program.
func TestSilentController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, host := play(t, nil)
		m, err := Open(t.Context(), host, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		s.mute.Store(true)
		begin := time.Now()
		err = m.Run(t.Context(), ops(motion.Op{Kind: motion.Home}))
		if f, ok := errors.AsType[*hal.FaultError](err); !ok || f.Fault != hal.FaultTimeout {
			t.Fatalf("got %v", err)
		}
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("noticed after %v", d)
		}
		if p := m.State().Phase; p != hal.PhaseLost {
			t.Errorf("phase %v", p)
		}
		time.Sleep(10 * time.Second)
		if n := s.stops.Load(); n < 3 || n > 11 {
			t.Errorf("%d stops were sent to a controller that does not confirm", n)
		}
	})
}

// TestGarbageIsNotLife has the controller send nothing but noise in the middle of a
// program.
func TestGarbageIsNotLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var noise atomic.Bool
		s, host := play(t, nil)
		m, err := Open(t.Context(), host, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		s.mute.Store(true)
		noise.Store(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for noise.Load() {
				s.far.Write([]byte("\xf0\x8e\n\x03"))
				time.Sleep(100 * time.Millisecond)
			}
		}()
		begin := time.Now()
		err = m.Run(t.Context(), ops(motion.Op{Kind: motion.Home}))
		if !errors.Is(err, hal.ErrHalted) || time.Since(begin) > 10*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if m.State().LinkError == 0 {
			t.Error("the noise was not counted")
		}
		noise.Store(false)
		<-done
	})
}

// resettable is a port with a DTR line.
type resettable struct {
	net.Conn
	pulses atomic.Int32
	wake   func()
}

func (r *resettable) Reset() error {
	r.pulses.Add(1)
	r.wake()
	return nil
}

// TestOpenRevives opens a controller that was stopped for good: it hears nothing
// until it is reset. One that talks is not.
func TestOpenRevives(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s, host := play(t, nil)
			s.mute.Store(stopped)
			port := &resettable{Conn: host, wake: func() { s.mute.Store(false) }}
			m, err := Open(t.Context(), port, Options{})
			if err != nil {
				t.Fatal(err)
			}
			m.Close()
			if got := port.pulses.Load() > 0; got != stopped {
				t.Errorf("stopped %v: reset %v", stopped, got)
			}
		})
	}
}

// TestResetSwitchesOffBare wants the heaters of a controller that has restarted
// switched off, and no M112, which would keep it from being opened again.
func TestResetSwitchesOffBare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, host := play(t, func(cmd string) (string, bool) { return "start\n", cmd == "G28" })
		m, err := Open(t.Context(), host, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for len(s.bare) > 0 {
			<-s.bare
		}
		err = m.Run(t.Context(), ops(motion.Op{Kind: motion.Home}))
		if f, ok := errors.AsType[*hal.FaultError](err); !ok || f.Fault != hal.FaultReset {
			t.Fatalf("got %v", err)
		}
		time.Sleep(time.Second)
		got := map[string]bool{}
		for len(s.bare) > 0 {
			got[<-s.bare] = true
		}
		if !got["M104 S0"] || !got["M140 S0"] || s.stops.Load() != 0 {
			t.Errorf("sent %v and %d stops", got, s.stops.Load())
		}
	})
}

// TestStuckPort halts a machine whose port takes nothing.
func TestStuckPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, host := play(t, nil)
		p := &stuckPort{Conn: host, stuck: make(chan struct{})}
		m, err := Open(t.Context(), p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p.on.Store(true)
		go m.SetHeater(t.Context(), motion.Bed, 0)
		time.Sleep(time.Second)
		begin := time.Now()
		if err := m.Halt("test"); !errors.Is(err, hal.ErrDisconnected) {
			t.Errorf("Halt: %v", err)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("Halt took %v", d)
		}
		m.Close()
	})
}

type stuckPort struct {
	net.Conn
	on    atomic.Bool
	stuck chan struct{}
}

func (p *stuckPort) Write(b []byte) (int, error) {
	if p.on.Load() {
		<-p.stuck
		return 0, net.ErrClosed
	}
	return p.Conn.Write(b)
}

func (p *stuckPort) Close() error {
	close(p.stuck)
	return p.Conn.Close()
}

// TestLogTellsNothing runs a program with odd numbers into a fault and searches the
// log and the error for them.
func TestLogTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		_, host := play(t, func(cmd string) (string, bool) {
			if strings.HasPrefix(cmd, "G1") {
				return "echo:Unknown command: \"" + cmd + "\"\nError:Heating failed, system stopped! Heater_ID: E0\n", true
			}
			return "", false
		})
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		m, err := Open(t.Context(), host, Options{Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		err = m.Run(t.Context(), ops(motion.Op{Kind: motion.Move, Axes: motion.X, To: [3]unit.Length{123456789 * unit.Length(1) / 8}, Feed: 98765}))
		if f, ok := errors.AsType[*hal.FaultError](err); !ok || f.Fault != hal.FaultThermal {
			t.Fatalf("got %v", err)
		}
		m.Close()
		text := out.String() + err.Error()
		if !strings.Contains(text, "thermal") {
			t.Error("the log does not name the fault: the test proves nothing")
		}
		for _, odd := range []string{"235.", "5926", "98765", "G1"} {
			if strings.Contains(text, odd) {
				t.Errorf("%q tells %s", text, odd)
			}
		}
	})
}
