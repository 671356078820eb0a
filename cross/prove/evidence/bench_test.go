package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"platen/cross/rig/rigtest"
)

// BenchmarkAgent is an agent's telemetry at its shortest period: collecting, having the TPM
// quote, and sending one frame through a real broker. The software TPM computes in a process
// of its own, which does not count. cpu-ms/frame is of the agent's process; KiB is what is
// resident of it.
func BenchmarkAgent(b *testing.B) {
	w, err := newWorld(b.Context(), false)
	rigtest.Check(b, err)
	defer w.close()
	st, err := newStand(b.Context(), w, programs(b))
	if err != nil {
		b.Fatal(err)
	}
	defer st.close()
	if err := st.begin(b.Context()); err != nil {
		b.Fatal(err)
	}
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
