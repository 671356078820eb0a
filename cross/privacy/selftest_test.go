package privacy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
	"platen/agent/session"
	"platen/boards"
	"platen/hal/motion"
	"platen/hal/selftest"
	"platen/hal/unit"
)

// selfTest runs the published self-test on a machine, as a session does, and tells the agent
// what it came to. With leak, the time of the first homing is told as well: how far the job
// before has left the head from where it is homed.
func (s *stage) selfTest(t *testing.T, u *uplink, leak bool) {
	t.Helper()
	m := s.now()
	plan, err := selftest.Parse(catalog.Motion, s.board.Limits, true)
	if err != nil {
		t.Fatal(err)
	}
	s.set(seam.PhaseTesting)
	began := time.Now()
	if leak {
		home := func(yield func(motion.Op, error) bool) { yield(motion.Op{Kind: motion.Home}, nil) }
		if err := m.Run(t.Context(), home); err != nil {
			t.Fatal(err)
		}
	}
	homed := time.Since(began)
	r, err := plan.Run(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	told := session.Told([16]byte{}, r)
	if leak {
		told.Axes[2].Sweep = uint32(homed / time.Millisecond)
	}
	u.machine.Take(&told)
	u.machine.TestEnded(seam.Receipt{Code: seam.CodeDone})
	s.set(seam.PhaseIdle)
}

// cooled runs the self-test of a machine that was moved off and heated, once its hot end, still cooling, is below so
// much; 0 has it stay cold.
func cooled(t *testing.T, below unit.Celsius) (lines []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, err := boards.Load("sim")
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{board: b, phase: seam.PhaseIdle}
		s.plug(t)
		u := newUplink(t, catalog.Vendor, 1, nil, false)
		defer u.stop()
		time.Sleep(time.Millisecond) // as in a print: reports come beside the grid
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { s.report(u, done) })
		defer wg.Wait()
		defer close(done)
		at := func() unit.Celsius {
			st := s.now().State()
			h, _ := st.Heater(motion.HotEnd)
			return h.Actual
		}
		for _, target := range []unit.Celsius{70 * unit.Degree, 0} {
			if below == 0 {
				break
			}
			if target > 0 {
				off := 100 * unit.Millimetre // its controller says so in more digits than 0
				err := s.now().Run(t.Context(), func(yield func(motion.Op, error) bool) {
					_ = yield(motion.Op{Kind: motion.Home}, nil) &&
						yield(motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y | motion.Z, To: [3]unit.Length{off, off, off}, Feed: b.Limits.MaxFeed[2]}, nil)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := s.now().SetHeater(t.Context(), motion.HotEnd, target); err != nil {
				t.Fatal(err)
			}
			for target > 0 && at() < 60*unit.Degree || target == 0 && at() >= below {
				time.Sleep(time.Second)
			}
		}
		if got := at(); below > 0 && got < below-2*unit.Degree {
			t.Errorf("the test begins at %v", got)
		}
		s.selfTest(t, u, false)
		time.Sleep(trial)
		synctest.Wait()
		var o outcome
		_, o.msgs = u.transcript(t)
		lines = tests(o)
	})
	return lines
}

