package catalog

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Table is the catalogue as people read it: one line an item, columns aligned.
func Table() string {
	rows := [][]string{{"id", "name", "unit", "step", "every", "profiles", "when", "purpose"}}
	for _, it := range list {
		rows = append(rows, []string{fmt.Sprint(it.ID), it.Name, string(it.Unit), it.step(),
			it.Period.String(), it.Profiles.names(), it.when(), it.Purpose})
	}
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(c))+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (it Item) when() string {
	switch {
	case it.Urgent:
		return "always, at once"
	case it.OptIn:
		return "if it is named"
	case it.IdleOnly:
		return "idle"
	case it.Covered:
		return "idle for vendor"
	}
	return "always"
}

// step is how finely the item is sent.
func (it Item) step() string {
	if it.Ratio != 0 {
		return fmt.Sprintf("%d, then ×%d.%02d", it.Resolution, it.Ratio/100, it.Ratio%100)
	}
	return fmt.Sprint(it.Resolution)
}

// Page is the catalogue as a page of reference in Markdown: each item with all that
// the encoder does to it. REFERENCE.md is this text.
func Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, pageHead, Version)
	for _, it := range list {
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s | %s | %v | %s | %s | %s |\n", it.ID, it.Name, it.Class, it.Unit,
			it.step(), it.Period, it.Profiles.names(), it.when(), it.Purpose)
	}
	fmt.Fprintf(&b, pageEnd, MotionDigest(), Motion)
	return b.String()
}

const pageHead = `# What may leave a printer

Generated from the list in this folder (edition %d); a test compares the two. Nothing that is not a line
of this table can be encoded, and nothing is sent to anybody without a grant that the owner has signed.
"platen catalogue" prints the list of a release; "platen catalogue --sign" and "--verify" sign and check it.

| id | name | class | unit | step | at most every | profiles | when | purpose |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
`

const pageEnd = `
- *step*: what leaves is a multiple of it. With a second number, values leave as the end of a bucket: the first
  bucket ends at the step, each next one is longer by that factor.
- *at most every* holds under profile vendor. Under service and owner it is a second, but for what is said less often than once a minute.
- *idle*: withheld from everybody while a job is loaded. *idle for vendor*: withheld from profile vendor from the
  beginning of a job to the end of the bucket of its duration, and for two hours more, while things grow cold.
- Under profile vendor, ` + "`state`" + ` is "printing" for all of that bucket (a fault ends it), and ` + "`progress`" + ` the share of
  the bucket that has passed; profile service is told that share as well.
- Buckets of a job's duration are eight: three bits are all that a recipient under profile vendor learns of a job.
- *if it is named*: no grant has the item unless its owner has named it.
- ` + "`alert`" + ` has a code more than its line says, which grants of before have signed: 34, the controller says that it has a firmware
  which this printer did not flash.

## The self-test

What is measured of a machine's motion at full rate is measured of this motion alone, which is the same for every printer of a board,
whatever was printed before, and which nobody starts but who stands at the printer ("platen selftest"). A machine that has a job, is warm
or has its door open refuses. A self-test is no job: the state stays idle. What leaves are the figures above, once, twenty
minutes after it began, however long it took to find the machine's end stops first; they are the
printer's own arithmetic on times that it takes, so they need no sensor. There are none of vibration: no board has an accelerometer.
SHA-256 of the motion, which "selftest.motion" begins: %x

` + "```\n%s```" + `

- Lengths are in percent of an axis, from the end at which it is homed; "to" is X, Y and Z in percent of the volume. Accelerations are in
  mm/s². Where an axis cannot be homed alone, all are.
- *rest N*: N reports of temperatures; what follows begins in step with them, whenever the self-test began. *ping N*: N empty programs, one
  after the other.
- *axis A near N far F sweep L H times K homed M*: the axis is homed; it stands off by N and is homed again, M times; then from F, M times,
  which says how fast it is homed; then, M times, it goes from L to H and back K times, as fast as the board lets it, and is homed from N. Of
  times of the same the shortest counts, for what holds up a host only adds to it; *spread* is from that to the next longer one.
- *off*: the motors are released.
`

// List is the catalogue for programs, as "platen catalogue -o json" prints it and as it is
// signed.
type List struct {
	Version int    `json:"version"`
	Items   []Line `json:"items"`
	Motion  string `json:"selftest_motion"`
	Digest  string `json:"selftest_sha256"` // of Motion
}

// Line is one item of a [List].
type Line struct {
	ID         ID       `json:"id"`
	Name       string   `json:"name"`
	Class      Class    `json:"class"`
	Unit       Unit     `json:"unit"`
	Resolution int64    `json:"resolution"`
	Ratio      int64    `json:"ratio_percent,omitempty"`
	Lowest     int64    `json:"lowest"`
	Highest    int64    `json:"highest"`
	Period     int64    `json:"period_s"`
	Profiles   []string `json:"profiles"`
	IdleOnly   bool     `json:"idle_only,omitempty"`
	Covered    bool     `json:"covered,omitempty"`
	Urgent     bool     `json:"urgent,omitempty"`
	OptIn      bool     `json:"opt_in,omitempty"`
	Purpose    string   `json:"purpose"`
}

// Published is the catalogue of this release.
func Published() List {
	l := List{Version: Version, Motion: Motion, Digest: fmt.Sprintf("%x", MotionDigest())}
	for _, it := range list {
		l.Items = append(l.Items, Line{it.ID, it.Name, it.Class, it.Unit, it.Resolution, it.Ratio, it.Lo, it.Hi, int64(it.Period / time.Second),
			strings.Split(it.Profiles.names(), ","), it.IdleOnly, it.Covered, it.Urgent, it.OptIn, it.Purpose})
	}
	return l
}

// Same reports whether l is the catalogue of this release.
func (l List) Same() bool { return reflect.DeepEqual(l, Published()) }
