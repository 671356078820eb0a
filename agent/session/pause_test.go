package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"platen/boards"
	"platen/hal/envelope"
	"platen/hal/motion"
	"platen/hal/unit"
)

const mm = unit.Millimetre

// simBoard is the simulated printer's board, with macros of its own if there are any.
func simBoard(t *testing.T, macros string) *boards.Board {
	t.Helper()
	b, err := boards.Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	for m := range b.Macros {
		if _, text, ok := strings.Cut(macros, "["+boards.Macro(m).String()+"]\n"); ok {
			text, _, _ = strings.Cut(text, "[")
			b.Macros[m] = text
		}
	}
	return b
}

// hotLayers is a whole print of n layers.
func hotLayers(n int32) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for _, op := range []motion.Op{{Kind: motion.Home}, {Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 200_000}} {
			if !yield(op, nil) {
				return
			}
		}
		for op, err := range layers(n) {
			if !yield(op, err) {
				return
			}
		}
	}
}

// held runs a print of two layers that is paused once stop operations have passed.
func held(t *testing.T, b *boards.Board, stop int, prog motion.Program) (ops []motion.Op) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := pause{board: b}
		for op, err := range envelope.Check(b.Limits, p.hold(prog, nil)) {
			if err != nil {
				t.Fatalf("after %d operations: %v", len(ops), err)
			}
			if ops = append(ops, op); len(ops) == stop {
				p.set(true)
				go func() { time.Sleep(time.Minute); p.set(false) }()
			}
		}
	})
	return ops
}

func TestPauseParksAndReturns(t *testing.T) {
	ops := held(t, simBoard(t, ""), 5, hotLayers(2)) // behind the first layer
	if got := len(ops); got != 12 {
		t.Fatalf("%d operations, want 8 and 4 of the pause", got)
	}
	park, back := ops[5:7], ops[7:9]
	if park[0].E != -2*mm || park[1].To[motion.IZ] != 6*mm {
		t.Errorf("parks by %+v", park)
	}
	if back[0].To[motion.IZ] != mm || back[1].E != 2*mm {
		t.Errorf("returns by %+v", back)
	}
	var e unit.Length
	for _, op := range ops {
		e += op.E
	}
	if e != 2 {
		t.Errorf("filament is off by %d", e-2)
	}
}

// TestPauseByTheBoardsMacros: what a board's own macros move is undone.
func TestPauseByTheBoardsMacros(t *testing.T) {
	b := simBoard(t, "[pause]\nM83\nG1 E-3 F600\nG91\nG1 Z20 F300\nG90\nG1 X200 Y200 F6000\nM104 S180\n[resume]\nM109 S200\nM83\nG1 E2 F300\n")
	ops := held(t, b, 5, hotLayers(2))
	if got := len(ops); got != 8+6+3 {
		t.Fatalf("%d operations", got)
	}
	back := ops[11:14]
	if back[0].To[motion.IX] != 0 || back[0].Axes != motion.X|motion.Y || back[1].To[motion.IZ] != mm || back[2].E != mm {
		t.Errorf("returns by %#v", back)
	}
}

// TestPauseGivesBackWhatMacrosSet: a file that prints hotter than the board's macros
// know goes on as hot as it was, with its fan and its acceleration.
func TestPauseGivesBackWhatMacrosSet(t *testing.T) {
	b := simBoard(t, "[pause]\nM104 S0\nM107\nM204 S500\n[resume]\nM109 S200\n")
	prog := func(yield func(motion.Op, error) bool) {
		n := 0
		for op, err := range hotLayers(2) {
			if n++; n == 3 && !(yield(motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: 240_000}, nil) &&
				yield(motion.Op{Kind: motion.SetFan, Fan: 99}, nil) && yield(motion.Op{Kind: motion.SetAccel, Accel: 900}, nil)) || !yield(op, err) {
				return
			}
		}
	}
	var temp unit.Celsius
	var fan unit.Duty
	var accel unit.Accel
	changes := 0
	for _, op := range held(t, b, 8, prog) {
		switch op.Kind {
		case motion.SetHeater, motion.WaitHeater:
			temp, changes = op.Temp, changes+1
		case motion.SetFan:
			fan = op.Fan
		case motion.SetAccel:
			accel = op.Accel
		}
	}
	if changes != 5 || temp != 240_000 || fan != 99 || accel != 900 {
		t.Errorf("goes on at %v with a fan of %d and %v after %d changes", temp, fan, accel, changes)
	}
}

// TestPauseWhereHomingEnds: a machine whose end stops lie outside its volume cannot be
// brought back there, and is held where it is.
func TestPauseWhereHomingEnds(t *testing.T) {
	b := simBoard(t, "")
	b.Limits.HomedAt[motion.IX] = -5 * mm
	prog := func(yield func(motion.Op, error) bool) {
		for op, err := range hotLayers(2) {
			if op.Kind == motion.Move {
				if op.Has(motion.X) {
					op.Axes = op.Axes&^motion.X | motion.Y
				}
			}
			if !yield(op, err) {
				return
			}
		}
	}
	if ops := held(t, b, 5, prog); len(ops) != 8 {
		t.Errorf("%d operations", len(ops))
	}
}

