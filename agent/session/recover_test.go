package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/seam"
	"platen/boards"
	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// collect pulls all of prog.
func collect(t *testing.T, prog motion.Program) (ops []motion.Op) {
	t.Helper()
	for op, err := range prog {
		if err != nil {
			t.Fatalf("after %d operations: %v", len(ops), err)
		}
		ops = append(ops, op)
	}
	return ops
}

// listed yields operations.
func listed(ops ...motion.Op) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for _, op := range ops {
			if !yield(op, nil) {
				return
			}
		}
	}
}

// manyLayers is a file of G-code in which each layer begins otherwise: warmer, faster, with
// the fan turned, or with filament drawn back.
func manyLayers() string {
	var s strings.Builder
	s.WriteString("M140 S60\nM104 S205\nG28\nM190 S60\nM109 S205\nM83\nG1 Z5 F300\nG1 X5 Y5 F6000\nG1 E8 F150\n")
	for n := range 8 {
		fmt.Fprintf(&s, ";LAYER:%d\nG1 Z%.1f F300\n", n, 0.2*float64(n+1))
		for i := range 6 {
			fmt.Fprintf(&s, "G1 X%d Y%d E0.4 F1800\n", 20+10*i+n, 30+20*(i%2))
		}
		switch n {
		case 1:
			s.WriteString("M106 S128\nM204 P800\nM900 K0.05\n")
		case 2:
			s.WriteString("G1 E-1.5 F1500\n")
		case 3:
			s.WriteString("G1 E1.5 F1500\nM104 S215\nM106 S255\n")
		case 5:
			s.WriteString("G1 E-0.5 F1500\nM140 S0\nM107\nG1 X100 Y100 Z9 F6000\n")
		}
	}
	return s.String()
}

// TestGoOn takes up a file at every layer: what follows is what the file has from there on,
// to the last operation, and the machine is as warm, as fast and in the place as if it had
// printed what comes before. All of it passes the envelope.
func TestGoOn(t *testing.T) {
	b := simBoard(t, "")
	b.Limits.MaxAdvance = time.Second
	whole := func() motion.Program { return gcodefile.Program(strings.NewReader(manyLayers()), b.GCode()) }
	all := collect(t, whole())
	tried := 0
	for i, mark := range all {
		if mark.Kind != motion.BeginLayer || mark.Layer == 0 {
			continue
		}
		tried++
		was := behind{pause: pause{board: b}}
		for _, op := range all[:i] {
			was.follow(op)
		}
		for _, parked := range []bool{false, true} {
			got := collect(t, envelope.Check(b.Limits, goOn(t.Context(), b, whole(), place{mark.Layer, parked})))
			n := len(all) - i
			if len(got) < n || !slices.Equal(got[len(got)-n:], all[i:]) {
				t.Fatalf("layer %d: what follows is not what the file has", mark.Layer)
			}
			now := behind{pause: pause{board: b}}
			for _, op := range got[:len(got)-n] {
				now.follow(op)
			}
			to := was.at
			to.At[motion.IZ] = max(to.At[motion.IZ], mark.To[motion.IZ])
			if now.at != to || now.drawn != was.drawn || now.advance != was.advance || now.tuned.heat != was.tuned.heat ||
				now.tuned.fan != was.tuned.fan || was.tuned.accel != 0 && now.tuned.accel != was.tuned.accel {
				t.Errorf("layer %d, parked %v: the machine is not as it was", mark.Layer, parked)
			}
			stand := slices.IndexFunc(got, func(op motion.Op) bool { return op.Kind == motion.Stand })
			if up := got[stand].To[motion.IZ] - mark.To[motion.IZ]; !parked && up != 0 || parked && up < 5*mm {
				t.Errorf("layer %d, parked %v: the nozzle is taken to stand %v over it", mark.Layer, parked, up)
			}
		}
	}
	if tried != 7 {
		t.Fatalf("%d layers tried: this proves little", tried)
	}
}

