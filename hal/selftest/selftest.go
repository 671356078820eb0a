// Package selftest moves a machine by a fixed motion with nothing loaded, and measures how
// it does: the one way in which anything is learned of a machine's motion at full rate, since
// this motion has nothing to do with what is printed.
//
// Start at [Parse], which makes a [Plan] of the text that is published with the catalogue and
// holds it against the machine's envelope before anything moves, and [Plan.Run]. All that is
// measured is time, by the host, of programs that end with the machine at rest, and what every
// driver counts: no firmware has to know of it, and no sensor has to be there.
//
// How far an axis has slipped is told by how long it then takes to find its end stop: the speed
// of that is measured too. A figure is as fine as the host's clock beside the line to the
// controller: some tenths of a millimetre at 50 mm/s.
package selftest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"platen/hal/envelope"
	"platen/hal/motion"
	"platen/hal/unit"
)

// title is the first line of a motion.
const title = "platen self-test 1"

// Bounds of what a motion asks for.
const (
	mostPings = 100
	mostRest  = 100
	mostTimes = 100
	mostHomed = 10
)

// Plan is a motion, made for one machine.
type Plan struct {
	steps []step
}

// step is a piece of the motion, run by itself until the machine stands.
type step struct {
	what  measure
	axis  int // of near, far, sweep and again
	n     int // pings or reports
	ops   []motion.Op
	width unit.Length // of near and far: how far the axis stands off
}

// measure is what a step is timed for.
type measure uint8

const (
	nothing measure = iota
	pings           // n empty programs
	rest            // n reports of temperatures
	near            // homing from near by, some times
	far             // homing from afar
	sweep           // the sweeps
	again           // homing from near by, after them
)

// Parse reads a motion and makes it for a machine with the limits l. single says that axes
// are homed one by one. An envelope.Violation is a motion that the machine cannot do.
func Parse(text string, l envelope.Limits, single bool) (*Plan, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != title {
		return nil, fmt.Errorf("a self-test begins with %q", title)
	}
	m := maker{limits: l, single: single}
	for i, line := range lines[1:] {
		if !m.line(strings.Fields(line)) {
			return nil, fmt.Errorf("line %d of the self-test is not understood", i+2)
		}
	}
	return &Plan{m.steps}, m.check()
}

// maker makes a plan, line by line.
type maker struct {
	limits envelope.Limits
	single bool
	steps  []step
}

// line adds a line of a motion.
func (m *maker) line(words []string) bool {
	if len(words) == 0 {
		return false
	}
	switch n, ok := numbers(words[1:]); {
	case words[0] == "ping" && ok && len(n) == 1 && n[0] <= mostPings:
		m.add(step{what: pings, n: n[0]})
	case words[0] == "rest" && ok && len(n) == 1 && n[0] <= mostRest:
		m.add(step{what: rest, n: n[0]})
	case words[0] == "home" && len(words) == 1:
		m.add(step{ops: []motion.Op{{Kind: motion.Home}}})
	case words[0] == "accel" && ok && len(n) == 1 && n[0] > 0:
		m.add(step{ops: []motion.Op{{Kind: motion.SetAccel, Accel: min(unit.Accel(n[0]), m.limits.MaxAccel)}}})
	case words[0] == "to" && ok && len(n) == 3 && max(n[0], n[1], n[2]) <= 100:
		m.to(n)
	case words[0] == "off" && len(words) == 1:
		m.add(step{ops: []motion.Op{{Kind: motion.MotorsOff}}})
	case words[0] == "axis":
		return m.axis(words[1:])
	default:
		return false
	}
	return true
}

func (m *maker) add(s step) { m.steps = append(m.steps, s) }

// numbers reads whole numbers that are not below zero.
func numbers(words []string) ([]int, bool) {
	var out []int
	for _, w := range words {
		n, err := strconv.ParseUint(w, 10, 16)
		if err != nil {
			return nil, false
		}
		out = append(out, int(n))
	}
	return out, true
}

