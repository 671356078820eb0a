package sim

import (
	"time"
)

// Repetier-Firmware 1.0.4 as Configuration.h builds it: EMERGENCY_PARSER,
// ACK_WITH_LINENUMBER, DEBUG_ECHO_ASCII, KILL_METHOD 1.
const (
	repFetch     = 128                      // SERIAL_IN_BUFFER, behind a receive buffer of as many bytes
	repLine      = 96                       // MAX_CMD_SIZE
	repBlocks    = 24                       // PRINTLINE_CACHE_SIZE
	repTick      = 99800 * time.Microsecond // executePeriodical: "every 100 ms", a little less on this clock
	repHalfLine  = 200 * time.Millisecond   // a line that stands still so long is asked for again
	repWait      = time.Second              // WAITING_IDENTIFIER
	repKeepAlive = 2 * time.Second          // KEEP_ALIVE_INTERVAL
	repResendTxt = 14                       // lines skipped after a Resend before the next one
	repResendBin = 30
	repSeen      = 40 // line numbers so far back are taken for repetitions
)

// repetier is Repetier-Firmware. Behind the receive buffer it keeps a second one,
// which it fills whenever it can: a command that cannot wait is acted upon there. One
// command is held at a time, and its ok is said when it is taken, not when it is done
// (gcode.cpp, Commands.cpp).
type repetier struct {
	*mcu
	ahead ring    // prefetchContent has seen it
	early repText // the line that prefetchContent is in
	text  repText // the line that readFromSerial is in
	sent  repText // the line that the host is sending

	taken  bool // a command waits or runs
	cmd    repCommand
	lastN  uint32
	actual uint32        // actLineNumber: the number read last, of whatever line
	binary bool          // the command taken last was binary
	resend int           // waitingForResend; -1 is not
	data   time.Duration // timeOfLastDataPacket
	signal time.Duration // lastBusySignal
	doing  string        // what a busy line says; empty is nothing
	cut    bool          // M108: breakLongCommand

	tick    time.Duration // when executePeriodical is set next
	report  bool          // M155
	lastRep time.Duration
	debug   int // echo 1, info 2, errors 4, dry run 8
	fatal   string
	errors  int // extruderTempErrors
	guards  []repGuard
	defect  bool
	fanSays int
	byHand  bool // the reset that follows is M112's
}

func newRepetier(m *mcu) firmware {
	return &repetier{mcu: m}
}

// restart implements firmware.
func (r *repetier) restart() {
	byHand := r.byHand
	*r = repetier{mcu: r.mcu, ahead: r.ahead, resend: -1, debug: 6, byHand: byHand, tick: r.now + repTick}
	r.ahead.resize(repFetch + 1)
	r.plan.resize(repBlocks)
	r.guards = make([]repGuard, len(r.therm.all))
	for _, h := range r.therm.all {
		h.maxSet = 280 // MAXTEMP
	}
	r.therm.minExt = 150 // MIN_EXTRUDER_TEMP
	l := &r.plan.lim
	l.deviation, l.jerk = 0, [axes]float64{14.79, 14.79, 0.44, 20}
	l.maxFeed = [axes]float64{200, 200, 80, 50}
	l.maxAccel = [axes]float64{1000, 1000, 50, 5000}
	l.accel, l.retract, l.travel = 1000, 5000, 1000
	l.minSegment, l.firstWait = 0, 50*time.Millisecond
}

// run implements firmware: setup and Commands::commandLoop.
func (r *repetier) run() {
	r.boot()
	for r.up() {
		r.doing, r.cut = "", false
		r.readSerial()
		if r.up() && r.taken {
			r.busy = true
			r.execute()
			r.taken, r.busy = false, false
		}
		if !r.up() {
			break
		}
		due := r.periodic()
		if r.up() && r.idleNow() {
			r.midLine = r.text.n > 0 || r.resend >= 0
			r.rest(min(due, r.silence()))
		}
	}
	r.lieDead()
}

// idleNow reports whether there is nothing to do before an interrupt.
func (r *repetier) idleNow() bool { return r.ahead.n == 0 && r.rx.n == 0 }

// silence is when the silence of the host has to be answered.
func (r *repetier) silence() time.Duration {
	if r.resend >= 0 || r.text.n > 0 {
		return r.data + repHalfLine + time.Millisecond
	}
	return r.data + repWait + time.Millisecond
}

// receive implements firmware.
func (r *repetier) receive(c byte) { r.store(c) }

// endsLine tells the faults of the line where a command ends, text or binary.
func (r *repetier) endsLine(c byte) bool {
	if r.sent.n == 0 && c == 0 {
		return false
	}
	line, packet := r.sent.whole(c)
	if line || packet || r.sent.n == repLine {
		r.sent.n = 0
		return true
	}
	return false
}

// idle implements firmware: Commands::checkForPeriodicalActions and GCode::keepAlive.
func (r *repetier) idle() time.Duration {
	due := r.periodic()
	if r.doing == "" || !r.up() {
		return due
	}
	if r.now-r.signal >= repKeepAlive {
		r.print("busy:" + r.doing + "\r\n")
		r.signal = r.now
	}
	return min(due, r.signal+repKeepAlive)
}

// periodic is checkForPeriodicalActions; it returns when the next tick is.
func (r *repetier) periodic() time.Duration {
	r.prefetch()
	for r.up() && r.now >= r.tick {
		r.tick += repTick
		r.manageTemperatures()
	}
	return r.tick
}

// regulate implements firmware.
func (r *repetier) regulate() {
	if r.debug&8 == 0 {
		r.therm.pidAndBang()
	}
}

// boot prints the banner, 10 ms after a reset.
func (r *repetier) boot() {
	r.spend(10 * time.Millisecond)
	r.print("start\r\n")
	if !r.byHand {
		r.print("Info:External Reset\r\n")
	}
	r.byHand = false
	r.print("Detected EEPROM version:20\r\n" +
		"XY jerk was too low, setting to 14.79\r\n" +
		"Z jerk was too low, setting to 0.44\r\n" +
		"Free RAM:2603\r\n" +
		"SD init fail\r\n" +
		"SelectExtruder:0\r\n" +
		"FlowMultiply:100\r\n")
	r.data = r.now - 15*time.Millisecond // its clock began before the banner
}

// emergencyStop is M112 as soon as it has been received: the processor resets
// itself, and with it everything is off.
func (r *repetier) emergencyStop() {
	r.stats.Kills++
	r.byHand = true
	r.therm.off()
	r.halt(resetting)
}
