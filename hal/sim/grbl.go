package sim

import (
	"strconv"
	"time"
)

// grbl 1.1h as config.h builds it for an Arduino Uno, and grblHAL, which is the same
// to a host but for bigger buffers, more settings, and that it takes no G-code behind
// a refused line until an empty one comes.
const (
	grblBlocks    = 16  // BLOCK_BUFFER_SIZE; one is always left free
	grblRX        = 128 // RX_BUFFER_SIZE
	grblLine      = 80  // LINE_BUFFER_SIZE
	grblHALBlocks = 101
	grblHALRX     = 1024
	grblHALLine   = 257
	grblBoot      = 25 * time.Millisecond
	grblAlarmWait = 500 * time.Millisecond // report_alarm_message lets the message out
	grblSpare     = 2                      // blocks beyond the ring, for a move that a hold divides
)

// grblState is sys.state.
type grblState uint8

const (
	grblIdle grblState = iota
	grblRun
	grblHold
	grblJog
	grblAlarm
	grblCheck
	grblHome
	grblSleep
)

var grblStates = [...]string{"Idle", "Run", "Hold:", "Jog", "Alarm", "Check", "Home", "Sleep"}

// grblWishes are what real-time bytes have asked for (sys_rt_exec_state).
type grblWishes struct {
	reset, status, hold, start, cancel, sleep bool
	overrides                                 []byte
}

// grbl is the firmware. Its planner works in distances from the low corner of the
// volume, as the journal has them; what grbl calls machine position is that less the
// travel.
type grbl struct {
	*mcu
	hal bool

	settings []grblSetting
	state    grblState
	wish     grblWishes
	alarm    int // what protocol_execute_realtime has to report
	limit    bool
	stopping bool // a hold is under way
	canceled bool // it ends a jog

	text     []byte // the line that is read
	overflow bool
	comment  byte

	gc       grblModes
	failed   int // grblHAL: the error that keeps it from taking G-code
	wcoIn    int // status reports until one has the work offset
	ovrIn    int
	feedOvr  int
	rapidOvr int
	startup  [2]string
	powered  bool // has run since power-on or reset
	heard    bool // has run before
}

func newGRBL(m *mcu) firmware { return newGRBLOf(m, false) }

func newGRBLHAL(m *mcu) firmware { return newGRBLOf(m, true) }

// newGRBLOf makes a grbl. Its settings and coordinate systems are in EEPROM and
// outlive resets.
func newGRBLOf(m *mcu, hal bool) firmware {
	g := &grbl{mcu: m, hal: hal, settings: grblSettings(m.cfg, hal)}
	for _, c := range []byte("?!~\r\x18") {
		m.urgent[c] = true
	}
	for c := 0x80; c <= 0xff; c++ {
		m.urgent[c] = true
	}
	return g
}

func (g *grbl) blocks() int {
	if g.hal {
		return grblHALBlocks
	}
	return grblBlocks
}

// restart implements firmware: a hardware reset.
func (g *grbl) restart() {
	if g.hal {
		g.rx.resize(grblHALRX)
	} else {
		g.rx.resize(grblRX + 1)
	}
	g.plan.resize(g.blocks() + grblSpare)
	g.limits()
	// The steps are counted from where it stands now, which is called 0.
	g.plan.setPosition(g.travel(), 0)
	g.state = grblIdle
	if g.on(22) { // HOMING_INIT_LOCK
		g.state = grblAlarm
	}
	g.wish, g.alarm, g.limit, g.powered = grblWishes{}, 0, false, false
	g.text = g.text[:0]
}

// limits hands the settings to the planner.
func (g *grbl) limits() {
	lim := &g.plan.lim
	*lim = limits{deviation: g.setting(11), firstWait: never, minSteps: 1, accel: 1e9, retract: 1e9, travel: 1e9}
	lim.stepsPerMM[axE], lim.maxFeed[axE], lim.maxAccel[axE] = 1, 1, 1
	for i := range 3 {
		lim.stepsPerMM[i] = g.setting(100 + i)
		lim.maxFeed[i] = g.setting(110+i) / 60
		lim.maxAccel[i] = g.setting(120 + i)
	}
}

// travel is how far each axis reaches.
func (g *grbl) travel() (t [3]float64) {
	for i := range t {
		t[i] = g.setting(130 + i)
	}
	return t
}

// run implements firmware: main.c.
func (g *grbl) run() {
	if !g.powered {
		g.spend(grblBoot)
		g.powered = true
		if g.hal && !g.heard { // what it says before the port is open is lost
			g.heard = true
			g.begin()
			g.loop()
		}
	}
	for g.up() {
		g.begin()
		g.print("\r\n" + g.banner() + "\r\n")
		g.loop()
	}
	if g.stop == killed || g.stop == hung {
		g.lieDead()
	}
}

