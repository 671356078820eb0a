// Package catalog is the published list of everything a printer may say to
// anyone, and the only encoder of what leaves it.
//
// Start at [Items]: each [Item] has a number that is never given to anything
// else, a name, a unit, a resolution, a shortest period, a purpose and the
// profiles it may be granted under. A [Sample] can be made of a listed item and
// nothing else (it has no text and no bytes), an [Encoder] drops every sample
// that was not granted, rounds the others to their resolution or bucket and
// withholds what would leak a design while a job is loaded, and [Decode] on the
// other end refuses whatever is not in the list. Default is deny, by type. [Page] is
// the list as a page for people, REFERENCE.md in this folder.
//
// For a recipient under profile vendor a job is behind a [Cover]: from its beginning
// to the end of the bucket of a factor of two that its duration falls into, the same
// is said of every job, whatever it prints.
//
// The package is pure: no files, no network, no clock of its own.
package catalog

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// Version is the edition of the list. It rises when an item is added or changed.
const Version = 4

// ID is the number of an item on the wire; 0 is none. A number is never reused.
type ID uint16

// The items. Hot end n of up to [MaxHotEnds] is HotEnd0+n.
const (
	State    ID = 1
	Fault    ID = 2
	Progress ID = 3
	Alert    ID = 4
	Severity ID = 5

	BedTemp     ID = 10
	ChamberTemp ID = 11
	HeatInBand  ID = 12
	AmbientTemp ID = 13
	HotEnd0     ID = 16

	SensorsMissing ID = 24
	Filament       ID = 25
	Door           ID = 26

	HostCPU     ID = 32
	HostMemory  ID = 33
	HostDisk    ID = 34
	HostSoCTemp ID = 35
	HostUptime  ID = 36

	HostThrottled   ID = 37
	HostNetErrors   ID = 38
	HostNetReceived ID = 39
	HostNetSent     ID = 40

	AgentRelease ID = 48
	AgentUptime  ID = 49
	AgentBoot    ID = 50
	SpoolDropped ID = 51
	UpdateFailed ID = 52

	LinkResends ID = 64
	LinkErrors  ID = 65

	JobID       ID = 96
	JobStart    ID = 97
	JobDuration ID = 98
	JobResult   ID = 99
	JobMaterial ID = 100
	JobDigest   ID = 101

	OdometerJobs     ID = 112
	OdometerTime     ID = 113
	OdometerMaterial ID = 114

	LogUnknown  ID = 128
	LogErrors   ID = 129
	LogRestarts ID = 130

	TestMotion  ID = 144
	TestResult  ID = 145
	TestHalf    ID = 146
	TestMost    ID = 147
	TestResends ID = 149
	TestErrors  ID = 150
	TestNoise   ID = 151
	TestSweep   ID = 152 // of X; of axis n it is TestSweep+3n
	TestSpread  ID = 153 // the same
	TestShift   ID = 154 // the same

	DutyHeater ID = 168
	DutyTime   ID = 169
	Duty0      ID = 170 // the first of [DutyBins] shares
)

// DutyBins is how many shares a histogram of a heater's duty has: of the time in which it was
// on, with no power, up to a quarter, a half, three quarters, and more.
const DutyBins = 5

// MaxHotEnds is how many hot ends have an item of their own.
const MaxHotEnds = 8

// Profile is how much a recipient may be granted; see the rules of privacy, P2
// to P9. It is a set, so that an item can name several.
type Profile uint8

// The profiles. A grant has exactly one of them.
const (
	Vendor  Profile = 1 << iota // anyone who is not the owner: a slow grid and few items
	Owner                       // the owner's own side: faster, more items
	Service                     // a technician, for at most a day
)

const everyone = Vendor | Owner | Service

// String names the profile in lower case.
func (p Profile) String() string {
	switch p {
	case Vendor:
		return "vendor"
	case Owner:
		return "owner"
	case Service:
		return "service"
	}
	return "none"
}

