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

// quiet is how long the printer idles before the job begins, off the grid of messages and
// of reports.
const quiet = 10*time.Minute + 20*time.Second + 300*time.Millisecond

// printed prints a design on a simulated printer and returns what a recipient under
// profile p was sent meanwhile. With leak, the number of the layer is sent as well.
func printed(t *testing.T, d design, p catalog.Profile, seed uint64, leak bool) (o outcome) {
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
		m, sp := s.plug(t)
		var layer func() int64
		if leak {
			layer = s.layerNow
		}
		u := newUplink(t, p, seed, layer)
		defer u.stop()
		time.Sleep(time.Millisecond) // reports come beside the grid, not at the same moments
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { s.report(m, u, done) })
		defer wg.Wait()
		defer close(done)

		begin := time.Now()
		time.Sleep(quiet)
		s.run(t, m, u, job)
		o.took = time.Since(begin) - quiet
		bucket := time.Hour
		for bucket < o.took {
			bucket *= 2
		}
		if !leak { // what leaks has done so already
			time.Sleep(time.Until(begin.Add(quiet + listening(bucket))))
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

	mu    sync.Mutex
	phase seam.Phase
	layer int32
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
func (s *stage) plug(t *testing.T) (*watch.Machine, *sim.Printer) {
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
	opt := driver.Options{}
	m, err := driver.Open(t.Context(), cable{near}, marlin.New(opt), opt)
	if err != nil {
		t.Fatal(err)
	}
	w := watch.Over(m, s.board.Watch)
	t.Cleanup(func() { w.Close() })
	return w, p
}

// cable is a line whose other end needs no reset.
type cable struct{ net.Conn }

// run prints the job as a session does.
func (s *stage) run(t *testing.T, m hal.Machine, u *uplink, job *slicer.Job) {
	t.Helper()
	s.set(seam.PhaseLoading)
	time.Sleep(time.Second)
	s.set(seam.PhasePrinting)
	prog := s.board.Sequence(gcodefile.State{}).Macro(boards.MacroStart).Program(s.count(job.Program(t.Context()))).Macro(boards.MacroEnd).Ops()
	if err := m.Run(t.Context(), envelope.Check(s.board.Limits, envelope.Fit(s.board.Limits, prog))); err != nil {
		t.Fatal(err)
	}
	s.set(seam.PhaseDone)
	s.tell(m, u)
	u.machine.Ended(seam.Receipt{Code: seam.CodeDone, Material: 4})
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
func (s *stage) report(m hal.Machine, u *uplink, done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s.tell(m, u)
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// tell tells the agent how the machine is.
func (s *stage) tell(m hal.Machine, u *uplink) {
	s.mu.Lock()
	st := seam.Status{Phase: s.phase, Ambient: seam.NoAmbient}
	s.mu.Unlock()
	now := m.State()
	st.Fault, st.NHeaters = uint8(now.Fault), uint8(now.NHeaters)
	for i, h := range now.Heaters[:now.NHeaters] {
		st.Heaters[i] = seam.Heater{ID: uint8(h.ID), Actual: int32(h.Actual), Target: int32(h.Target)}
	}
	u.machine.Set(st)
}
