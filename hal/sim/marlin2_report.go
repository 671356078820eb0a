package sim

import "strconv"

// Identity of the build; the numbers and the UUID are those of the default
// configuration.
const (
	version  = "Marlin 2.0.9.5"
	compiled = "Jan  1 2026"
	uuid     = "cede2a2f-41a2-4748-9b12-c55c62f367ff"
)

// restartCause is what a firmware of the Marlin family says about its restart.
var restartCause = [...]string{
	causeExternal: " External Reset\n", causeBrownOut: " Brown out Reset\n",
	causeWatchdog: " Watchdog Reset\n", causeSoftware: " Software Reset\n",
}

// boot prints the banner, about 10 ms after the reset.
func (m *marlin2) boot() {
	const bootTime = 10_000_000
	m.queue.last = m.now
	m.spend(bootTime)
	free := "5461"
	if m.cfg.EmergencyParser {
		free = "5357"
	}
	m.print("start\n" + restartCause[m.cause] + version + "\n" +
		"echo: Last Updated: 2022-07-29 | Author: (none, default config)\n" +
		"echo: Compiled: " + compiled + "\n" +
		"echo: Free Memory: " + free + "  PlannerBufferBytes: 1136\n")
	m.retrieve()
	if m.cfg.HostActions {
		m.print("//action:prompt_end\n")
	}
}

// identify is M115.
func (m *marlin2) identify() {
	m.print("FIRMWARE_NAME:" + version + " (" + compiled + " 00:00:00) SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin" +
		" PROTOCOL_VERSION:1.0 MACHINE_TYPE:3D Printer EXTRUDER_COUNT:" + strconv.Itoa(m.therm.tools) + " UUID:" + uuid + "\n")
	for _, c := range []struct {
		name string
		on   bool
	}{
		{"SERIAL_XON_XOFF", false}, {"BINARY_FILE_TRANSFER", false}, {"EEPROM", true}, {"VOLUMETRIC", true},
		{"AUTOREPORT_POS", m.cfg.HostActions}, {"AUTOREPORT_TEMP", true}, {"PROGRESS", false}, {"PRINT_JOB", true},
		{"AUTOLEVEL", m.cfg.Leveling}, {"RUNOUT", false}, {"Z_PROBE", m.cfg.Leveling}, {"LEVELING_DATA", m.cfg.Leveling},
		{"BUILD_PERCENT", false}, {"SOFTWARE_POWER", false}, {"TOGGLE_LIGHTS", false}, {"CASE_LIGHT_BRIGHTNESS", false},
		{"EMERGENCY_PARSER", m.cfg.EmergencyParser}, {"HOST_ACTION_COMMANDS", m.cfg.HostActions},
		{"PROMPT_SUPPORT", m.cfg.HostActions}, {"SDCARD", false}, {"REPEAT", false}, {"SD_WRITE", false},
		{"AUTOREPORT_SD_STATUS", false}, {"LONG_FILENAME", false}, {"LFN_WRITE", false},
		{"CUSTOM_FIRMWARE_UPLOAD", false}, {"EXTENDED_M20", false}, {"THERMAL_PROTECTION", true},
		{"MOTION_MODES", false}, {"ARCS", true}, {"BABYSTEPPING", false}, {"CHAMBER_TEMPERATURE", m.cfg.Chamber},
		{"COOLER_TEMPERATURE", false}, {"MEATPACK", false}, {"CONFIG_EXPORT", false},
	} {
		state := ":0\n"
		if c.on {
			state = ":1\n"
		}
		m.print("Cap:" + c.name + state)
	}
	if m.cfg.HostActions { // M115_GEOMETRY_REPORT
		m.print(m.area())
	}
}

// area is what the axes reach, in the coordinates of the moment.
func (m *marlin2) area() string {
	corner := func(far float64) string {
		s := "{"
		for i, w := range []string{"x:", ",y:", ",z:"} {
			s += w + two(m.cfg.Volume[i].MM()*far-m.pose.shift[i])
		}
		return s + "}"
	}
	box := "{min:" + corner(0) + ",max:" + corner(1) + "}"
	return "area:{full:" + box + ",work:" + box + "}\n"
}

// reportSettings is M503.
func (m *marlin2) reportSettings() {
	lim := &m.plan.lim
	m.print("echo:; Linear Units:\necho:  G21 ; (mm)\n" +
		"echo:; Temperature Units:\necho:  M149 C ; Units in Celsius\n" +
		"echo:; Filament settings (Disabled):\necho:  M200 S0 D1.75\n" +
		"echo:; Steps per unit:\necho:  M92" + perAxis(lim.stepsPerMM) +
		"echo:; Max feedrates (units/s):\necho:  M203" + perAxis(lim.maxFeed) +
		"echo:; Max Acceleration (units/s2):\necho:  M201" + perAxis(lim.maxAccel) +
		"echo:; Acceleration (units/s2) (P<print-accel> R<retract-accel> T<travel-accel>):\n" +
		"echo:  M204 P" + two(lim.accel) + " R" + two(lim.retract) + " T" + two(lim.travel) + "\n" +
		"echo:; Advanced (B<min_segment_time_us> S<min_feedrate> T<min_travel_feedrate> J<junc_dev>):\n" +
		"echo:  M205 B20000.00 S0.00 T0.00 J" + two(lim.deviation) + "\n" +
		"echo:; Home offset:\necho:  M206" + perAxis3(m.offset) + pidSettings(m.therm.hotend()))
	if m.cfg.HostActions {
		m.print(m.loadSettings())
	}
}

func perAxis(v [axes]float64) string {
	s := ""
	for i, w := range []string{" X", " Y", " Z", " E"} {
		s += w + two(v[i])
	}
	return s + "\n"
}

func two(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