// tests are the messages of self-tests, as text.
func tests(o outcome) (lines []string) {
	for _, m := range o.msgs {
		line := ""
		for _, v := range m.Values {
			if v.Item.Class == catalog.ClassTest {
				line += fmt.Sprintf("%s=%d ", v.Item.Name, v.Value)
			}
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// selfTested is P5.
func selfTested(t *testing.T) claim {
	c := claim{name: "P5", what: "a self-test comes to the same, whatever was printed before it: what the vendor decrypts of it is the same, figure by figure, and none is told of a machine that did none"}
	r := rand.New(rand.NewPCG(5, 26))
	seen := map[string]int{}
	figures, none, designs, few := 0, 0, 4, 3
	if !*full {
		designs, few = 2, 2
	}
	for i := range designs {
		o := first // of the first claim, and others
		if i > 0 || first.msgs == nil {
			o = printed(t, drawDesign(r, 9), catalog.Vendor, 1, honest)
		}
		lines := tests(o)
		if len(lines) != 1 {
			t.Errorf("%d messages of one self-test", len(lines))
			continue
		}
		seen[lines[0]]++
		figures = strings.Count(lines[0], "=")
		for _, m := range o.msgs {
			if _, ok := m.Get(catalog.TestResult); !ok {
				none++
			}
		}
	}
	cools := map[string]int{}
	for _, below := range []unit.Celsius{0, 50 * unit.Degree, 47 * unit.Degree} { // what a session lets it run with
		for _, line := range cooled(t, below) {
			cools[line]++
		}
	}
	leaks := map[string]int{}
	for range few {
		for _, line := range tests(printed(t, drawDesign(r, 9), catalog.Vendor, 1, firstHoming)) {
			leaks[line]++
		}
	}
	c.seen = fmt.Sprintf("%d designs, %d different reports of %d figures; %d messages without one; a machine that did not print, cold and cooling at 50 °C and at 47 °C: %d different reports", designs, len(seen), figures, none, len(cools))
	c.control = fmt.Sprintf("with the time of the first homing, which begins where the job ended: %d different reports of %d designs", len(leaks), few)
	c.holds = len(seen) == 1 && len(cools) == 1 && figures == 16 && none > 100 && len(leaks) > 1
	return c
}

// serviced says what profile service gives away: it is measured, and not bounded but for what P1
// forbids.
func serviced(t *testing.T) claim {
	n := 2
	if *full {
		n = 20
	}
	c := claim{name: "P9", what: "profile service is told temperatures each second and hours of heaters' duty, for a day at most, and nothing that P1 forbids; it names parts, by how long they take"}
	r := rand.New(rand.NewPCG(9, 26))
	var first, again []series
	var buckets []int64
	var forbidden []string
	prints := 0
	for i := range n {
		d := drawDesign(r, 9)
		for k, to := range []*[]series{&first, &again} {
			o := printed(t, d, catalog.Service, uint64(100*k+i), withDuty)
			*to = append(*to, seriesOf(o.msgs))
			names, of := inPrint(o)
			forbidden, prints = append(forbidden, names...), prints+of
		}
		buckets = append(buckets, 1)
	}
	all, chance := identified(first, again, buckets)
	only := func(of []series) (out []series) {
		for _, s := range of {
			out = append(out, series{record: s.duties()})
		}
		return out
	}
	duty, _ := identified(only(first), only(again), buckets)
	told := 0
	for _, s := range first {
		told += len(s.duties())
	}
	leaked, _ := inPrint(printed(t, drawDesign(r, 9), catalog.Service, 1, unguarded))
	c.seen = fmt.Sprintf("%d parts, each printed twice: named in %.0f %% by all of it, in %.0f %% by the shares of duty alone, were they told of one job (they are told of four and more, and four hours), by chance %.0f %%; items of P1 in %d messages of prints: %v",
		n, 100*all, 100*duty, 100*chance, prints, forbidden)
	c.control = fmt.Sprintf("an agent that took each print for an idle machine told %d of them in one; %d shares of duty came after the jobs; the shortest and longest grant: %v, %v", len(leaked), told, catalog.Service.MinPeriod(), catalog.Service.MaxLife())
	c.holds = len(forbidden) == 0 && prints >= 2*n*60 && len(leaked) > 0 && all > chance && told > 0 && catalog.Service.MaxLife() == 24*time.Hour
	return c
}

// inPrint are the items that P1 forbids in messages that a print is going on, and how many such
// messages there are.
func inPrint(o outcome) (forbidden []string, of int) {
	for _, m := range o.msgs {
		if state, _ := m.Get(catalog.State); state != catalog.StatePrinting {
			continue
		}
		of++
		for _, v := range m.Values {
			if v.Item.IdleOnly || v.Item.Class == catalog.ClassDuty || v.Item.Class == catalog.ClassTest {
				forbidden = append(forbidden, v.Item.Name)
			}
		}
	}
	return forbidden, of
}

// duties are the shares of heaters' duty that were told.
func (s series) duties() map[catalog.ID]int64 {
	out := map[catalog.ID]int64{}
	for _, vals := range s.values {
		heater := vals[catalog.DutyHeater]
		for i := range catalog.DutyBins {
			if v, ok := vals[catalog.Duty0+catalog.ID(i)]; ok {
				out[catalog.ID(1000*heater)+catalog.ID(i)] = v
			}
		}
	}
	return out
}
