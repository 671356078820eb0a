package privacy

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
	"platen/boards"
	"platen/hal"
	"platen/hal/driver"
	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/marlin"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/watch"
	"platen/slicer"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// outcome is what a print was, which no recipient is told, and what one was sent.
type outcome struct {
	seed   uint64
	took   time.Duration
	layers int
	moves  uint64
	text   string
	msgs   []catalog.Message
	frames []frame
	mirror [][]byte
}

// listening is how long a recipient listens from the beginning of a job whose bucket ends
// after so long: until its record has come and everything is cold.
func listening(bucket time.Duration) time.Duration { return bucket + 3*time.Hour + 10*time.Minute }

// trial is how long a self-test takes, with what is told of it: whatever that is, everybody
// listens as long.
const trial = 30 * time.Minute

// quiet is how long the printer idles before the job begins, off the grid of messages and
// of reports.
const quiet = 10*time.Minute + 20*time.Second + 300*time.Millisecond

// leak is what an agent sends besides, or does: for controls, but for withDuty.
type leak int

const (
	honest      leak = iota
	layers           // the number of the layer
	firstHoming      // how long the first homing of a self-test takes
	withDuty         // nothing: the duty of the heaters is counted, and no self-test follows
	unguarded        // all that an idle machine may say, while it prints; no self-test follows
)

// printed prints a design on a simulated printer, has that test itself once all of the job was
// told, and returns what a recipient under profile p was sent meanwhile.
func printed(t *testing.T, d design, p catalog.Profile, seed uint64, leaks leak) (o outcome) {
	t.Helper()
	o.seed = seed
	synctest.Test(t, func(t *testing.T) {
		b, err := boards.Load("sim")
		if err != nil {
			t.Fatal(err)
		}
		job := opened(t, b, d)
		o.layers = job.Info().Layers
		s := &stage{board: b, phase: seam.PhaseIdle}
		sp := s.plug(t)
		var layer func() int64
		if leaks == layers {
			layer = s.layerNow
		}
		u := newUplink(t, p, seed, layer, leaks == unguarded)
		defer u.stop()
		time.Sleep(time.Millisecond) // reports come beside the grid, not at the same moments
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { s.report(u, done) })
		defer wg.Wait()
		defer close(done)

		begin := time.Now()
		time.Sleep(quiet)
		s.run(t, u, job)
		if leaks == withDuty {
			s.tellDuty(u)
		}
		o.took = time.Since(begin) - quiet
		bucket := time.Hour
		for bucket < o.took {
			bucket *= 2
		}
		switch leaks {
		case layers, unguarded: // what leaks has done so already
		case withDuty:
			time.Sleep(5 * time.Minute)
		default:
			rest := listening(bucket)
			if leaks == firstHoming { // of which nothing else is looked at
				rest = bucket
			}
			time.Sleep(time.Until(begin.Add(quiet + rest)))
			s.selfTest(t, u, leaks == firstHoming)
			time.Sleep(time.Until(begin.Add(quiet + rest + trial)))
		}
		synctest.Wait()
		o.moves = sp.Stats().Moves
		o.text, o.msgs = u.transcript(t)
		u.mu.Lock()
		o.frames, o.mirror = u.frames, u.mirror
		u.mu.Unlock()
	})
	return o
}

