package watch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Config is how a machine is supervised. The zero Config has the default tuning, no
// sensors of the box, and no bound on hot idling.
type Config struct {
	// HotEnd, Bed and Chamber say how heaters are judged.
	HotEnd, Bed, Chamber Tuning
	// Stale is how long reports may be missing while a heater is on; 0 takes 10 s of a
	// controller that reports by itself, 2 min of one that is asked between moves.
	Stale time.Duration
	// HotIdle is how long heaters may be on while nothing runs or the program is held;
	// they are switched off then, and on again before the program goes on. 0 is for ever.
	HotIdle time.Duration
	// Fans, at most MaxFans of them, Door and Filament say what is done with what the
	// box tells.
	Fans           []Fan
	Door, Filament Action

	// Box tells what the sensors of the box say; it must not wait. May be nil.
	Box func() Box
	// Acted is told of every trip and what was done, from the supervisor's goroutine:
	// for Pause, the caller has to hold its program. It must not wait. May be nil.
	Acted func(Reason, Action)

	Logger *slog.Logger // nil logs nothing
}

// tuning is that of heater id.
func (c *Config) tuning(id motion.Heater) Tuning {
	t := c.HotEnd
	switch id {
	case motion.Bed:
		t = c.Bed
	case motion.Chamber:
		t = c.Chamber
	}
	return t.with(DefaultTuning(id))
}

// period is how often the state is looked at.
const period = 250 * time.Millisecond

// Defaults of Config.Stale.
const (
	capAutoReport = "AUTOREPORT_TEMP"
	staleAuto     = 10 * time.Second
	staleAsked    = 2 * time.Minute
)

// Machine is a machine under supervision. It implements hal.Machine.
type Machine struct {
	under hal.Machine
	cfg   Config
	log   *slog.Logger
	began time.Time
	beat  atomic.Uint32
	quit  chan struct{}
	wg    sync.WaitGroup
	once  sync.Once
	close error

	cooled atomic.Bool // hot idle has switched the heaters off

	mu    sync.Mutex
	judge judge
	doing doing
	trip  Reason
	warm  [hal.MaxHeaters]unit.Celsius // what they had
}

// Over puts a supervisor over m and takes m over: it is closed by Close. What m has of
// targets at that moment must be zero, as it is after a driver's Open.
func Over(m hal.Machine, cfg Config) *Machine {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Stale == 0 {
		cfg.Stale = staleAsked
		if info := m.Info(); info.Has(capAutoReport) {
			cfg.Stale = staleAuto
		}
	}
	cfg.Fans = cfg.Fans[:min(len(cfg.Fans), MaxFans)]
	w := &Machine{under: m, cfg: cfg, log: cfg.Logger, began: time.Now(), quit: make(chan struct{})}
	w.judge.cfg = &w.cfg
	w.wg.Go(w.loop)
	return w
}

// loop looks at the machine until Close.
func (w *Machine) loop() {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
			w.look()
			w.beat.Add(1)
		}
	}
}

// look is one round.
func (w *Machine) look() {
	st := w.under.State()
	var box Box
	if w.cfg.Box != nil {
		box = w.cfg.Box()
	}
	if st.Phase == hal.PhaseHalted || st.Phase == hal.PhaseLost {
		return // it has its safe state, or nobody is there
	}
	w.mu.Lock()
	reason, action := None, Ignore
	if w.trip == None {
		reason, action = w.judge.look(time.Since(w.began), &st, &box, w.doing)
	}
	if action == Halt {
		w.trip = reason
	}
	w.mu.Unlock()
	if reason == None {
		return
	}
	w.log.Warn("supervision acts", "reason", reason.String(), "action", action.String())
	switch {
	case action == Halt:
		if err := w.under.Halt(reason.String()); err != nil {
			w.log.Error("the machine did not take the halt: switch it off", "reason", reason.String())
		}
	case reason == HotIdle:
		w.cool()
	}
	if w.cfg.Acted != nil {
		w.cfg.Acted(reason, action)
	}
}

// coolTime bounds how long switching one heater off may take.
const coolTime = 5 * time.Second

// cool switches all heaters off and remembers what they had.
func (w *Machine) cool() {
	w.mu.Lock()
	n := w.judge.n
	ids := w.judge.ids
	for i := range n {
		w.warm[i] = w.judge.wanted[i].newest()
	}
	w.mu.Unlock()
	w.cooled.Store(true)
	for _, id := range ids[:n] {
		ctx, cancel := context.WithTimeout(context.Background(), coolTime)
		err := w.SetHeater(ctx, id, 0)
		cancel()
		w.beat.Add(1)
		if err != nil && !errors.Is(err, hal.ErrEnvelope) {
			w.log.Error("a heater was not switched off: halting")
			if err := w.under.Halt(HotIdle.String()); err != nil {
				w.log.Error("the machine did not take the halt: switch it off", "reason", HotIdle.String())
			}
			return
		}
	}
}

