package sim

import (
	"math/rand/v2"
	"time"

	"platen/hal/unit"
)

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

// stop is why the firmware does not go on.
type stop uint8

const (
	running    stop = iota
	killed          // kill(): dead until the next reset
	hung            // says and does nothing any more, but what drives heaters and motors goes on
	resetting       // restarts
	poweredOff      // the line ended, or Serve was told to end
)

// port is the other side of the controller's serial line and the clock its time is
// held against. Its methods are called by the firmware only.
type port interface {
	// pace holds simulated time back until it may become t. It returns false if
	// something came in first; then t has to be worked out anew.
	pace(m *mcu, t time.Duration) bool
	// write hands bytes to the host.
	write(m *mcu, b []byte)
	// unplug ends the line.
	unplug()
}

// timed is something that is to happen once, at a simulated time.
type timed struct {
	at time.Duration
	do func(*mcu)
}

// mcu is the controller: its clock, its interrupts and the firmware's main loop.
// Everything in it belongs to one goroutine.
type mcu struct {
	cfg     *Config
	rng     *rand.Rand
	now     time.Duration // simulated, from power-on
	port    port
	publish func(Stats)
	stop    stop
	hungry  bool // the main loop has nothing to do but wait for the host
	midLine bool // it has half a line, and does something about it if nothing follows
	haste   int  // under Fastest, how many times faster than real time it waits; 0 is once

	fw       firmware
	busy     bool // a command is being executed
	ownWay   bool // what moves now is the firmware's own doing (probing, parking) and not for the journal
	refusing bool // an error keeps the firmware from moving and heating, though it lives
	byteTime time.Duration
	wire     wire
	rx       ring
	urgent   [256]bool // bytes that the firmware may act on as soon as they arrive

	out       []byte // what the firmware has said and the host has not been given yet
	clean     int    // bytes of out that the faults of the line have been applied to
	gates     []gate // of out
	scratch   []byte
	faultsIn  bool // faults may damage lines to the firmware
	faultsOut bool // and to the host
	scrambled bool
	slips     bool  // the belt of X
	cause     cause // of the last restart

	eeprom *limits // what M500 has stored
	plan   planner
	pose   pose
	therm  thermal
	events []timed // ordered by time
	stats  Stats
	first  time.Duration            // start of the first move, or never
	layers map[unit.Length]struct{} // heights extruded at since the last homing
}

func newMCU(cfg *Config) *mcu {
	m := &mcu{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x706c6174656e)),
		byteTime: 10 * time.Second / time.Duration(cfg.Baud),
		first:    never, layers: map[unit.Length]struct{}{},
	}
	m.therm = newThermal(cfg)
	for i := range m.pose.offset {
		m.pose.offset[i] = cfg.Start[i].MM()
	}
	m.faultsIn, m.faultsOut = cfg.Faults.lines()
	m.suffer()
	m.urgent['\n'] = true
	m.rx.resize(128)
	m.plan.resize(plannerBlocks)
	m.fw = makers[cfg.Firmware].make(m)
	m.restart()
	return m
}

// schedule makes do happen at a simulated time above zero.
func (m *mcu) schedule(at time.Duration, do func(*mcu)) {
	if at <= 0 {
		return
	}
	i := len(m.events)
	for i > 0 && m.events[i-1].at > at {
		i--
	}
	m.events = append(m.events, timed{})
	copy(m.events[i+1:], m.events[i:])
	m.events[i] = timed{at, do}
}

// restart puts everything into the state a reset leaves: what is in memory is gone,
// where the head stands and how warm things are stays.
func (m *mcu) restart() {
	m.abandon()
	m.wire.clear()
	m.rx.clear()
	m.plan.lim, m.plan.flow = defaultLimits(), 1
	m.pose.restart()
	m.plan.setPosition([3]float64{}, 0)
	m.therm.restart(m.now)
	m.busy, m.refusing, m.ownWay, m.stop = false, false, false, running
	m.fw.restart()
}

// run powers the controller from pt until the line ends.
func (m *mcu) run(pt port) {
	m.port = pt
	m.stop = running
	m.restart()
	for m.stop != poweredOff {
		m.fw.run()
		if m.stop == resetting {
			m.cfg.Log.Info("simulated controller restarts", "sim_time", m.now)
			m.stats.Resets++
			m.restart()
		}
	}
	m.abandon()
	m.flush()
}

// rest lets time pass until t, or until something happens. It is for a main loop
// that has nothing to do but wait for the host.
func (m *mcu) rest(t time.Duration) {
	m.flush()
	m.hungry = true
	m.sleep(t)
	m.hungry = false
}

// lieDead waits for a reset, deaf and mute, if the firmware was killed or hangs.
func (m *mcu) lieDead() {
	if m.stop != killed && m.stop != hung {
		return
	}
	m.cfg.Log.Info("simulated controller stopped", "sim_time", m.now)
	for m.stop == killed || m.stop == hung {
		m.rest(m.now + time.Second)
	}
}

// cause is why the controller restarted, as it finds out itself.
type cause uint8

const (
	causeExternal cause = iota // its reset line was pulled
	causeBrownOut
	causeWatchdog
	causeSoftware
)

// restartBy restarts the controller.
func (m *mcu) restartBy(c cause) {
	if m.stop < resetting {
		m.cause = c
	}
	m.halt(resetting)
}

// up reports whether the firmware still runs: what waits has to ask.
func (m *mcu) up() bool { return m.stop == running }