func opened(t *testing.T, b *boards.Board, d design) *slicer.Job {
	t.Helper()
	v, err := vault.NewPageable(32 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	set := slicer.Default()
	set.Build = slicer.Volume{Max: mesh.Vertex{X: b.Bed.Width, Y: b.Bed.Depth, Z: b.Limits.Max[2]}}
	set.HotEnd, set.FirstHotEnd, set.Bed, set.FirstBed, set.Bare = b.Print.HotEnd, b.Print.FirstHotEnd, b.Print.Bed, b.Print.FirstBed, true
	set.Height, set.FirstHeight = b.Nozzle*7/10, b.Nozzle*7/10
	job, err := slicer.Open(t.Context(), v, bytes.NewReader(d.stl), int64(len(d.stl)), slicer.Detect, set)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// stage is a session's part of a print: a supervised machine, and reports of it.
type stage struct {
	board *boards.Board

	line cable

	mu    sync.Mutex
	m     *watch.Machine
	phase seam.Phase
	layer int32
	duty  [2][seam.DutyBins]int // seconds of bed and hot end, by power
}

// tellDuty tells the shares of the job that has ended as if it had been four long ones: what
// would be told of one job, if nothing held that back.
func (s *stage) tellDuty(u *uplink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := seam.Duty{N: 2}
	for i, id := range []uint8{0, 8} {
		h := seam.HeaterDuty{ID: id, Hours: 3}
		all := 0
		for _, n := range s.duty[i] {
			all += n
		}
		for k, n := range s.duty[i] {
			h.Share[k] = uint8((10*n + all/2) / max(all, 1))
		}
		d.Heaters[i] = h
	}
	for range 4 {
		u.machine.Take(&d)
	}
}

// countDuty counts the power of bed and hot end.
func (s *stage) countDuty(st *hal.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, id := range []hal.HeaterID{motion.Bed, motion.HotEnd} {
		if h, ok := st.Heater(id); ok && h.Target > 0 {
			s.duty[i][(4*int(h.Power)+254)/255]++
		}
	}
}

func (s *stage) layerNow() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.layer)
}

func (s *stage) set(p seam.Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = p
}

// plug powers a simulated printer and opens it.
func (s *stage) plug(t *testing.T) *sim.Printer {
	t.Helper()
	p, err := sim.New(sim.Config{LineTime: 200 * time.Microsecond, Volume: s.board.Limits.Max})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.Serve(ctx, far) // ends with the bubble
	}()
	t.Cleanup(func() { cancel(); <-served })
	s.line = cable{near}
	s.open(t)
	t.Cleanup(func() { s.now().Close() })
	return p
}

// open opens the printer, anew if it was open before: as the next session does.
func (s *stage) open(t *testing.T) {
	t.Helper()
	if m := s.now(); m != nil {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.line.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	opt := driver.Options{}
	m, err := driver.Open(t.Context(), s.line, marlin.New(opt), opt)
	if err != nil {
		t.Fatal(err)
	}
	w := watch.Over(m, s.board.Watch)
	s.mu.Lock()
	s.m = w
	s.mu.Unlock()
}

func (s *stage) now() *watch.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m
}

// cable is a line whose other end needs no reset, and stays when a host lets go of it.
type cable struct{ net.Conn }

// Close ends what the host reads and writes.
func (c cable) Close() error { return c.SetDeadline(time.Unix(1, 0)) }

// run prints the job as a session does.
func (s *stage) run(t *testing.T, u *uplink, job *slicer.Job) {
	t.Helper()
	s.set(seam.PhaseLoading)
	time.Sleep(time.Second)
	s.set(seam.PhasePrinting)
	prog := s.board.Sequence(gcodefile.State{}).Macro(boards.MacroStart).Program(s.count(job.Program(t.Context()))).Macro(boards.MacroEnd).Ops()
	if err := s.now().Run(t.Context(), envelope.Check(s.board.Limits, envelope.Fit(s.board.Limits, prog))); err != nil {
		t.Fatal(err)
	}
	s.set(seam.PhaseDone)
	s.tell(u)
	u.machine.Ended(seam.Receipt{Code: seam.CodeDone, Material: 4})
	s.open(t)
	s.set(seam.PhaseIdle)
}

func (s *stage) count(prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for op, err := range prog {
			if op.Kind == motion.BeginLayer {
				s.mu.Lock()
				s.layer = op.Layer
				s.mu.Unlock()
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

// report reports once a second until done.
func (s *stage) report(u *uplink, done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s.tell(u)
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// tell tells the agent how the machine is.
func (s *stage) tell(u *uplink) {
	s.mu.Lock()
	st := seam.Status{Phase: s.phase, Ambient: seam.NoAmbient}
	s.mu.Unlock()
	now := s.now().State()
	s.countDuty(&now)
	st.Fault, st.NHeaters = uint8(now.Fault), uint8(now.NHeaters)
	for i, h := range now.Heaters[:now.NHeaters] {
		st.Heaters[i] = seam.Heater{ID: uint8(h.ID), Actual: int32(h.Actual), Target: int32(h.Target)}
	}
	u.machine.Set(st)
}
