package clock

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
	"platen/slicer"
	"platen/slicer/clock"
	"platen/slicer/vault"
)

// program slices a model.
func program(t *testing.T, name string, s slicer.Settings) []motion.Op {
	t.Helper()
	file, err := os.ReadFile("../../testdata/models/" + name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.NewPageable(16 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	j, err := slicer.Open(context.Background(), v, bytes.NewReader(file), int64(len(file)), slicer.Detect, s)
	if err != nil {
		t.Fatal(err)
	}
	var ops []motion.Op
	for op, err := range j.Program(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, op)
	}
	return ops
}

// drive runs a program on a simulated Marlin 2 and returns the simulated time from
// its first move to its last.
func drive(t *testing.T, ops []motion.Op) time.Duration {
	t.Helper()
	first, last := time.Duration(-1), time.Duration(0)
	p, err := sim.New(sim.Config{
		Speed: sim.Fastest, LineTime: 50 * time.Microsecond, Baud: 2_000_000,
		Volume: [3]unit.Length{220 * unit.Millimetre, 220 * unit.Millimetre, 250 * unit.Millimetre},
		OnMove: func(m sim.Move) {
			if first < 0 {
				first = m.Start
			}
			last = m.End
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	host, machine := net.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, machine) }()
	send(t, ctx, host, ops)
	cancel()
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if s := p.Stats(); s.Cold+s.Clamped+s.Unhomed+s.Unknown+s.Resends > 0 {
		t.Fatalf("the printer did something else: %+v", s)
	}
	return last - first
}

// send writes the lines of a program, four of them ahead of the answers.
func send(t *testing.T, ctx context.Context, host net.Conn, ops []motion.Op) {
	t.Helper()
	go func() { <-ctx.Done(); _ = host.Close() }()
	ok := make(chan bool, 1024)
	ready := make(chan bool)
	go func() {
		defer close(ok)
		lines := bufio.NewScanner(host)
		begun := false
		for lines.Scan() {
			if !begun && strings.Contains(lines.Text(), "start") {
				begun = true
				close(ready)
			}
			if strings.HasPrefix(lines.Text(), "ok") {
				ok <- true
			}
		}
	}()
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("the printer does not start")
	}
	var e gcode.Encoder
	ahead := 0
	put := func(text []byte) {
		for line := range bytes.Lines(text) {
			for ahead == 4 {
				if !<-ok {
					t.Fatal("the printer has gone")
				}
				ahead--
			}
			if _, err := host.Write(line); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				t.Fatal(err)
			}
			ahead++
		}
	}
	for _, op := range ops {
		put(e.Append(nil, op))
	}
	put([]byte("M400\n"))
	for ; ahead > 0; ahead-- {
		if !<-ok {
			t.Fatal("the printer has gone")
		}
	}
}

func estimate(m clock.Machine, ops []motion.Op) time.Duration {
	c := clock.New(m)
	for _, op := range ops {
		c.Add(op)
	}
	return c.Total()
}

// The estimate is within 3 % of what the simulated printer takes. The control leaves
// acceleration out.
func TestEstimate(t *testing.T) {
	arcs := 0
	for _, name := range []string{"tug.stl", "bracket.3mf", "thin.stl", "cone.stl"} {
		s := slicer.Default()
		if name == "cone.stl" || name == "bracket.3mf" { // with what a machine can do besides straight lines
			s.Arcs = unit.Millimetre / 100
			s.Accels = slicer.Accels{OuterWall: 800, FirstLayer: 500, Infill: 2000}
			s.Restart, s.Wipe, s.Hop = unit.Millimetre/20, unit.Millimetre, unit.Millimetre/5
		}
		s.MinLayerTime = 0
		s.Height, s.FirstHeight = unit.Micrometres(400), unit.Micrometres(400)
		s.Speeds.OuterWall, s.Speeds.InnerWall = 80*unit.MillimetrePerSecond, 120*unit.MillimetrePerSecond
		s.Speeds.Infill = 150 * unit.MillimetrePerSecond
		ops := program(t, name, s)
		for _, op := range ops {
			if op.Arc() {
				arcs++
			}
		}
		took := drive(t, ops)
		got := estimate(clock.Default(), ops)
		stiff := clock.Default()
		stiff.MaxAccel = [4]unit.Accel{1 << 30, 1 << 30, 1 << 30, 1 << 30}
		stiff.Travel, stiff.Retract, stiff.Corner = 1<<30, 1<<30, unit.Millimetre
		for i := range ops {
			if ops[i].Kind == motion.SetAccel {
				ops[i].Accel = 1 << 30
			}
		}
		without := estimate(stiff, ops)
		off := func(d time.Duration) float64 { return d.Seconds()/took.Seconds() - 1 }
		t.Logf("%s: %v, estimated %v (%+.2f %%), without acceleration %v (%+.1f %%)", name, took, got, 100*off(got), without, 100*off(without))
		if math.Abs(off(got)) > 0.03 {
			t.Errorf("%s: the estimate is off by %.2f %%", name, 100*off(got))
		}
		if math.Abs(off(without)) < 0.1 {
			t.Errorf("%s: control: acceleration does not matter", name)
		}
	}
	if arcs < 100 {
		t.Errorf("%d arcs", arcs)
	}
}