// TestGoOnRefuses: where it is not known where the nozzle is, or what is in its way, a print
// does not go on. The control does.
func TestGoOnRefuses(t *testing.T) {
	b := simBoard(t, "")
	sinks := *b
	sinks.Limits.KeepsZ = false
	layer := func(n int32, z unit.Length) motion.Op {
		return motion.Op{Kind: motion.BeginLayer, Layer: n, To: [3]unit.Length{motion.IZ: z}}
	}
	at := motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.Z, To: [3]unit.Length{mm, mm, mm}, Feed: 1000}
	hot := motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 200_000}
	other := at
	other.Tool = 1
	for name, c := range map[string]struct {
		board *boards.Board
		ops   []motion.Op
		fine  bool
	}{
		"control":             {b, []motion.Op{hot, {Kind: motion.Home}, layer(0, mm), at, layer(1, 2*mm), at}, true},
		"the bed is levelled": {b, []motion.Op{hot, {Kind: motion.Home}, {Kind: motion.Level}, layer(0, mm), at, layer(1, 2*mm), at}, false},
		"another tool":        {b, []motion.Op{hot, {Kind: motion.Home}, layer(0, mm), at, other, layer(1, 2*mm), at}, false},
		"beside what is high": {b, []motion.Op{hot, {Kind: motion.Home}, layer(0, 9*mm), at, layer(1, 2*mm), at}, false},
		"nowhere":             {b, []motion.Op{hot, {Kind: motion.Home}, {Kind: motion.MotorsOff}, layer(1, 2*mm), at}, false},
		"no such layer":       {b, []motion.Op{hot, {Kind: motion.Home}, layer(0, mm), at, layer(2, 2*mm), at}, false},
		"too few layers":      {b, []motion.Op{hot, {Kind: motion.Home}, layer(0, mm), at}, false},
		"a board that sinks":  {&sinks, []motion.Op{hot, {Kind: motion.Home}, layer(0, mm), at, layer(1, 2*mm), at}, false},
	} {
		moved, failed := false, error(nil)
		for op, err := range goOn(t.Context(), c.board, listed(c.ops...), place{layer: 1}) {
			moved, failed = moved || op.Moves() || op.Kind == motion.Home, err
		}
		if c.fine != (failed == nil) || c.fine != moved || !c.fine && !errors.Is(failed, errRecover) {
			t.Errorf("%s: %v, moved %v", name, failed, moved)
		}
	}
}

// TestMarks: a layer is told once so many moves of it are out that the machine has begun
// it, and never before; a print that is parked is told when it surely is.
func TestMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []seam.Layer
		m := marks{tell: func(l seam.Layer) { told = append(told, l) }}
		moves := map[uint32]int{}
		layer := int32(-1)
		prog := func(yield func(motion.Op, error) bool) {
			for l := range int32(6) {
				yield(motion.Op{Kind: motion.BeginLayer, Layer: l}, nil)
				n := 200
				if l == 2 || l == 3 { // small ones
					n = 30
				}
				for range n {
					yield(motion.Op{Kind: motion.Move}, nil)
				}
			}
		}
		for op := range m.watch(prog) {
			if op.Kind == motion.BeginLayer {
				layer = op.Layer
			}
			for l := range uint32(layer + 1) {
				if op.Moves() {
					moves[l]++
				}
			}
			if n := len(told); n > 0 && moves[told[n-1].Layer] < inFlight {
				t.Fatalf("layer %d is told after %d moves", told[n-1].Layer, moves[told[n-1].Layer])
			}
		}
		if len(told) != 6 || told[5] != (seam.Layer{Layer: 5, Mark: seam.MarkLayer}) {
			t.Errorf("told %v", told)
		}
		m.parked(true)
		time.Sleep(parkTime / 2)
		m.parked(false)
		time.Sleep(parkTime)
		if len(told) != 6 {
			t.Errorf("told %v: it had not come to rest", told)
		}
		m.parked(true)
		time.Sleep(2 * parkTime)
		m.parked(false)
		if len(told) != 8 || told[6].Mark != seam.MarkParked || told[7].Mark != seam.MarkLayer {
			t.Errorf("told %v", told[6:])
		}
		m.repeat()
		if len(told) != 9 || told[8] != told[7] {
			t.Errorf("told %v", told[6:])
		}
	})
}

// TestParkedTimer: a timer that has run out as its pause ended says nothing of the next pause.
func TestParkedTimer(t *testing.T) {
	var told []seam.Layer
	m := marks{tell: func(l seam.Layer) { told = append(told, l) }}
	m.say(seam.Layer{Layer: 3, Mark: seam.MarkLayer})
	m.parked(true)
	first := m.park
	m.parked(false)
	m.parked(true)
	defer m.end()
	if m.stands(&first); len(told) != 1 {
		t.Errorf("told %v: the second pause has only begun", told)
	}
	if second := m.park; second != first {
		if m.stands(&second); len(told) != 2 || told[1].Mark != seam.MarkParked {
			t.Errorf("control: told %v", told)
		}
	}
}

// journal is what a simulated printer has laid down.
type journal struct {
	mu    sync.Mutex
	laid  []deposit
	after int                // that many moves lay filament down before cut is asked
	cut   func() (done bool) // nil: never
}

// deposit is one line of filament, as it lies in the room.
type deposit struct {
	from, to [3]unit.Length
	e        unit.Length
}