// Beat counts rounds of the supervisor, four a second: whoever supervises the process
// sees by it that the machine is being looked at.
func (w *Machine) Beat() uint32 { return w.beat.Load() }

// Tripped is why the supervisor stopped the machine, None if it did not.
func (w *Machine) Tripped() Reason {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trip
}

// Hold tells that the program that runs is paused, or goes on. Heaters that firmware has
// switched off by itself meanwhile (Marlin's HOTEND_IDLE_TIMEOUT, Prusa's safety timer)
// are heated again then.
func (w *Machine) Hold(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doing.held = on
	if on || w.cooled.Load() {
		return
	}
	for i := range w.judge.n {
		w.warm[i] = w.judge.wanted[i].newest()
		if w.judge.heaters[i].known && w.judge.heaters[i].target < w.warm[i]-rounding {
			w.cooled.Store(true)
		}
	}
}

// Info is that of the machine.
func (w *Machine) Info() hal.Info { return w.under.Info() }

// State is that of the machine, with the fault of a trip in place of the machine's own.
func (w *Machine) State() hal.State {
	st := w.under.State()
	if r := w.Tripped(); r != None && st.Phase != hal.PhaseLost {
		st.Phase, st.Fault = hal.PhaseHalted, r.Fault()
	}
	return st
}

// Run runs prog under supervision; see hal.Motion.
func (w *Machine) Run(ctx context.Context, prog motion.Program) error {
	if err := w.cause(); err != nil {
		return err
	}
	w.mu.Lock()
	w.doing = doing{running: true}
	w.mu.Unlock()
	err := w.under.Run(ctx, w.note(prog))
	w.mu.Lock()
	w.doing = doing{}
	if err == nil {
		for _, id := range w.judge.ids[:w.judge.n] {
			w.judge.taken(id)
		}
	}
	w.mu.Unlock()
	if err != nil {
		if cause := w.cause(); cause != nil {
			return cause
		}
	}
	return err
}

// cause is the error of a trip.
func (w *Machine) cause() error {
	if r := w.Tripped(); r != None {
		return &hal.FaultError{Fault: r.Fault()}
	}
	return nil
}

// note passes prog on and notes what it asks of heaters and fans. Before a program
// goes on whose heaters were switched off meanwhile, they are heated again.
func (w *Machine) note(prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for op, err := range prog {
			if err == nil && !w.reheat(yield) {
				return
			}
			w.noteOp(op)
			if !yield(op, err) {
				return
			}
		}
	}
}

// reheat has the heaters that hot idling switched off heated again.
func (w *Machine) reheat(yield func(motion.Op, error) bool) bool {
	if !w.cooled.Load() {
		return true
	}
	w.cooled.Store(false)
	w.mu.Lock()
	n, ids, warm := w.judge.n, w.judge.ids, w.warm
	w.mu.Unlock()
	for _, kind := range [...]motion.Kind{motion.SetHeater, motion.WaitHeater} { // all at once, then one after the other
		for i := range n {
			if warm[i] <= 0 {
				continue
			}
			op := motion.Op{Kind: kind, Heater: ids[i], Temp: warm[i]}
			w.noteOp(op)
			if !yield(op, nil) {
				return false
			}
		}
	}
	return true
}

func (w *Machine) noteOp(op motion.Op) {
	switch op.Kind {
	case motion.SetHeater, motion.WaitHeater:
		w.mu.Lock()
		w.judge.ask(op.Heater, op.Temp)
		w.mu.Unlock()
	case motion.SetFan:
		w.mu.Lock()
		w.judge.setFan(op.Index, op.Fan)
		w.mu.Unlock()
	}
}

// SetHeater sets a target under supervision; see hal.Thermal.
func (w *Machine) SetHeater(ctx context.Context, id hal.HeaterID, t unit.Celsius) error {
	if err := w.cause(); err != nil {
		return err
	}
	w.mu.Lock()
	w.judge.ask(id, t)
	w.mu.Unlock()
	err := w.under.SetHeater(ctx, id, t)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.judge.taken(id)
	case errors.Is(err, hal.ErrEnvelope): // nothing was sent
		w.judge.refused(id)
	}
	return err
}

// Halt stops the machine; see hal.Machine.
func (w *Machine) Halt(reason string) error { return w.under.Halt(reason) }

// Close ends the supervisor and closes the machine.
func (w *Machine) Close() error {
	w.once.Do(func() {
		close(w.quit)
		w.wg.Wait()
		w.close = w.under.Close()
	})
	return w.close
}
