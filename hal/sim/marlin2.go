package sim

import "time"

// marlin2 is Marlin 2.0.9.5 in its default configuration, and the options of Config.
type marlin2 struct {
	*mcu
	parser emergency
	line   lineBuffer
	lastN  int64
	queue  queue
	notice notices
	user   user
	active int        // extruder
	offset [3]float64 // M206
	unload float64    // mm, M603
	load   float64
	bed    levelling
	tuned  *tuning // M303 is under way
}

func newMarlin2(m *mcu) firmware { return &marlin2{mcu: m} }

// restart implements firmware.
func (m *marlin2) restart() {
	m.parser = emergency{}
	m.line.clear()
	m.lastN = 0
	m.queue = queue{}
	m.notice = notices{busyEvery: 2 * time.Second}
	m.user, m.active, m.offset, m.bed = user{}, 0, [3]float64{}, levelling{}
	m.unload, m.load, m.tuned = defaultUnload, 0, nil
}

// run implements firmware: setup and loop.
func (m *marlin2) run() {
	m.boot()
	for m.up() {
		due := m.idle()
		switch {
		case !m.up():
		case m.queue.n > 0:
			m.execute()
		default:
			m.rest(due)
		}
	}
	m.lieDead()
}

// receive implements firmware.
func (m *marlin2) receive(c byte) {
	m.store(c)
	if m.cfg.EmergencyParser {
		m.parser.update(c)
	}
}

// idle implements firmware.
func (m *marlin2) idle() time.Duration {
	m.readSerial()
	if m.up() {
		m.manageHeaters()
	}
	if m.up() {
		m.notice.tick(m)
	}
	return m.notice.next(m)
}

// regulate implements firmware.
func (m *marlin2) regulate() {
	m.therm.pidAndBang()
	if m.tuned != nil {
		m.tuned.h.power = m.tuned.power
	}
}

// kill is what the firmware does when it gives up: heaters off, a last word, and
// interrupts off 0.6 s later, which is when motion stops.
func (m *marlin2) kill(reason string) {
	m.halt(killed)
	m.therm.off()
	m.print("echo:" + reason + "\n")
	m.print("Error:Printer halted. kill() called!\n")
	if m.cfg.HostActions {
		m.print("//action:poweroff\n")
	}
	m.stats.Kills++
	m.flush()
	m.spend(600 * time.Millisecond)
	m.abandon()
}