// halt leaves the main loop, for the gravest reason there is.
func (m *mcu) halt(why stop) { m.stop = max(m.stop, why) }

// hold is one turn of what the firmware does while a command waits; then it sleeps
// until something happens, at the latest until t.
func (m *mcu) hold(t time.Duration) {
	due := m.fw.idle()
	if m.stop != running {
		return
	}
	m.flush()
	m.sleep(min(t, due))
}

// sleep lets time pass until an interrupt, at the latest until t.
func (m *mcu) sleep(t time.Duration) {
	t = max(m.now, min(t, m.nextInterrupt()))
	if !m.port.pace(m, t) {
		return
	}
	m.now = t
	m.interrupts()
}

// spend lets the processor be busy for d; interrupts run on.
func (m *mcu) spend(d time.Duration) {
	end := m.now + d
	for m.now < end && m.stop != poweredOff {
		t := max(m.now, min(end, m.nextInterrupt()))
		if !m.port.pace(m, t) {
			continue
		}
		m.now = t
		m.interrupts()
	}
}

func (m *mcu) nextInterrupt() time.Duration {
	t := min(m.wireNext(), m.plan.next(), m.therm.next)
	if len(m.gates) > 0 && m.gates[0].until > m.now { // what it held back goes with the next flush
		t = min(t, m.gates[0].until)
	}
	if len(m.events) > 0 {
		t = min(t, m.events[0].at)
	}
	return t
}

// interrupts runs what is due by now.
func (m *mcu) interrupts() {
	m.receiveWire()
	for m.plan.next() <= m.now {
		if !m.plan.running {
			m.plan.start(m.plan.first)
			continue
		}
		m.drove(m.plan.finish(), false)
	}
	for m.therm.next <= m.now {
		m.therm.tick(m.rng)
		if m.stop != hung {
			m.fw.regulate()
		}
	}
	for len(m.events) > 0 && m.events[0].at <= m.now {
		do := m.events[0].do
		m.events = m.events[1:]
		do(m)
	}
}

// abandon stops the motors where they are.
func (m *mcu) abandon() {
	if m.plan.active() { // the head does not get to where it was going
		at := m.plan.stepsAt(m.now)
		for i := range m.pose.at {
			m.pose.at[i] = float64(at[i]) / m.plan.lim.stepsPerMM[i]
		}
	}
	if b, ran := m.plan.cut(m.now); ran {
		m.drove(b, true)
	}
}

// drove enters a block that ended into the journal.
func (m *mcu) drove(b block, cut bool) {
	if m.ownWay {
		return
	}
	s := &m.stats
	if b.part && !cut {
		return // the whole move is entered with its last part
	}
	if b.rest {
		b.from, b.fromE = b.origin, b.originE
	}
	if cut {
		s.Cuts++
	} else {
		s.Moves++
	}
	s.Filament += int64(float64(b.steps[axE]) * 1000 / m.plan.lim.stepsPerMM[axE])
	m.first = min(m.first, b.start)
	s.PrintTime = b.end - m.first
	mv := Move{E: length(b.toE - b.fromE), Start: b.start, End: b.end, Line: b.line, Cut: cut}
	mv.Feed = unit.Speed(b.nominal * float64(unit.MillimetrePerSecond))
	for i := range b.to {
		mv.From[i], mv.To[i], mv.Zero[i] = length(b.from[i]), length(b.to[i]), length(m.pose.offset[i])
	}
	s.Z = mv.To[axZ]
	if _, seen := m.layers[s.Z]; b.extrudesAll && !seen {
		m.layers[s.Z] = struct{}{}
		s.Layers++
	}
	if m.cfg.OnMove != nil {
		m.cfg.OnMove(mv)
	}
}

func length(mm float64) unit.Length {
	l, err := unit.FromMM(mm)
	if err != nil { // farther than any axis reaches: as far as the type does
		return unit.Length(1<<31 - 1)
	}
	return l
}

func (m *mcu) snapshot() Stats {
	s := m.stats
	s.SimTime = m.now
	s.Hotend, s.HotendSet = celsius(m.therm.hotend().temp), celsius(m.therm.hotend().target)
	s.Bed, s.BedSet = celsius(m.therm.bed().temp), celsius(m.therm.bed().target)
	s.Fan = m.therm.fan
	s.Moving = m.plan.active() || m.busy
	s.Killed, s.Hung = m.stop == killed || m.refusing, m.stop == hung
	s.FanSpeed = int(m.therm.rpm)
	return s
}

func celsius(deg float64) unit.Celsius {
	c, err := unit.FromDegrees(deg)
	if err != nil {
		return 0
	}
	return c
}

// print sends text to the host; the processor waits for every byte of it.
func (m *mcu) print(s string) {
	m.say(s)
	m.spend(time.Duration(len(s)) * m.byteTime)
}

// say sends text to the host that a buffer takes up at once.
func (m *mcu) say(s string) {
	if m.stop == hung {
		return
	}
	m.out = append(m.out, s...)
	if m.faultsOut {
		m.spoilOut()
	}
}

// flush hands what was printed to the host, after what it tells has been published.
func (m *mcu) flush() {
	if m.publish != nil {
		m.publish(m.snapshot())
	}
	n := m.free()
	if n == 0 {
		return
	}
	if m.scrambled {
		m.scramble(m.out[:n])
	}
	m.port.write(m, m.out[:n])
	m.out = m.out[:copy(m.out, m.out[n:])]
	m.clean = max(0, m.clean-n)
	for i := range m.gates {
		m.gates[i].at -= n
	}
}
