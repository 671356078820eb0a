package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"platen/cross/rig/rigtest"
	"platen/cross/rig/stage"
)

// BenchmarkAgent is an agent's telemetry at its shortest period: collecting, having the TPM
// quote, and sending one frame through a real broker. The software TPM computes in a process
// of its own, which does not count. cpu-ms/frame is of the agent's process; KiB is what is
// resident of it.
func BenchmarkAgent(b *testing.B) {
	st := begun(b)
	const frames = 10
	for b.Loop() {
		if err := st.more(b.Context(), 2); err != nil {
			b.Fatal(err)
		}
		from, had := used(b, st.agent.Cmd.Process.Pid), st.notes.count()
		if err := st.more(b.Context(), frames); err != nil {
			b.Fatal(err)
		}
		spent := used(b, st.agent.Cmd.Process.Pid) - from
		b.ReportMetric(float64(spent.Microseconds())/1000/float64(st.notes.count()-had), "cpu-ms/frame")
		b.ReportMetric(float64(resident(b, st.agent.Cmd.Process.Pid)), "KiB")
	}
}

// BenchmarkIdle is an agent that tells an owner every ten seconds what it may, as other collectors
// do by default: cross/bench-agent.sh has them beside it. cpu-ms/s is what its process computes in
// a second.
func BenchmarkIdle(b *testing.B) {
	st := begun(b)
	if err := st.more(b.Context(), 3); err != nil { // a later grant is signed in a later second
		b.Fatal(err)
	}
	if err := st.grant(b.Context(), "10s"); err != nil {
		b.Fatal(err)
	}
	const frames = 4
	for b.Loop() {
		if err := st.more(b.Context(), 2); err != nil {
			b.Fatal(err)
		}
		from, spent := time.Now(), used(b, st.agent.Cmd.Process.Pid)
		if err := st.more(b.Context(), frames); err != nil {
			b.Fatal(err)
		}
		spent = used(b, st.agent.Cmd.Process.Pid) - spent
		b.ReportMetric(1000*spent.Seconds()/time.Since(from).Seconds(), "cpu-ms/s")
		b.ReportMetric(float64(resident(b, st.agent.Cmd.Process.Pid)), "KiB")
	}
}

// begun is a stand on which everything runs, with all granted each second.
func begun(b *testing.B) *stand {
	b.Helper()
	w, err := newWorld(b.Context(), false)
	rigtest.Check(b, err)
	b.Cleanup(w.close)
	st, err := newStand(b.Context(), w, programs(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(st.close)
	if err := st.begin(b.Context()); err != nil {
		b.Fatal(err)
	}
	return st
}

// BenchmarkBeside is what telemetry costs a printer that prints: an agent that collects, has the
// TPM quote and sends each second what its owner may be told, beside a session that streams 450
// lines a second at 250000 baud in real time. % is the share of a core that the agent's process
// computes meanwhile, and idle-% without any recipient; dry is how often the controller's planner
// had nothing to do in mid-print, and idle-dry without. PLATEN_BENCH is for how long each, 20 s.
func BenchmarkBeside(b *testing.B) {
	long := 20 * time.Second
	if d, err := time.ParseDuration(os.Getenv("PLATEN_BENCH")); err == nil {
		long = d
	}
	st := begun(b)
	fleet, err := fleetOf(st.w.dir)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(st.w.path("circles.gcode"), circles(long), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		had := st.notes.count()
		share, dry := st.prints(b)
		if n := st.notes.count() - had; n < int(long.Seconds())/2 {
			b.Errorf("control: %d frames came in %v", n, long)
		}
		if _, err := st.stage.Platen(b.Context(), "consent", "revoke", fleet.String()); err != nil {
			b.Fatal(err)
		}
		had = st.notes.count()
		idle, idleDry := st.prints(b)
		if st.notes.count() != had {
			b.Error("control: frames came without a grant")
		}
		if err := st.grant(b.Context(), "1s"); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(share, "%")
		b.ReportMetric(idle, "idle-%")
		b.ReportMetric(dry, "dry")
		b.ReportMetric(idleDry, "idle-dry")
	}
}

// prints prints the circles and returns the share of a core in per cent that the agent needed, and
// how often the controller's planner was dry.
func (st *stand) prints(b *testing.B) (share, dry float64) {
	b.Helper()
	from, begun, spent := len(st.board.Events()), time.Now(), used(b, st.agent.Cmd.Process.Pid)
	if _, err := st.stage.Platen(b.Context(), "print", st.w.path("circles.gcode")); err != nil {
		b.Fatal(err)
	}
	spent = used(b, st.agent.Cmd.Process.Pid) - spent
	took := time.Since(begun)
	end, err := st.board.Wait(b.Context(), patience, from, func(e stage.Event) bool { return e.Event == "end" })
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d moves in %v, dry %d times, %v CPU of the agent", end.Moves, took, end.Starved, spent)
	return 100 * spent.Seconds() / took.Seconds(), float64(end.Starved)
}

// circles is G-code of circles at 90 mm/s in steps of 0.2 mm, for so long.
func circles(long time.Duration) []byte {
	var text bytes.Buffer
	text.WriteString("G28\nG90\nG1 Z5 F600\nG1 X150 Y100 F5400\n")
	for i := range int(long.Seconds() * 90 / 0.2) {
		sin, cos := math.Sincos(float64(i) * 0.2 / 50)
		fmt.Fprintf(&text, "G1 X%.3f Y%.3f\n", 100+50*cos, 100+50*sin)
	}
	return text.Bytes()
}

// used is the time that a process has computed, as the scheduler counts it for each of its
// threads in nanoseconds.
func used(b *testing.B, pid int) time.Duration {
	b.Helper()
	var sum time.Duration
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
		if err != nil {
			b.Fatal(err)
		}
		ns, err := strconv.ParseInt(string(bytes.Fields(text)[0]), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// resident is what of a process is in memory, in KiB.
func resident(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, ok := bytes.Cut(text, []byte("VmRSS:"))
	if !ok {
		b.Fatal("no VmRSS")
	}
	n, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	if err != nil {
		b.Fatal(err)
	}
	return n
}