func TestPauseBeforeAndAfterThePrintMovesNothing(t *testing.T) {
	for _, stop := range []int{1, 2, 4} {
		if ops := held(t, simBoard(t, ""), stop, hotLayers(2)); len(ops) != 8 {
			t.Errorf("paused after %d: %d operations", stop, len(ops))
		}
	}
	ended := func(yield func(motion.Op, error) bool) {
		for op, err := range hotLayers(2) {
			if !yield(op, err) {
				return
			}
		}
		_ = yield(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd}, nil) && yield(motion.Op{Kind: motion.MotorsOff}, nil)
	}
	if ops := held(t, simBoard(t, ""), 9, ended); len(ops) != 10 {
		t.Errorf("paused with the hot end off: %d operations", len(ops))
	}
}

// TestProgramPauses: a Pause of the program holds it, tells, and reaches no machine.
func TestProgramPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pause{board: simBoard(t, "")}
		told := 0
		p.told = func() {
			told++
			go func() { time.Sleep(time.Minute); p.set(false) }()
		}
		prog := func(yield func(motion.Op, error) bool) {
			n := 0
			for op, err := range hotLayers(2) {
				if n++; n == 6 && !yield(motion.Op{Kind: motion.Pause}, nil) || !yield(op, err) {
					return
				}
			}
		}
		n, begun := 0, time.Now()
		for op := range p.hold(prog, nil) {
			if n++; op.Kind == motion.Pause {
				t.Error("a pause reaches the machine")
			}
		}
		if told != 1 || n != 12 || time.Since(begun) != time.Minute {
			t.Errorf("told %d times, %d operations in %v", told, n, time.Since(begun))
		}
	})
}

func TestPauseEndsWithTheJob(t *testing.T) {
	p := pause{board: simBoard(t, "")}
	p.set(true)
	done := make(chan struct{})
	close(done)
	for op := range p.hold(layers(2), done) {
		t.Fatalf("%v after the job ended", op)
	}
}

func TestPauseNearTheTop(t *testing.T) {
	b := simBoard(t, "")
	b.Limits.Max[motion.IZ] = 2 * mm
	highest := unit.Length(0)
	for _, op := range held(t, b, 7, hotLayers(2)) {
		highest = max(highest, op.To[motion.IZ])
	}
	if highest != 2*mm {
		t.Errorf("lifts to %v, beyond the machine", highest)
	}
}

// TestLeave: a print that is cancelled in its middle leaves by the board's macro,
// one that has not begun does not, and a macro that the machine cannot do from where
// it is moves nothing.
func TestLeave(t *testing.T) {
	hot := false
	run := func(b *boards.Board, n int) (kinds []motion.Kind, err error) {
		p := pause{board: b}
		for range p.hold(hotLayers(2), nil) {
			if n--; n == 0 {
				break
			}
		}
		for op, e := range p.leave(hot) {
			if err = e; e == nil {
				kinds = append(kinds, op.Kind)
				if !hot && op.E != 0 {
					t.Error("drives cold filament")
				}
			}
		}
		return kinds, err
	}
	hot = true
	if kinds, err := run(simBoard(t, ""), 5); err != nil || len(kinds) != 6 || kinds[0] != motion.SetHeater || kinds[2] != motion.Move {
		t.Errorf("leaves by %v, %v", kinds, err)
	}
	if kinds, err := run(simBoard(t, ""), 4); err != nil || len(kinds) != 0 {
		t.Errorf("leaves a print that has not begun by %v, %v", kinds, err)
	}
	const draws = "[cancel]\nM83\nG1 E-5 F600\nG1 X5 E-1 F600\nG91\nG1 Z5 F300\n"
	if kinds, err := run(simBoard(t, draws), 5); err != nil || len(kinds) != 3 {
		t.Errorf("leaves by %v, %v", kinds, err)
	}
	hot = false // it was held until its heaters were switched off
	if kinds, err := run(simBoard(t, draws), 5); err != nil || len(kinds) != 2 {
		t.Errorf("leaves cold by %v, %v", kinds, err)
	}
	hot = true
	slow := simBoard(t, "")
	slow.Limits.MaxHotDwell = 100 * time.Millisecond // shorter than the way that is only imagined
	if kinds, err := run(slow, 5); err != nil || len(kinds) != 6 {
		t.Errorf("leaves by %v, %v", kinds, err)
	}
	if kinds, err := run(simBoard(t, "[cancel]\nG1 X500 F600\n"), 5); err == nil || len(kinds) != 0 {
		t.Errorf("leaves the envelope by %v, %v", kinds, err)
	}
}
