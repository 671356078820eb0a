package catalog

import "time"

const (
	minute = time.Minute
	week   = 7 * 24 * time.Hour
)

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
		Purpose: "quarters of the print that have passed; but for the owner, of the time in which jobs of its length are done"},
	{ID: Alert, Name: "alert", Unit: UnitCode, Class: ClassMachine, Resolution: 1, Lo: 0, Hi: 63, Period: minute, Profiles: everyone, Urgent: true,
		Purpose: "what the printer's own supervision found: 0 nothing, 1 heating failed, 2 thermal runaway, 3 heater stuck on, 4 sensor out of range, 5 sensor jumps, 6 sensor stuck, 7 sensor drifts, 8 sensor disagrees, 9 no temperatures, 10 foreign target, 11 fan stopped, 12 door open, 13 no filament, 14 hot and idle, 32 a sensor is missing, 33 a fault of the controller"},
	{ID: Severity, Name: "alert.severity", Unit: UnitCode, Class: ClassMachine, Resolution: 1, Lo: 0, Hi: 3, Period: minute, Profiles: everyone, Urgent: true,
		Purpose: "how grave that is: 0 nothing, 1 info, 2 warning, 3 fault"},

	{ID: BedTemp, Name: "temp.bed", Unit: UnitMilliCelsius, Class: ClassThermal, Resolution: 1000, Lo: -50_000, Hi: 500_000, Period: minute, Profiles: everyone, Covered: true,
		Purpose: "temperature of the bed"},
	{ID: ChamberTemp, Name: "temp.chamber", Unit: UnitMilliCelsius, Class: ClassThermal, Resolution: 1000, Lo: -50_000, Hi: 500_000, Period: minute, Profiles: everyone, Covered: true,
		Purpose: "temperature of the chamber"},
	{ID: HeatInBand, Name: "temp.inband", Unit: UnitCode, Class: ClassThermal, Resolution: 1, Lo: 0, Hi: 2, Period: minute, Profiles: everyone,
		Purpose: "whether what is heated is as warm as it is to be: 0 nothing is heated, 1 yes or on the way, 2 no"},
	{ID: AmbientTemp, Name: "temp.ambient", Unit: UnitMilliCelsius, Class: ClassThermal, Resolution: 1000, Lo: -50_000, Hi: 150_000, Period: minute, Profiles: everyone, Covered: true,
		Purpose: "temperature of the air in the box, by the board's own sensor"},
	hotEnd(0), hotEnd(1), hotEnd(2), hotEnd(3), hotEnd(4), hotEnd(5), hotEnd(6), hotEnd(7),

	{ID: SensorsMissing, Name: "sensors.missing", Unit: UnitMask, Class: ClassSensor, Resolution: 1, Lo: 0, Hi: 1<<16 - 1, Period: minute, Profiles: everyone,
		Purpose: "bit n is sensor n of the board file, from 0, which cannot be read"},
	{ID: Filament, Name: "sensor.filament", Unit: UnitCode, Class: ClassSensor, Resolution: 1, Lo: 0, Hi: 2, Period: minute, Profiles: Owner | Service,
		Purpose: "filament: 0 not known, 1 there, 2 none"},
	{ID: Door, Name: "sensor.door", Unit: UnitCode, Class: ClassSensor, Resolution: 1, Lo: 0, Hi: 2, Period: minute, Profiles: Owner | Service,
		Purpose: "door: 0 not known, 1 closed, 2 open"},

	{ID: HostCPU, Name: "host.cpu", Unit: UnitPercent, Class: ClassHost, Resolution: 10, Lo: 0, Hi: 100, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "load of the processor"},
	{ID: HostMemory, Name: "host.memory", Unit: UnitPercent, Class: ClassHost, Resolution: 10, Lo: 0, Hi: 100, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "memory in use"},
	{ID: HostDisk, Name: "host.disk", Unit: UnitPercent, Class: ClassHost, Resolution: 5, Lo: 0, Hi: 100, Period: minute, Profiles: everyone,
		Purpose: "share of the state file system in use"},
	{ID: HostSoCTemp, Name: "host.soc", Unit: UnitMilliCelsius, Class: ClassHost, Resolution: 5000, Lo: -50_000, Hi: 150_000, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "temperature of the processor"},
	{ID: HostUptime, Name: "host.uptime", Unit: UnitSecond, Class: ClassHost, Resolution: 3600, Lo: 0, Hi: 20 * 366 * 86400, Period: minute, Profiles: everyone,
		Purpose: "hours since the board started"},
	{ID: HostThrottled, Name: "host.throttled", Unit: UnitCode, Class: ClassHost, Resolution: 1, Lo: 0, Hi: 1, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "whether the processor is slowed down by heat or a weak supply: 0 no, 1 yes"},
	{ID: HostNetErrors, Name: "host.net.errors", Unit: UnitCount, Class: ClassHost, Resolution: 16, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "packets with errors and packets dropped, of all interfaces but the loopback"},
	{ID: HostNetReceived, Name: "host.net.received", Unit: UnitMebibyte, Class: ClassHost, Resolution: 64, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: Owner, IdleOnly: true,
		Purpose: "received since the board started"},
	{ID: HostNetSent, Name: "host.net.sent", Unit: UnitMebibyte, Class: ClassHost, Resolution: 64, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: Owner, IdleOnly: true,
		Purpose: "sent since the board started"},

	{ID: AgentRelease, Name: "agent.release", Unit: UnitNumber, Class: ClassAgent, Resolution: 1, Lo: 0, Hi: 1 << 53, Period: minute, Profiles: everyone,
		Purpose: "number of the running release, as the agent states it"},
	{ID: AgentUptime, Name: "agent.uptime", Unit: UnitSecond, Class: ClassAgent, Resolution: 3600, Lo: 0, Hi: 20 * 366 * 86400, Period: minute, Profiles: everyone,
		Purpose: "hours since the agent started"},
	{ID: AgentBoot, Name: "agent.boot", Unit: UnitNumber, Class: ClassAgent, Resolution: 1, Lo: 0, Hi: 1 << 53, Period: minute, Profiles: everyone,
		Purpose: "how often the board has started, as its TPM counts"},
	{ID: SpoolDropped, Name: "spool.dropped", Unit: UnitCount, Class: ClassAgent, Resolution: 1, Lo: 0, Hi: 1 << 53, Period: minute, Profiles: everyone,
		Purpose: "messages lost because the network was away for too long"},
	{ID: UpdateFailed, Name: "update.failed", Unit: UnitCode, Class: ClassAgent, Resolution: 1, Lo: 0, Hi: 31, Period: minute, Profiles: everyone,
		Purpose: "why the last release that failed its trial did: 0 none has, 1 unknown, 2 crashed, 3 late, 4 damaged, 5 board restarted, 6 not started, 7 root file system, 8 TPM, 9 controller, 10 its firmware not installed, 11 another firmware, 12 temperatures, 13 fleet not reached"},

	{ID: LinkResends, Name: "link.resends", Unit: UnitCount, Class: ClassLink, Resolution: 16, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: Owner | Service, IdleOnly: true,
		Purpose: "lines the controller asked for again: a bad cable or a noisy supply"},
	{ID: LinkErrors, Name: "link.errors", Unit: UnitCount, Class: ClassLink, Resolution: 16, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: Owner | Service, IdleOnly: true,
		Purpose: "replies of the controller that could not be understood"},

	{ID: JobID, Name: "job.id", Unit: UnitNumber, Class: ClassJob, Resolution: 1, Lo: 0, Hi: 1<<32 - 1, Period: minute, Profiles: everyone,
		Purpose: "number drawn by chance for the record of one job, which comes once, up to an hour after the bucket of the job has ended"},
	{ID: JobStart, Name: "job.start", Unit: UnitTime, Class: ClassJob, Resolution: 4 * 3600, Lo: 0, Hi: 1 << 40, Period: minute, Profiles: everyone,
		Purpose: "when the job began, to four hours"},
	{ID: JobDuration, Name: "job.duration", Unit: UnitSecond, Class: ClassJob, Resolution: 3600, Ratio: 200, Lo: 0, Hi: 128 * 3600, Period: minute, Profiles: everyone,
		Purpose: "how long the job took, in buckets of a factor of two"},
	{ID: JobResult, Name: "job.result", Unit: UnitCode, Class: ClassJob, Resolution: 1, Lo: 0, Hi: 4, Period: minute, Profiles: everyone,
		Purpose: "how it ended: 0 not known, 1 done, 2 cancelled, 3 refused, 4 fault"},
	{ID: JobMaterial, Name: "job.material", Unit: UnitMillimetre, Class: ClassJob, Resolution: 1000, Ratio: 200, Lo: 0, Hi: 1 << 14 * 1000, Period: minute, Profiles: Owner | Service,
		Purpose: "filament it took, in buckets of a factor of two; with the duration it would be more than three bits of a job"},

	{ID: OdometerJobs, Name: "odometer.jobs", Unit: UnitCount, Class: ClassJob, Resolution: 16, Ratio: 125, Lo: 0, Hi: 1 << 24, Period: week, Profiles: everyone,
		Purpose: "jobs ever, once a week if there were ten in it"},
	{ID: OdometerTime, Name: "odometer.time", Unit: UnitSecond, Class: ClassJob, Resolution: 36_000, Ratio: 125, Lo: 0, Hi: 1 << 33, Period: week, Profiles: everyone,
		Purpose: "time of printing ever, once a week if there were ten jobs in it"},
	{ID: OdometerMaterial, Name: "odometer.material", Unit: UnitMillimetre, Class: ClassJob, Resolution: 16_000, Ratio: 125, Lo: 0, Hi: 1 << 40, Period: week, Profiles: everyone,
		Purpose: "filament ever, once a week if there were ten jobs in it"},

	{ID: LogUnknown, Name: "log.unknown", Unit: UnitCount, Class: ClassLog, Resolution: 1024, Lo: 0, Hi: 1 << 40, Period: minute, Profiles: Owner | Service, IdleOnly: true,
		Purpose: "lines of the printer's log files that no parser knows; of the lines themselves nothing leaves"},
	{ID: LogErrors, Name: "log.errors", Unit: UnitCount, Class: ClassLog, Resolution: 1, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "errors that the printer's own software has logged"},
	{ID: LogRestarts, Name: "log.restarts", Unit: UnitCount, Class: ClassLog, Resolution: 1, Lo: 0, Hi: 1 << 32, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "starts of the printer's own software, as its log files tell them"},
}

func hotEnd(n int) Item {
	return Item{ID: HotEnd0 + ID(n), Name: "temp.hotend" + string(rune('0'+n)), Unit: UnitMilliCelsius, Class: ClassThermal,
		Resolution: 1000, Lo: -50_000, Hi: 500_000, Period: minute, Profiles: everyone, Covered: true, Purpose: "temperature of hot end " + string(rune('0'+n))}
}