func (g *grbl) banner() string {
	if g.hal {
		return "GrblHAL 1.1f ['$' or '$HELP' for help]"
	}
	return "Grbl 1.1h ['$' for help]"
}

// begin is what main.c does before the banner, at power-on and after a soft reset.
func (g *grbl) begin() {
	at := g.place()
	g.drop()
	g.plan.setPosition(at, 0)
	g.wish, g.alarm, g.limit = grblWishes{}, 0, false
	g.stopping, g.canceled = false, false
	g.rx.clear()
	g.text, g.overflow, g.comment = g.text[:0], false, 0
	g.gc.reset()
	g.syncPosition()
	g.wcoIn, g.ovrIn, g.failed = 0, 0, 0
	if g.hal {
		g.wcoIn = 1
	}
	g.feedOvr, g.rapidOvr = 100, 100
	if g.state != grblAlarm && g.state != grblSleep {
		g.state = grblIdle
	} else {
		g.state = grblAlarm
	}
}

// loop is protocol_main_loop: it returns when the firmware is to begin anew.
func (g *grbl) loop() {
	if g.state == grblAlarm {
		g.print("[MSG:'$H'|'$X' to unlock]\r\n")
	} else {
		g.runStartup()
	}
	for g.up() && !g.wish.reset {
		for g.rx.n > 0 && g.up() && !g.wish.reset {
			g.character(g.rx.get())
		}
		g.autoStart()
		g.realtime()
		if g.up() && !g.wish.reset && g.rx.n == 0 {
			g.rest(never)
			g.realtime()
		}
	}
}

// character takes one character of a line.
func (g *grbl) character(c byte) {
	most := grblLine
	if g.hal {
		most = grblHALLine
	}
	switch {
	case c == '\n' || c == '\r':
		g.realtime()
		if g.wish.reset || !g.up() {
			return
		}
		g.answer(g.line(string(g.text)))
		g.text, g.overflow, g.comment = g.text[:0], false, 0
	case g.comment != 0 || g.overflow:
		if c == ')' && g.comment == '(' {
			g.comment = 0
			if g.hal {
				g.text = append(g.text, ' ')
			}
		}
	case c <= ' ' || c == '/':
	case c == '(' || c == ';':
		g.comment = c
		if g.hal && c == ';' {
			g.text = append(g.text, ' ') // it is not empty
		}
	case len(g.text) >= most-1:
		g.overflow = true
	case c >= 'a' && c <= 'z':
		g.text = append(g.text, c-'a'+'A')
	default:
		g.text = append(g.text, c)
	}
}

// line executes a line and returns its status.
func (g *grbl) line(s string) int {
	g.stats.Lines++
	g.spend(g.cfg.LineTime / 6)
	if g.hal {
		return g.lineHAL(s)
	}
	switch {
	case g.overflow:
		return 11
	case s == "":
		return 0
	case s[0] == '$':
		return g.system(s)
	case g.state == grblAlarm || g.state == grblJog:
		return 9
	}
	return g.block(s, false)
}

// lineHAL is line as grblHAL has it: an error keeps G-code from being executed until
// an empty line or a system command.
func (g *grbl) lineHAL(s string) int {
	switch {
	case g.overflow:
		return 11
	case s == "" || s == "%":
		g.failed = 0
		return 0
	case s[0] == '$':
		g.failed = g.system(s)
		return g.failed
	case g.state == grblAlarm || g.state == grblJog:
		return 9
	case g.failed == 0:
		trimmed := make([]byte, 0, len(s))
		for i := range len(s) {
			if s[i] != ' ' {
				trimmed = append(trimmed, s[i])
			}
		}
		g.failed = g.block(string(trimmed), false)
	}
	return g.failed
}

// answer reports the status of a line, also of one that a soft reset broke off.
func (g *grbl) answer(status int) {
	switch {
	case !g.up():
	case status == 0:
		g.reply("ok\r\n")
	default:
		g.stats.Unknown++
		g.print("error:" + strconv.Itoa(status) + "\r\n")
	}
}

func (g *grbl) runStartup() {
	for _, s := range g.startup {
		if s != "" && g.up() {
			g.print(">" + s + ":")
			g.answer(g.block(s, false))
		}
	}
}

// regulate implements firmware: there are no heaters.
func (g *grbl) regulate() { g.therm.off() }

// idle implements firmware.
func (g *grbl) idle() time.Duration {
	g.realtime()
	return never
}