// to goes to a place in percent of the volume: up or down first, then across.
func (m *maker) to(percent []int) {
	var at [3]unit.Length
	for i, p := range percent {
		at[i] = m.limits.Min[i] + m.part(i, p)
	}
	m.add(step{ops: []motion.Op{
		{Kind: motion.Move, Axes: motion.Z, To: at, Feed: m.limits.MaxFeed[2] / 2},
		{Kind: motion.Move, Axes: motion.X | motion.Y, To: at, Feed: min(m.limits.MaxFeed[0], m.limits.MaxFeed[1]) / 2},
	}})
}

// part is so many percent of an axis.
func (m *maker) part(axis, percent int) unit.Length {
	return unit.Length((int64(m.limits.Max[axis]) - int64(m.limits.Min[axis])) * int64(percent) / 100)
}

// off is where an axis is so many percent away from the end at which it is homed.
func (m *maker) off(axis, percent int) unit.Length {
	lo, hi := m.limits.Min[axis], m.limits.Max[axis]
	if int64(m.limits.HomedAt[axis])*2 > int64(lo)+int64(hi) {
		return hi - m.part(axis, percent)
	}
	return lo + m.part(axis, percent)
}

// axis is "x near N far F sweep L H times K homed M".
func (m *maker) axis(words []string) bool {
	if len(words) != 12 || words[1] != "near" || words[3] != "far" || words[5] != "sweep" || words[8] != "times" || words[10] != "homed" {
		return false
	}
	axis := strings.Index("xyz", words[0])
	n, ok := numbers([]string{words[2], words[4], words[6], words[7], words[9], words[11]})
	if axis < 0 || len(words[0]) != 1 || !ok || n[0] >= n[1] || n[1] > 100 || n[2] >= n[3] || n[3] > 100 || n[4] > mostTimes || n[5] < 2 || n[5] > mostHomed {
		return false
	}
	m.add(step{ops: []motion.Op{m.home(axis)}})
	m.stand(axis, n[0], n[5], near)
	m.stand(axis, n[1], n[5], far)
	for range n[5] {
		m.move(axis, n[2])
		var ops []motion.Op
		for range n[4] {
			ops = append(ops, m.way(axis, n[3], 1), m.way(axis, n[2], 1))
		}
		m.add(step{what: sweep, axis: axis, ops: ops})
		m.stand(axis, n[0], 1, again)
	}
	return true
}

// way goes to so many percent of an axis with a share of the fastest speed.
func (m *maker) way(axis, percent int, slower unit.Speed) motion.Op {
	op := motion.Op{Kind: motion.Move, Axes: motion.X << axis, Feed: m.limits.MaxFeed[axis] / slower}
	op.To[axis] = m.off(axis, percent)
	return op
}

// move stands off.
func (m *maker) move(axis, percent int) {
	m.add(step{ops: []motion.Op{m.way(axis, percent, 2)}})
}

// home is the homing of an axis, or of all where it cannot be homed alone.
func (m *maker) home(axis int) motion.Op {
	if !m.single {
		return motion.Op{Kind: motion.Home}
	}
	return motion.Op{Kind: motion.Home, Axes: motion.X << axis}
}

// stand stands off and homes, for which it is timed, some times.
func (m *maker) stand(axis, percent, times int, what measure) {
	for range times {
		m.move(axis, percent)
		m.add(step{what: what, axis: axis, width: m.part(axis, percent), ops: []motion.Op{m.home(axis)}})
	}
}

// check passes the whole motion through the envelope, and takes what comes of it.
func (m *maker) check() error {
	whole := func(yield func(motion.Op, error) bool) {
		for _, s := range m.steps {
			for _, op := range s.ops {
				if !yield(op, nil) {
					return
				}
			}
		}
	}
	var fit []motion.Op
	for op, err := range envelope.Check(m.limits, envelope.Fit(m.limits, whole)) {
		if err != nil {
			return err
		}
		fit = append(fit, op)
	}
	for i := range m.steps {
		n := len(m.steps[i].ops)
		if n > len(fit) {
			return errors.New("the envelope left out a part of the self-test")
		}
		m.steps[i].ops, fit = fit[:n:n], fit[n:]
	}
	if len(fit) > 0 {
		return errors.New("the envelope added to the self-test")
	}
	return nil
}

// Longest bounds what a whole self-test may take: what has not ended by then hangs.
const Longest = 15 * time.Minute