func (j *journal) note(m sim.Move) {
	d := deposit{m.From, m.To, m.E}
	for i, z := range m.Zero {
		d.from[i], d.to[i] = d.from[i]+z, d.to[i]+z
	}
	if m.E <= 0 || d.from[0] == d.to[0] && d.from[1] == d.to[1] {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.laid = append(j.laid, d); j.cut != nil && len(j.laid) >= j.after && j.cut() {
		j.cut = nil
	}
}

// all is what was laid down up to now.
func (j *journal) all() []deposit {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.laid)
}

// TestPowerLoss cuts the power in the middle of a print, with the printer's own log as the
// judge: the layers before the one that was told lie as in a print that nothing broke, and
// from there on each is printed once, on what is there.
func TestPowerLoss(t *testing.T) {
	whole, first, second := &journal{}, &journal{}, &journal{}
	b := model(t, "tee.stl")
	on := func(j *journal, start [3]unit.Length) *child {
		cfg := fast
		cfg.Start, cfg.OnMove = start, j.note
		return startSession(t, cfg)
	}
	c := on(whole, [3]unit.Length{})
	c.start(seam.Start{Job: [16]byte{1}, Size: uint64(len(b))}, b)
	ends(c, seam.CodeDone, nil)
	first.after = len(whole.all()) / 2
	var heard atomic.Uint32
	var power atomic.Pointer[sim.Printer]
	first.cut = func() bool {
		p := power.Load()
		if p == nil || heard.Load() < 5 { // the agent has to hear of something first
			return false
		}
		p.Unplug()
		return true
	}
	c = on(first, [3]unit.Length{})
	power.Store(c.printer)
	c.start(seam.Start{Job: [16]byte{1}, Size: uint64(len(b))}, b)
	last := ends(c, seam.CodeFault, &heard)
	if last.Layer < 5 || last.Mark != seam.MarkLayer {
		t.Fatalf("told %+v at the end: nothing to go on from", last)
	}
	stands := c.printer.Place()

	c = on(second, stands)
	c.start(seam.Start{Job: [16]byte{1}, Size: uint64(len(b)), From: last.Layer}, b)
	ends(c, seam.CodeDone, nil)
	if c.printer.Stats().Homes != 2 {
		t.Errorf("%d axes homed", c.printer.Stats().Homes)
	}
	compare(t, whole.all(), first.all(), second.all(), last.Layer, stands[motion.IZ])
}

// ends reads what a session tells until its job has ended as it should, and returns the last
// layer.
func ends(c *child, want seam.Code, heard *atomic.Uint32) (last seam.Layer) {
	c.t.Helper()
	for {
		switch m := await[seam.Message](c).(type) {
		case *seam.Layer:
			if last = *m; heard != nil {
				heard.Store(m.Layer)
			}
		case *seam.Receipt:
			if m.Code == want {
				return last
			}
			if m.Code != seam.CodeLoaded {
				c.t.Fatalf("%s: %s\n%s", m.Code, m.Reason, c.stderr.String())
			}
		}
	}
}

// compare holds two pieces of a print against the whole one. The second stands higher by as
// much as the machine was ahead of what it had told.
func compare(t *testing.T, whole, first, second []deposit, layer uint32, stands unit.Length) {
	t.Helper()
	var heights []unit.Length
	cut := len(whole)
	for i, d := range whole {
		if n := len(heights); n == 0 || d.to[2] > heights[n-1]+mm/100 {
			heights = append(heights, d.to[2])
		}
		if len(heights) == int(layer)+1 {
			cut = min(cut, i)
		}
	}
	ahead := stands - heights[layer]
	if ahead < -mm/50 {
		t.Fatalf("the nozzle stood %v over the layer that was told: it is one that had not begun", ahead)
	}
	t.Logf("told layer %d; the nozzle stood %v higher", layer, ahead)
	same := func(name string, got, want []deposit, up unit.Length) {
		if len(got) != len(want) {
			t.Fatalf("%s: %d lines, want %d", name, len(got), len(want))
		}
		for i := range got {
			for a := range got[i].to {
				w := want[i].to[a]
				if a == 2 {
					w += up
				}
				if d := got[i].to[a] - w; d > mm/40 || d < -mm/40 {
					t.Fatalf("%s: line %d ends off by %v on axis %d", name, i, d, a)
				}
			}
			if d := got[i].e - want[i].e; d > mm/400 || d < -mm/400 {
				t.Fatalf("%s: line %d has %v too much of filament", name, i, d)
			}
		}
	}
	if len(first) < cut {
		t.Fatalf("%d lines before the power was lost, want %d at least", len(first), cut)
	}
	same("before", first[:cut], whole[:cut], 0)
	same("after", second, whole[cut:], ahead)
}
