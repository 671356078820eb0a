package trace

// known are the replies that are taken over, as patterns of match; each is tried
// with and without what stands before a colon (echo:, Error: and so on). Texts:
// Marlin 2.0.9 core/language.h, Prusa-Firmware 3.14 messages.cpp, Ultimaker2Marlin
// language.h, Repetier-Firmware 1.0.4 Communication.cpp, grbl 1.1h report.c, grblHAL
// report.c.
var known = []string{
	// Lines and acknowledgements.
	"start", "wait", "ok", "ok #", "skip #", "Resend: #", "Resend:#", "rs #", "rs N#",
	"busy: processing", "busy: paused for user", "busy: paused for input", "busy:processing", "busy:heating",
	"checksum mismatch, Last Line: #", "Wrong checksum", "expected line # got #",
	"Line Number is not Last Line Number+1, Last Line: #", "No Checksum with line number, Last Line: #", "No Line Number with checksum, Last Line: #",

	// Stops and faults.
	"Printer halted. kill() called!", "M112 Shutdown", "M112 called. Emergency Stop.", "Full RX Buffer",
	"Printer stopped due to errors. ^", "KILL. ^", "KILLED. ", "Err: MAXTEMP", "Err: MINTEMP", "Err: MAXTEMP BED", "Err: MINTEMP BED",
	"Heating failed, system stopped! Heater_ID: ^", "Heating Failed", "Thermal Runaway, system stopped! Heater_ID: ^", "THERMAL RUNAWAY", "THERMAL RUNAWAY ^",
	"MAXTEMP triggered, system stopped! Heater_ID: ^", "MINTEMP triggered, system stopped! Heater_ID: ^",
	"#: Heaters switched off. MAXTEMP triggered!", "#: Heaters switched off. MINTEMP triggered!",
	"Error:#", ": Extruder switched off. MAXTEMP triggered !", ": Extruder switched off. MINTEMP triggered !",
	"Homing failed", "Homing Failed", "Probing failed", "Probing Failed", "cold extrusion prevented", "too long extrusion prevented",
	"T# Invalid extruder", "M# Invalid extruder #", "Invalid extruder", "endstops hit: ~", "TM: error ^", "info:Continue from fatal state", "fatal:^",

	// Who it is.
	"Marlin #.#", "Marlin #.#.#", "Marlin #.#.#.#", "Marlin #", "External Reset", "Watchdog Reset", "Software Reset", "PowerUp", "Brown out Reset",
	"FIRMWARE_NAME:_", "Last Updated: _", "Compiled: _", "Free Memory: #  PlannerBufferBytes: #", "Free RAM:#",
	"EEPROM version mismatch _", "Hardcoded Default Settings Loaded", "Stored settings retrieved", "Detected EEPROM version:#", "SD init fail", "SD card ok", "No SD card",

	// Actions for the host; what a text says stays out.
	"//action:cancel", "//action:pause", "//action:paused", "//action:resume", "//action:resumed", "//action:poweroff", "//action:disconnect", "//action:prompt_end", "//action:prompt_show",
	"//action:notification EEPROM Version Error", "//action:notification Hardcoded Default Settings Loaded", "//action:notification Sleep...", "//action:notification ~", "//action:prompt_begin ~", "//action:prompt_button ~",

	// Positions, and settings that a program can change.
	"X:% Y:% Z:% E:%", "X:% Y:% Z:% E:% Count X:% Y:% Z:%", "X:% Y:% Z:% E:% Count X: % Y:% Z:% E:%", "X:%Y:%Z:%E:% Count X: %Y:%Z:%",
	"X_OFFSET:% Y_OFFSET:% Z_OFFSET:%", "Print time: #s", "FR:~", "SpeedMultiply:#", "FlowMultiply:#", "SelectExtruder:#", "TargetBed:#", "TargetExtr#:#",
	"M92 X& Y& Z& E&", "M92 X& Y& Z&", "M203 X& Y& Z& E&", "M201 X& Y& Z& E&", "M301 P& I& D&", "M304 P& I& D&", "M204 S% T%", "M204 P% R% T%", "M205 S& T& B& X& Z& E&", "M205 S& T& B& X& Y& Z& E&", "M205 B& S& T& J&", "M206 X% Y% Z%", "M200 S& D&", "M149 C ; Units in Celsius", "G21 ; (mm)",
	"; Linear Units:", "; Temperature Units:", "; Filament settings (Disabled):", "; Steps per unit:", "; Max feedrates (units/s):", "; Max Acceleration (units/s2):",
	"; Acceleration (units/s2) (P<print-accel> R<retract-accel> T<travel-accel>):", "; Advanced (B<min_segment_time_us> S<min_feedrate> T<min_travel_feedrate> J<junc_dev>):", "; Home offset:", "; Hotend PID:",
	"Steps per unit:", "Maximum feedrates (mm/s):", "Maximum Acceleration (mm/s2):", "PID settings:", "Home offset (mm):",
	"Reporting endstop status", "x_min: open", "y_min: open", "z_min: open", "x_max: open", "y_max: open", "z_max: open",
	"x_min: TRIGGERED", "y_min: TRIGGERED", "z_min: TRIGGERED", "x_max: TRIGGERED", "y_max: TRIGGERED", "z_max: TRIGGERED",
	"adc_init", "LCD status changed", "CrashDetect DISABLED", "Hotend fan type:", "NOCTUA", "MMU is Off", "SpoolJoin is Off", "Acceleration: ^", "Advanced variables: ^",
	"Z jerk was too low, setting to &", "XY jerk was too low, setting to &",
	"M113 S#", "Not SD printing", "Begin file list", "End file list", "DebugLevel:#", "PrinterMode:FFF",

	// grbl and grblHAL.
	"Grbl &h ['$' for help]", "Grbl &g ['$' for help]", "Grbl &f ['$' for help]", "GrblHAL &f ['$' or '$HELP' for help]",
	"error:#", "ALARM:#", "$#=&", "$N#=~", "[MSG:'$H'|'$X' to unlock]", "[MSG:Caution: Unlocked]", "[MSG:Reset to continue]", "[MSG:Enabled]", "[MSG:Disabled]", "[MSG:Check Door]", "[MSG:Check Limits]",
	"[MSG:Pgm End]", "[MSG:Restoring defaults]", "[MSG:Restoring spindle]", "[MSG:Sleeping]", "[MSG:]",
	"[VER:&h.#:]", "[VER:&f.#:]", "[VER:&h.#:~", "[VER:&f.#:~", "[OPT:_", "[NEWOPT:_", "[AXS:_", "[FIRMWARE:_", "[SIGNALS:_", "[NVS STORAGE:_", "[DRIVER:_", "[DRIVER VERSION:_", "[HLP:_",
	"[G&:%,%,%]", "[TLO:%]", "[TLO:%,%,%]", "[PRB:%,%,%:#]",
	"[GC:G& G# G# G# G# G# M# M# T# F% S%]", "[GC:G& G# G# G# G# G# G# G# G# G# M# M# T# F% S%]",
}
