package telemetry

import (
	"context"
	"sync"
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
)

// maxAge is how old a session's last status may be and still be reported.
const maxAge = 15 * time.Second

// Machine is the [Source] of what the session says of its machine. The zero
// Machine has nothing to say.
type Machine struct {
	mu     sync.Mutex
	st     seam.Status
	at     time.Time
	heat   heat
	alien  bool // the controller was flashed by somebody else
	jobs   *Jobs
	urgent chan struct{}
}

// NewMachine makes a Machine.
func NewMachine() *Machine { return &Machine{urgent: make(chan struct{}, 1)} }

// Follow has j told of what the machine does from now on.
func (m *Machine) Follow(j *Jobs) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs = j
}

// Set takes the session's last status. A new fault is urgent, and so is what the
// supervision finds if it is as grave.
func (m *Machine) Set(st seam.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	was, _ := alert(m.st, m.alien)
	is, severity := alert(st, m.alien)
	if st.Fault != 0 && st.Fault != m.st.Fault || is != was && severity == severityFault {
		m.wake()
	}
	m.st, m.at = st, now
	m.heat.watch(st, now)
	if m.jobs != nil {
		m.jobs.Observe(st, now)
	}
}

// Controller takes whether the controller was flashed by somebody else, which is urgent.
func (m *Machine) Controller(changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if changed && !m.alien {
		m.wake()
	}
	m.alien = changed
}

// wake says that a fault should leave before its slot comes. The lock is held.
func (m *Machine) wake() {
	select {
	case m.urgent <- struct{}{}:
	default: // one is on its way already
	}
}

// Ended takes a receipt of the session.
func (m *Machine) Ended(r seam.Receipt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.jobs != nil {
		m.jobs.Ended(r, time.Now())
	}
}

// Take takes the figures of a self-test, a *[seam.Tested], or the duty of the heaters in a job
// that ends, a *[seam.Duty].
func (m *Machine) Take(data seam.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.jobs == nil {
		return
	}
	switch d := data.(type) {
	case *seam.Tested:
		m.jobs.Tested(*d)
	case *seam.Duty:
		m.jobs.Duty(*d, time.Now())
	}
}

// TestEnded takes the receipt of a self-test.
func (m *Machine) TestEnded(r seam.Receipt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.jobs != nil {
		m.jobs.TestEnded(r, time.Now())
	}
}

// Digests takes what recipients are told of the file of the job that is about to begin.
func (m *Machine) Digests(d map[string]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.jobs != nil {
		m.jobs.Digests(d)
	}
}

// Urgent signals that a fault should leave before its slot comes.
func (m *Machine) Urgent() <-chan struct{} { return m.urgent }

// Loaded reports whether a job is, or may be, loaded. A session that still opens its
// controller does not know: an earlier one, whose agent died, may be printing.
func (m *Machine) Loaded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() || time.Since(m.at) > maxAge {
		return true // not known
	}
	switch m.st.Phase {
	case seam.PhaseIdle, seam.PhaseDone, seam.PhaseTesting:
		return false
	}
	return true
}

// AppendSamples appends the machine data of the last status, nothing if it is old.
func (m *Machine) AppendSamples(_ context.Context, dst []catalog.Sample) ([]catalog.Sample, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() || time.Since(m.at) > maxAge {
		return dst, nil
	}
	dst = add(dst, catalog.State, state(m.st.Phase))
	dst = add(dst, catalog.Fault, int64(m.st.Fault))
	if m.st.Phase == seam.PhasePrinting || m.st.Phase == seam.PhasePaused || m.st.Phase == seam.PhaseDone {
		dst = add(dst, catalog.Progress, int64(m.st.Progress))
	}
	for _, h := range m.st.Heaters[:m.st.NHeaters] {
		if id, ok := heaterItem(h.ID); ok {
			dst = add(dst, id, int64(h.Actual))
		}
	}
	dst = add(dst, catalog.HeatInBand, m.heat.code(m.st, m.at))
	code, severity := alert(m.st, m.alien)
	dst = add(dst, catalog.Alert, code)
	dst = add(dst, catalog.Severity, severity)
	dst = add(dst, catalog.SensorsMissing, int64(m.st.Missing))
	dst = add(dst, catalog.Filament, int64(m.st.Filament))
	dst = add(dst, catalog.Door, int64(m.st.Door))
	if m.st.Ambient != seam.NoAmbient {
		dst = add(dst, catalog.AmbientTemp, int64(m.st.Ambient))
	}
	dst = add(dst, catalog.LinkResends, int64(m.st.Resends))
	return add(dst, catalog.LinkErrors, int64(m.st.LinkErrs)), nil
}

// state is the catalogue's code. A self-test is no job, and no state of its own.
func state(p seam.Phase) int64 {
	if p == seam.PhaseTesting {
		p = seam.PhaseIdle
	}
	return int64(p)
}

// heaterItem is the item of a heater by its number in the motion package: 0 the
// bed, 1 the chamber, 8 and up the hot ends.
func heaterItem(id uint8) (catalog.ID, bool) {
	switch {
	case id == 0:
		return catalog.BedTemp, true
	case id == 1:
		return catalog.ChamberTemp, true
	case id >= 8 && id < 8+catalog.MaxHotEnds:
		return catalog.HotEnd0 + catalog.ID(id-8), true
	}
	return 0, false
}

// add appends a sample if the catalogue takes it.
func add(dst []catalog.Sample, id catalog.ID, v int64) []catalog.Sample {
	if s, ok := catalog.Of(id, v); ok {
		dst = append(dst, s)
	}
	return dst
}

// Agent is the [Source] of what the agent knows of itself.
type Agent struct {
	Release uint64
	Boot    uint64 // the TPM's count
	Started time.Time
	Failed  func() int64 // the code of catalog.UpdateFailed; nil: not known
}

// AppendSamples appends the agent's own data.
func (a Agent) AppendSamples(_ context.Context, dst []catalog.Sample) ([]catalog.Sample, error) {
	dst = add(dst, catalog.AgentRelease, int64(a.Release))
	dst = add(dst, catalog.AgentBoot, int64(a.Boot))
	dst = add(dst, catalog.AgentUptime, int64(time.Since(a.Started)/time.Second))
	if a.Failed != nil {
		dst = add(dst, catalog.UpdateFailed, a.Failed())
	}
	return dst, nil
}