// ParseProfile reads the name of a profile.
func ParseProfile(s string) (Profile, error) {
	for _, p := range []Profile{Vendor, Owner, Service} {
		if p.String() == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%q is not a profile: use vendor, owner or service", s)
}

// MinPeriod is the shortest time between two messages under the profile: 60 s for
// a vendor, 1 s else. It is 0 for anything that is not one profile.
func (p Profile) MinPeriod() time.Duration {
	switch p {
	case Vendor:
		return 60 * time.Second
	case Owner, Service:
		return time.Second
	}
	return 0
}

// MaxLife is the longest time a grant under the profile may run.
func (p Profile) MaxLife() time.Duration {
	if p == Service {
		return 24 * time.Hour
	}
	return 5 * 365 * 24 * time.Hour
}

// Unit is the unit of an item's value.
type Unit string

// The units.
const (
	UnitCode         Unit = "code"
	UnitPercent      Unit = "%"
	UnitMilliCelsius Unit = "m°C"
	UnitMilliKelvin  Unit = "mK"
	UnitSecond       Unit = "s"
	UnitMillisecond  Unit = "ms"
	UnitMicrosecond  Unit = "µs"
	UnitMicrometre   Unit = "µm"
	UnitMillimetre   Unit = "mm"
	UnitMebibyte     Unit = "MiB"
	UnitTime         Unit = "s since 1970"
	UnitMask         Unit = "bits"
	UnitCount        Unit = "count"
	UnitNumber       Unit = "number"
)

// Class groups items.
type Class string

// The classes.
const (
	ClassMachine Class = "machine"
	ClassThermal Class = "thermal"
	ClassHost    Class = "host"
	ClassAgent   Class = "agent"
	ClassLink    Class = "link"
	ClassSensor  Class = "sensor"
	ClassJob     Class = "job"
	ClassLog     Class = "log"
	ClassTest    Class = "self-test"
	ClassDuty    Class = "duty"
)

// Item is one line of the catalogue.
type Item struct {
	ID         ID
	Name       string
	Unit       Unit
	Class      Class
	Resolution int64         // in Unit; what leaves is a multiple of it, or see Ratio
	Ratio      int64         // percent, 0 for none: what leaves is the upper edge of a bucket; the first ends at Resolution, each next one is that much longer
	Lo, Hi     int64         // range in Unit; a measurement beyond is reported as the end
	Period     time.Duration // shortest period under profile vendor; longer than a minute, under all
	Profiles   Profile       // the profiles it may be granted under
	IdleOnly   bool          // withheld while a job is loaded
	Covered    bool          // withheld under profile vendor while a job is covered, and until what it heated is cold
	Urgent     bool          // may come before its period has passed
	OptIn      bool          // granted only where a grant names it; see [Granted]
	Purpose    string
}

// Items returns the catalogue in the order of its numbers.
func Items() []Item { return append([]Item(nil), list...) }

// Lookup returns the item with the number id.
func Lookup(id ID) (Item, bool) {
	if i := index(id); i >= 0 {
		return list[i], true
	}
	return Item{}, false
}

// ByName returns the item with the given name.
func ByName(name string) (Item, bool) {
	for _, it := range list {
		if it.Name == name {
			return it, true
		}
	}
	return Item{}, false
}

// Granted returns the numbers of all items that a grant under p has unless it says otherwise:
// those that may be granted and are not left for the owner to name.
func Granted(p Profile) []ID {
	var ids []ID
	for _, it := range list {
		if it.Profiles&p != 0 && !it.OptIn {
			ids = append(ids, it.ID)
		}
	}
	return ids
}

// PeriodFor is the shortest period of the item under profile p.
func (it Item) PeriodFor(p Profile) time.Duration {
	if p == Vendor || it.Period > minute {
		return it.Period
	}
	return p.MinPeriod()
}

// once reports whether the item is of a record, which is told once.
func (it Item) once() bool {
	return it.Class == ClassJob || it.Class == ClassTest || it.Class == ClassDuty
}

// MayTell reports whether a record with the item may be told a recipient at m: what an
// encoder would withhold is not to be counted as told.
func (it Item) MayTell(p Profile, m Moment) bool {
	return !it.IdleOnly || !m.Loaded && (p != Vendor || !m.Cover.Job)
}

// line is the canonical text of the item: what a grant is about.
func (it Item) line() string {
	text := fmt.Sprintf("%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%t\t%t\t%t\t%s\n", it.ID, it.Name, it.Unit, it.Class,
		it.Resolution, it.Ratio, it.Lo, it.Hi, int64(it.Period/time.Second), it.Profiles, it.IdleOnly, it.Covered, it.Urgent, it.Purpose)
	if it.OptIn { // said only where it is so: grants of before stay in force
		text += "named by its owner\n"
	}
	return text
}

// Digest is the SHA-256 of the canonical lines of the items ids, in the order of
// their numbers. A grant names it: it stays the same when an item is added to the
// catalogue, and no longer holds when one of the granted items is changed.
// Numbers that are not in the catalogue are an error.
func Digest(ids []ID) ([32]byte, error) {
	want := map[ID]bool{}
	for _, id := range ids {
		if index(id) < 0 {
			return [32]byte{}, fmt.Errorf("item %d is not in the catalogue", id)
		}
		want[id] = true
	}
	h := sha256.New()
	h.Write([]byte("platen catalogue items\n"))
	for _, it := range list {
		if want[it.ID] {
			h.Write([]byte(it.line()))
		}
	}
	return [32]byte(h.Sum(nil)), nil
}

// names lists the profiles of a set.
func (p Profile) names() string {
	var s []string
	for _, q := range []Profile{Vendor, Owner, Service} {
		if p&q != 0 {
			s = append(s, q.String())
		}
	}
	return strings.Join(s, ",")
}

// index finds an item by binary search; -1 if there is none.
func index(id ID) int {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := (lo + hi) / 2
		if list[mid].ID < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(list) && list[lo].ID == id {
		return lo
	}
	return -1
}
