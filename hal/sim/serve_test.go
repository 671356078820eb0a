package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// host is the other end of a printer's line.
type host struct {
	t    testing.TB
	w    io.Writer
	in   *bufio.Reader
	line int
}

// serve runs a printer on rw for the length of the test.
func serve(t testing.TB, cfg Config, rw io.ReadWriter) *Printer {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, rw) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Serve did not return")
		}
	})
	return p
}

func (h *host) send(s string) {
	h.t.Helper()
	if _, err := io.WriteString(h.w, s+"\n"); err != nil {
		h.t.Fatal(err)
	}
}

// until reads lines up to the first that begins with prefix.
func (h *host) until(prefix string) string {
	h.t.Helper()
	for {
		s, err := h.in.ReadString('\n')
		if err != nil {
			h.t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if strings.HasPrefix(s, prefix) {
			return s
		}
	}
}

// do sends a numbered line and waits for its ok.
func (h *host) do(text string) {
	h.t.Helper()
	h.line++
	h.send(strings.TrimSuffix(numbered(h.line, text), "\n"))
	h.until("ok")
}

func pipe(t testing.TB, cfg Config) (*Printer, *host) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close() })
	p := serve(t, cfg, b)
	h := &host{t: t, w: a, in: bufio.NewReader(a)}
	h.until("echo:Hardcoded")
	return p, h
}

func openPTY(t testing.TB, cfg Config) (*Printer, string) {
	t.Helper()
	master, slave, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	return serve(t, cfg, master), slave
}

func dialPTY(t testing.TB, path string) (*os.File, *host) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, &host{t: t, w: f, in: bufio.NewReader(f)}
}

// TestPTYReopen checks that a printer outlives its hosts, and restarts with each one
// if it is built that way.
func TestPTYReopen(t *testing.T) {
	p, path := openPTY(t, Config{Speed: Fastest, ResetOnOpen: true})
	for i := range 3 {
		f, h := dialPTY(t, path)
		h.until("start")
		h.until("echo:Hardcoded")
		h.line = -1
		h.do("M110 N0")
		h.do("M302 P1")
		h.do(fmt.Sprintf("G1 X%d F6000", 10+i))
		h.do("M400")
		h.send("M114")
		if s := h.until("X:"); !strings.HasPrefix(s, fmt.Sprintf("X:%d.00 ", 10+i)) {
			t.Errorf("host %d: %q", i, s)
		}
		f.Close()
		time.Sleep(20 * time.Millisecond)
	}
	if s := p.Stats(); s.Moves != 3 || s.Resets < 2 { // the first host may have come before the printer was on
		t.Errorf("stats %+v", s)
	}
}

func TestPTYKeepsState(t *testing.T) {
	p, path := openPTY(t, Config{Speed: Fastest})
	f, h := dialPTY(t, path)
	h.send("G92 X12")
	h.until("ok")
	f.Close()
	time.Sleep(20 * time.Millisecond)
	_, h = dialPTY(t, path)
	h.send("M114")
	if s := h.until("X:"); !strings.HasPrefix(s, "X:12.00 ") {
		t.Errorf("%q", s)
	}
	if n := p.Stats().Resets; n != 0 {
		t.Errorf("%d restarts", n)
	}
}

func TestPTYIsRawAndCloses(t *testing.T) {
	master, path, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := make([]byte, 0, 256)
	for i := range 256 {
		all = append(all, byte(i))
	}
	if _, err := f.Write(all); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 256)
	if _, err := io.ReadFull(master, got); err != nil || string(got) != string(all) {
		t.Errorf("bytes changed on the way: %v", err)
	}
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(t.Context(), master) }()
	bufio.NewReader(f).ReadString('\n')
	p.Unplug()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := io.ReadAll(f); err == nil {
		// a hung-up tty reads as ended or fails; either is fine
		return
	} else if !hostGone(err) {
		t.Errorf("after the cable was pulled: %v", err)
	}
}

