package sim

import (
	"time"
)

// RepRapFirmware 3.5 on a Duet 3 6HC, as its USB port has it (Marlin compatible mode is
// the default there). There are no recordings of it; what it says and does was read in
// its source, in the files named.
const (
	rrfLine    = 256             // MaxGCodeLength
	rrfBuffer  = 2048            // USB does not lose bytes; what does not fit waits with the host
	rrfMoves   = 40              // moves in the main queue of a 6HC
	rrfReport  = 2 * time.Second // UnsolicitedStatusReportInterval
	rrfSample  = 250 * time.Millisecond
	rrfExtrude = 160.0 // HOT_ENOUGH_TO_EXTRUDE
	rrfRetract = 90.0  // HOT_ENOUGH_TO_RETRACT
	rrfWarn    = time.Second
	rrfHaste   = 100
)

// reprap is RepRapFirmware. It reads one line at a time, and no other until that is
// done: a move waits there for room in the queue, and M112 waits behind it. Only
// reports of temperatures come meanwhile (GCodes.cpp: StartNextGCode, CheckReportDue).
type reprap struct {
	*mcu
	text  rrfText
	lineN int64 // number of the line that is executed, or -1

	executing bool
	reports   bool // the last status that was asked for was M105's
	reportAt  time.Duration
	checks    int  // M575 S: 1 a checksum is needed, 4 a CRC
	halted    bool // after an emergency stop until M999
	cancel    bool // M108, or a fault that ends waiting
	tool      int  // -1 is none
	sampleAt  time.Duration
	warnedAt  time.Duration
	cold      bool // filament was held back; the warning is due
	guards    []rrfGuard
}

func newRepRap(m *mcu) firmware { return &reprap{mcu: m} }

// restart implements firmware. What config.g would set up is set up: one tool for each
// hot end, the first of them selected.
func (r *reprap) restart() {
	*r = reprap{mcu: r.mcu, sampleAt: r.now + rrfSample}
	if r.cfg.Checked {
		r.checks = 4
	}
	r.rx.resize(rrfBuffer)
	r.plan.resize(rrfMoves + 1)
	r.refusing = false
	r.guards = make([]rrfGuard, len(r.therm.all))
	r.therm.minExt = rrfExtrude
	l := &r.plan.lim
	l.deviation, l.jerk = 0, [axes]float64{15, 15, 1, 20}
	l.maxFeed = [axes]float64{300, 300, 20, 60}
	l.maxAccel = [axes]float64{3000, 3000, 100, 10000}
	l.accel, l.retract, l.travel = 10000, 10000, 10000 // M204 as it begins: the axes limit it
	l.minSegment, l.firstWait = 0, 10*time.Millisecond
	r.pose.feed = 50
}

// run implements firmware: RepRap::Init and RepRap::Spin.
func (r *reprap) run() {
	r.spend(50 * time.Millisecond)
	r.print("RepRapFirmware for Duet 3 MB6HC is up and running.\n")
	for r.up() {
		line, ok := r.nextLine()
		if ok {
			r.busy, r.executing = true, true
			r.execute(line)
			r.busy, r.executing = false, false
			continue
		}
		if due := r.idle(); r.up() {
			r.haste = 1
			if r.heating() && !r.plan.active() {
				r.haste = rrfHaste // hosts wait for heat by asking
			}
			r.rest(due)
		}
	}
	r.lieDead()
}

// receive implements firmware.
func (r *reprap) receive(c byte) { r.store(c) }

// regulate implements firmware.
func (r *reprap) regulate() {
	if r.halted {
		for _, h := range r.therm.all {
			h.power = 0
		}
		return
	}
	r.therm.pidAndBang()
}

// idle implements firmware: Heat::Task, and GCodes::CheckReportDue while a command
// waits.
func (r *reprap) idle() time.Duration {
	for r.up() && r.now >= r.sampleAt {
		r.sampleAt += rrfSample
		r.sample()
	}
	if r.cold && r.now >= r.warnedAt+rrfWarn {
		r.cold, r.warnedAt = false, r.now
		r.print("Warning: Tool 0 was not driven because its heater temperatures were not high enough or it has a heater fault\n")
	}
	due := r.sampleAt
	if r.executing && r.reports && !r.cfg.Checked { // they go to USB
		if r.now >= r.reportAt+rrfReport {
			r.reportAt = r.now
			r.print(r.temperatures() + "\n")
		}
		due = min(due, r.reportAt+rrfReport)
	}
	return due
}

// emergencyStop is GCodes::DoEmergencyStop: motors and heaters off, and nothing but
// questions and M999 are taken from then on.
func (r *reprap) emergencyStop() {
	r.halted, r.refusing, r.cancel = true, true, true
	for _, h := range r.therm.all {
		h.set(0, r.now)
		h.power = 0
	}
	r.abandon()
	r.pose.at, r.pose.e = r.plan.posMM, r.plan.posE
	r.stats.Kills++
	r.print("Emergency Stop! Reset the controller to continue.\n")
}
