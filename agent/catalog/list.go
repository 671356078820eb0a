package catalog

import "time"

const (
	minute = time.Minute
	week   = 7 * 24 * time.Hour
)

// list is the catalogue, by number. A changed line voids the grants that name
// the item, and a word of its purpose is enough for that: what is new about an old item is
// said below the table of the page. A new line needs a new number.
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
	{ID: JobDigest, Name: "job.digest", Unit: UnitNumber, Class: ClassJob, Resolution: 1, Lo: 0, Hi: 1<<DigestBits - 1, Period: minute, Profiles: everyone, OptIn: true,
		Purpose: "the file's SHA-256 under a key that its owner has, another one for each grant: who lacks the key can tell that the same file was printed again, and nothing else of it"},

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

	{ID: TestMotion, Name: "selftest.motion", Unit: UnitNumber, Class: ClassTest, Resolution: 1, Lo: 0, Hi: 1<<32 - 1, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "which self-test it was: the first four bytes of the SHA-256 of its motion, below"},
	{ID: TestResult, Name: "selftest.result", Unit: UnitCode, Class: ClassTest, Resolution: 1, Lo: 0, Hi: 4, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "how it ended: 1 done, 2 cancelled, 3 refused, 4 fault; without its figures unless done"},
	{ID: TestHalf, Name: "selftest.answer.half", Unit: UnitMicrosecond, Class: ClassTest, Resolution: 100, Lo: 0, Hi: 10_000_000, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "within which half of the empty programs were answered by the controller"},
	{ID: TestMost, Name: "selftest.answer.most", Unit: UnitMicrosecond, Class: ClassTest, Resolution: 100, Lo: 0, Hi: 10_000_000, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "within which nine tenths of them were"},
	{ID: TestResends, Name: "selftest.resends", Unit: UnitCount, Class: ClassTest, Resolution: 1, Lo: 0, Hi: 1 << 20, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "lines of the self-test that the controller asked for again"},
	{ID: TestErrors, Name: "selftest.errors", Unit: UnitCount, Class: ClassTest, Resolution: 1, Lo: 0, Hi: 1 << 20, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "replies to it that could not be understood"},
	{ID: TestNoise, Name: "selftest.noise", Unit: UnitMilliKelvin, Class: ClassTest, Resolution: 100, Lo: 0, Hi: 100_000, Period: minute, Profiles: everyone, IdleOnly: true,
		Purpose: "by how much a cold temperature sensor was off the line between the reports before and after, at most, of all sensors of heaters"},
	axis(0, "x", TestSweep), axis(0, "x", TestSpread), axis(0, "x", TestShift),
	axis(1, "y", TestSweep), axis(1, "y", TestSpread), axis(1, "y", TestShift),
	axis(2, "z", TestSweep), axis(2, "z", TestSpread), axis(2, "z", TestShift),

	{ID: DutyHeater, Name: "duty.heater", Unit: UnitCode, Class: ClassDuty, Resolution: 1, Lo: 0, Hi: 15, Period: minute, Profiles: Owner | Service, IdleOnly: true,
		Purpose: "which heater the shares are of: 0 bed, 1 chamber, 8 and up hot ends; of four hours of heating and more, of four jobs and more together"},
	{ID: DutyTime, Name: "duty.time", Unit: UnitSecond, Class: ClassDuty, Resolution: 3600, Ratio: 200, Lo: 0, Hi: 128 * 3600, Period: minute, Profiles: Owner | Service, IdleOnly: true,
		Purpose: "how long it was on in all of them, in buckets of a factor of two"},
	duty(0, "off", "without power"), duty(1, "quarter", "with up to a quarter of its power"), duty(2, "half", "with a quarter to a half"),
	duty(3, "most", "with a half to three quarters"), duty(4, "full", "with more"),
}

// DigestBits is how much of an HMAC-SHA-256 the item job.digest has: what a number of JSON
// holds exactly.
const DigestBits = 52

// axis is an item of the self-test of one axis; id is that of X.
func axis(n int, name string, id ID) Item {
	it := Item{ID: id + ID(3*n), Class: ClassTest, Period: minute, Profiles: everyone, IdleOnly: true}
	switch id {
	case TestSweep:
		it.Name, it.Unit, it.Resolution, it.Hi, it.Purpose = "sweep", UnitMillisecond, 10, 1_000_000, "how long the sweeps of this axis took"
	case TestSpread:
		it.Name, it.Unit, it.Resolution, it.Hi, it.Purpose = "spread", UnitMicrometre, 50, 10_000, "how far apart two homings from one place ended, by the time they took"
	case TestShift:
		it.Name, it.Unit, it.Resolution, it.Lo, it.Hi = "shift", UnitMicrometre, 50, -10_000, 10_000
		it.Purpose = "how far it had slipped by its sweeps, by the time it then took to home it"
	}
	it.Name = "selftest." + name + "." + it.Name
	return it
}

// duty is one share of a histogram.
func duty(n int, name, of string) Item {
	return Item{ID: Duty0 + ID(n), Name: "duty." + name, Unit: UnitPercent, Class: ClassDuty, Resolution: 10, Lo: 0, Hi: 100, Period: minute,
		Profiles: Owner | Service, IdleOnly: true, Purpose: "share of that time " + of}
}

func hotEnd(n int) Item {
	return Item{ID: HotEnd0 + ID(n), Name: "temp.hotend" + string(rune('0'+n)), Unit: UnitMilliCelsius, Class: ClassThermal,
		Resolution: 1000, Lo: -50_000, Hi: 500_000, Period: minute, Profiles: everyone, Covered: true, Purpose: "temperature of hot end " + string(rune('0'+n))}
}
