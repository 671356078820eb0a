package catalog

import "time"

const minute = time.Minute

// list is the catalogue, by number. A changed line voids the grants that name
// the item; a new line needs a new number.
//
// What scales with a model while it is on the printer (processor and memory load,
// counts of lines on the serial link) is withheld as long as a job is loaded, and
// anything about position, layers, flow, heater power and fans has no line at all.
var list = []Item{
	{ID: State, Name: "state", Unit: UnitCode, Class: ClassMachine, Resolution: 1, Lo: 0, Hi: 15, Period: minute, Profiles: everyone, Urgent: true,
		Purpose: "what the printer is doing: 1 connecting, 2 idle, 3 loading, 4 printing, 5 paused, 6 done, 7 fault"},
	{ID: Fault, Name: "fault", Unit: UnitCode, Class: ClassMachine, Resolution: 1, Lo: 0, Hi: 31, Period: minute, Profiles: everyone, Urgent: true,
		Purpose: "why the machine stopped: 0 none, 1 host, 2 thermal, 3 sensor, 4 endstop, 5 reset, 6 protocol, 7 timeout, 8 port, 9 controller, 10 fan, 11 door"},
	{ID: Progress, Name: "progress", Unit: UnitPercent, Class: ClassMachine, Resolution: 25, Lo: 0, Hi: 100, Period: minute, Profiles: everyone,
		Purpose: "share of the print time that has passed, in quarters"},

	{ID: BedTemp, Name: "temp.bed", Unit: UnitMilliCelsius, Class: ClassThermal, Resolution: 1000, Lo: -50_000, Hi: 500_000, Period: minute, Profiles: everyone,
		Purpose: "temperature of the bed"},
	{ID: ChamberTemp, Name: "temp.chamber", Unit: UnitMilliCelsius, Class: ClassThermal, Resolution: 1000, Lo: -50_000, Hi: 500_000, Period: minute, Profiles: everyone,
		Purpose: "temperature of the chamber"},
	hotEnd(0), hotEnd(1), hotEnd(2), hotEnd(3), hotEnd(4), hotEnd(5), hotEnd(6), hotEnd(7),

	{ID: HostCPU, Name: "host.cpu", Unit: UnitPercent, Class: ClassHost, Resolution: 10, Lo: 0, Hi: 100, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "load of the processor"},
	{ID: HostMemory, Name: "host.memory", Unit: UnitPercent, Class: ClassHost, Resolution: 10, Lo: 0, Hi: 100, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "memory in use"},
	{ID: HostDisk, Name: "host.disk", Unit: UnitPercent, Class: ClassHost, Resolution: 5, Lo: 0, Hi: 100, Period: minute, Profiles: everyone,
		Purpose: "share of the state file system in use"},
	{ID: HostSoCTemp, Name: "host.soc", Unit: UnitMilliCelsius, Class: ClassHost, Resolution: 5000, Lo: -50_000, Hi: 150_000, Period: minute, Profiles: everyone,
		Purpose: "temperature of the processor"},
	{ID: HostUptime, Name: "host.uptime", Unit: UnitSecond, Class: ClassHost, Resolution: 3600, Lo: 0, Hi: 20 * 366 * 86400, Period: minute, Profiles: everyone,
		Purpose: "hours since the board started"},

	{ID: AgentRelease, Name: "agent.release", Unit: UnitNumber, Class: ClassAgent, Resolution: 1, Lo: 0, Hi: 1 << 53, Period: minute, Profiles: everyone,
		Purpose: "number of the running release, as the agent states it"},
	{ID: AgentUptime, Name: "agent.uptime", Unit: UnitSecond, Class: ClassAgent, Resolution: 3600, Lo: 0, Hi: 20 * 366 * 86400, Period: minute, Profiles: everyone,
		Purpose: "hours since the agent started"},
	{ID: AgentBoot, Name: "agent.boot", Unit: UnitNumber, Class: ClassAgent, Resolution: 1, Lo: 0, Hi: 1 << 53, Period: minute, Profiles: everyone,
		Purpose: "how often the board has started, as its TPM counts"},
	{ID: SpoolDropped, Name: "spool.dropped", Unit: UnitCount, Class: ClassAgent, Resolution: 1, Lo: 0, Hi: 1 << 53, Period: minute, Profiles: everyone,
		Purpose: "messages lost because the network was away for too long"},

	{ID: LinkResends, Name: "link.resends", Unit: UnitCount, Class: ClassLink, Resolution: 16, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: Owner | Service, IdleOnly: true,
		Purpose: "lines the controller asked for again: a bad cable or a noisy supply"},
	{ID: LinkErrors, Name: "link.errors", Unit: UnitCount, Class: ClassLink, Resolution: 16, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: Owner | Service, IdleOnly: true,
		Purpose: "replies of the controller that could not be understood"},
}

func hotEnd(n int) Item {
	return Item{ID: HotEnd0 + ID(n), Name: "temp.hotend" + string(rune('0'+n)), Unit: UnitMilliCelsius, Class: ClassThermal,
		Resolution: 1000, Lo: -50_000, Hi: 500_000, Period: minute, Profiles: everyone, Purpose: "temperature of hot end " + string(rune('0'+n))}
}