// TestSpeed checks that simulated time keeps its ratio to real time.
func TestSpeed(t *testing.T) {
	p, h := pipe(t, Config{Speed: 20})
	before, start := p.Stats().SimTime, time.Now()
	h.send("G4 P4000")
	h.until("ok")
	took, simulated := time.Since(start), p.Stats().SimTime-before
	if took < 190*time.Millisecond || simulated < 4*time.Second {
		t.Errorf("4 s of pause took %v real and %v simulated, want 200 ms and 4 s", took, simulated)
	}
	p, h = pipe(t, Config{Speed: Fastest})
	before, start = p.Stats().SimTime, time.Now()
	h.send("G4 S3600")
	h.until("ok")
	took, simulated = time.Since(start), p.Stats().SimTime-before
	if took > 3*time.Second || simulated < time.Hour {
		t.Errorf("an hour of pause took %v real and %v simulated", took, simulated)
	}
}

// TestHaltAtSpeed sends M112 into a running move and looks at the clock.
func TestHaltAtSpeed(t *testing.T) {
	p, h := pipe(t, Config{Speed: 10, EmergencyParser: true})
	h.send("G1 X150 F600")
	h.until("ok")
	time.Sleep(100 * time.Millisecond)
	h.send("M112")
	h.until("Error:Printer halted")
	time.Sleep(150 * time.Millisecond)
	if s := p.Stats(); !s.Killed || s.Moving || s.Cuts != 1 {
		t.Errorf("%+v", s)
	}
	p.Reset()
	h.until("start")
	h.send("M105")
	h.until("ok T:")
	if s := p.Stats(); s.Killed || s.Resets != 1 {
		t.Errorf("after the reset: %+v", s)
	}
}

// TestServedAgain pulls the cable by a fault and plugs it in again.
func TestServedAgain(t *testing.T) {
	p, err := New(Config{Speed: Fastest, Faults: Faults{UnplugAt: time.Second, ReplugAt: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		a, b := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- p.Serve(t.Context(), b) }()
		h := &host{t: t, w: a, in: bufio.NewReader(a)}
		h.until("echo:Hardcoded")
		if i == 0 {
			h.send("G4 S5")
			if _, err := io.ReadAll(h.in); err != nil {
				t.Fatal(err)
			}
		} else {
			h.send("M105")
			h.until("ok T:")
		}
		a.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	s := p.Stats()
	if s.Faults(FaultUnplug) != 1 || s.Faults(FaultReplug) != 1 || s.Faults(FaultReset) != 0 || s.Faults(faultKinds) != 0 {
		t.Errorf("%+v", s)
	}
}

type plain struct{ io.ReadWriter }

func TestServeRefuses(t *testing.T) {
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Serve(t.Context(), plain{}); err == nil {
		t.Error("a line that cannot be ended was taken")
	}
	for _, cfg := range []Config{{Speed: -2}, {Baud: -1}, {Faults: Faults{Corrupt: Always + 1}}, {Faults: Faults{ResetAt: -1}}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// stream prints n short extruding moves as a host with a window of three would, and
// returns the printer.
func stream(t testing.TB, cfg Config, n int) *Printer {
	p, h := pipe(t, cfg)
	h.line = -1
	h.do("M110 N0")
	h.do("M302 P1")
	h.do("M83")
	const window = 3
	acks := make(chan struct{}, window)
	var odd atomic.Value // what was said in place of ok
	done := make(chan struct{})
	go func() {
		defer close(done)
		for acked := 0; acked < n; acked++ {
			s, err := h.in.ReadString('\n')
			if s == "echo:busy: processing\n" {
				acked--
				continue
			}
			if err != nil || s != "ok\n" {
				odd.Store(fmt.Sprint(s, err))
				return
			}
			<-acks
		}
	}()
	for i := range n {
		h.line++
		select {
		case acks <- struct{}{}:
		case <-done:
			t.Fatal("the printer did not say ok but", odd.Load())
		}
		h.send(strings.TrimSuffix(numbered(h.line, fmt.Sprintf("G1 X%d.%d Y%d E.05 F3000", i%100, i%10, i%7)), "\n"))
	}
	<-done
	if s := odd.Load(); s != nil {
		t.Fatal("the printer did not say ok but", s)
	}
	h.do("M400")
	return p
}

func TestStream(t *testing.T) {
	const n = 5000
	p := stream(t, Config{Speed: Fastest}, n)
	// A busy machine may keep the host from answering in time now and then.
	if s := p.Stats(); s.Moves != n || s.Starved > n/500 || s.Overruns != 0 || s.Filament != n*50 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkStream(b *testing.B) {
	n := b.N
	stream(b, Config{Speed: Fastest}, n)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}
