package slicer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"platen/hal/unit"
)

// ErrSettings reports settings that cannot be printed with; the text names each.
var ErrSettings = errors.New("settings")

// Section says what a setting depends on, and in which table of a profile it stands.
type Section string

// The sections.
const (
	Printer  Section = "printer"  // the machine: a board file knows these of its own and wins
	Material Section = "material" // what it prints with
	Quality  Section = "quality"  // how well and how fast
	Model    Section = "model"    // what is done with this model
)

// kind is how the value of a setting is written.
type kind uint8

const (
	kindLength kind = iota
	kindSpeed
	kindAccel
	kindFlow
	kindArea // whole mm²
	kindHeat
	kindAngle
	kindTime
	kindPercent // whole percent
	kindRatio   // 1/10000, written in percent
	kindDuty    // 1/255, written in percent
	kindAdvance // 1/10000 s
	kindCount
	kindSwitch
	kindChoice
)

// kinds says of each kind the unit, how many steps of its type one of it is, and with
// how many decimals a value is written so that it is read back as it was.
var kinds = [...]struct {
	unit     string
	lax      []string // other ways to write it
	scale    float64
	per      float64 // divides scale; 0 is 1
	decimals int
}{
	kindLength:  {unit: "mm", scale: float64(unit.Millimetre), decimals: 6},
	kindSpeed:   {unit: "mm/s", scale: float64(unit.MillimetrePerSecond), decimals: 3},
	kindAccel:   {unit: "mm/s2", lax: []string{"mm/s²"}, scale: 1},
	kindFlow:    {unit: "mm3/s", lax: []string{"mm³/s"}, scale: 1000, decimals: 3},
	kindArea:    {unit: "mm2", lax: []string{"mm²"}, scale: 1},
	kindHeat:    {unit: "C", lax: []string{"°C"}, scale: float64(unit.Degree), decimals: 3},
	kindAngle:   {unit: "deg", lax: []string{"°"}, scale: 1000, decimals: 3},
	kindTime:    {unit: "s", scale: float64(time.Second)},
	kindPercent: {unit: "%", scale: 1},
	kindRatio:   {unit: "%", scale: 100, decimals: 2},
	kindDuty:    {unit: "%", scale: float64(unit.FullDuty), per: 100, decimals: 2},
	kindAdvance: {unit: "s", scale: 10_000, decimals: 4},
	kindCount:   {scale: 1},
	kindSwitch:  {scale: 1},
	kindChoice:  {scale: 1},
}

// Setting is a row of the table of settings: what it is called, what it means, what
// it may be, and where it is in [Settings].
type Setting struct {
	Key     string // as in a profile
	Section Section
	Group   string // heading under which it is explained
	Doc     string // one line; no full stop

	kind    kind
	lo, hi  int64
	choices []string
	follows string // key whose value it takes where only that is given
	get     func(*Settings) int64
	set     func(*Settings, int64)
}

// Table returns all settings, in the order of the reference page. It is not to be
// changed.
func Table() []Setting { return *table() }

var table = sync.OnceValue(func() *[]Setting {
	t := rows()
	return &t
})

// index finds settings by key.
var index = sync.OnceValue(func() map[string]*Setting {
	t := *table()
	m := make(map[string]*Setting, len(t))
	for i := range t {
		m[t[i].Key] = &t[i]
	}
	return m
})

// Lookup finds a setting by its key. If there is none, the error names the key that
// is nearest.
func Lookup(key string) (*Setting, error) {
	if r, ok := index()[key]; ok {
		return r, nil
	}
	best, near := 0, ""
	for _, r := range Table() {
		if d := distance(key, r.Key); near == "" || d < best {
			best, near = d, r.Key
		}
	}
	if best > max(2, len(key)/2) {
		return nil, fmt.Errorf("%w: there is no %q: see platen-slice settings", ErrSettings, key)
	}
	return nil, fmt.Errorf("%w: there is no %q; is it %q?", ErrSettings, key, near)
}

// distance is how many letters one word is from another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// CopySection gives to all values of a section that from has.
func CopySection(to, from *Settings, section Section) {
	for i := range Table() {
		if r := &Table()[i]; r.Section == section {
			r.set(to, r.get(from))
		}
	}
}

// Unit is what follows a number: "mm", "mm/s", "mm/s2", "mm2", "mm3/s", "C", "deg", "s" or
// "%". It is "" for counts, switches and choices.
func (r *Setting) Unit() string { return kinds[r.kind].unit }

// Choices are the words that can be chosen from; none if it is not a choice.
func (r *Setting) Choices() []string { return r.choices }

// Follows is the key of the setting whose value this one takes where a file or a
// command line gives that one alone; "" if it follows none.
func (r *Setting) Follows() string { return r.follows }

// Switch reports whether the value is true or false.
func (r *Setting) Switch() bool { return r.kind == kindSwitch }

// Count reports whether the value is a whole number without a unit.
func (r *Setting) Count() bool { return r.kind == kindCount }

// Range says what the value may be, such as "0.02mm to 2mm".
func (r *Setting) Range() string {
	switch r.kind {
	case kindSwitch:
		return "true, false"
	case kindChoice:
		return strings.Join(r.choices, ", ")
	}
	return r.text(r.lo) + " to " + r.text(r.hi)
}

// Text is the value in s with its unit, as [Setting.Set] reads it.
func (r *Setting) Text(s *Settings) string { return r.text(r.get(s)) }

func (r *Setting) text(v int64) string {
	k := kinds[r.kind]
	switch r.kind {
	case kindSwitch:
		return strconv.FormatBool(v != 0)
	case kindChoice:
		if v >= 0 && v < int64(len(r.choices)) {
			return r.choices[v]
		}
	case kindTime:
		return time.Duration(v).String()
	}
	num := float64(v) * max(k.per, 1) / k.scale
	t := strconv.FormatFloat(num, 'f', k.decimals, 64)
	for d := range k.decimals { // the shortest that is read back as v
		short := strconv.FormatFloat(num, 'f', d, 64)
		if x, err := strconv.ParseFloat(short, 64); err == nil && r.steps(x) == float64(v) {
			t = short
			break
		}
	}
	return t + k.unit
}

// steps is a number of the unit in steps of the type.
func (r *Setting) steps(x float64) float64 {
	k := kinds[r.kind]
	return math.Round(float64(x*k.scale) / max(k.per, 1))
}

// Draw sets a value that is in range, whichever pick says: for tests over all
// settings.
func (r *Setting) Draw(s *Settings, pick uint64) {
	r.set(s, r.lo+int64(pick%uint64(r.hi-r.lo+1)))
}

// Set puts the value that text says into s. Lengths, speeds and so on need their
// unit. What is out of range is ErrSettings.
func (r *Setting) Set(s *Settings, text string) error {
	v, err := r.parse(text, true)
	if err == nil {
		err = r.check(v)
	}
	if err != nil {
		return err
	}
	r.set(s, v)
	return nil
}

// SetLoosely is Set for what people type: a number without a unit has the usual one,
// and lengths may be in um.
func (r *Setting) SetLoosely(s *Settings, text string) error {
	v, err := r.parse(strings.TrimSpace(text), false)
	if err == nil {
		err = r.check(v)
	}
	if err != nil {
		return err
	}
	r.set(s, v)
	return nil
}

func (r *Setting) parse(text string, strict bool) (int64, error) {
	bad := func() (int64, error) {
		return 0, fmt.Errorf("%w: %s: %q is not %s", ErrSettings, r.Key, text, r.example())
	}
	switch r.kind {
	case kindSwitch:
		if text != "true" && text != "false" {
			return bad()
		}
		return int64(len("false") - len(text)), nil
	case kindChoice:
		if i := slices.Index(r.choices, text); i >= 0 {
			return int64(i), nil
		}
		return bad()
	case kindTime:
		d, err := time.ParseDuration(text)
		if err == nil {
			return int64(d), nil
		}
	}
	digits, ok := r.digits(text, strict)
	v, err := strconv.ParseFloat(digits, 64)
	v = r.steps(v)
	if !ok || err != nil || strings.ContainsAny(digits, "xXpP_") || !(math.Abs(v) < 1<<53) {
		return bad()
	}
	return int64(v), nil
}

// digits takes the unit off a number. It reports false if it is another, or is
// missing where it must not be.
func (r *Setting) digits(text string, strict bool) (string, bool) {
	k := kinds[r.kind]
	if k.unit == "" {
		return text, !strings.ContainsAny(text, ".eE")
	}
	for _, u := range append(k.lax, k.unit) {
		if digits, ok := strings.CutSuffix(text, u); ok && (u == k.unit || !strict) {
			return strings.TrimRight(digits, " "), true
		}
	}
	if r.kind == kindLength && !strict {
		for _, u := range []string{"um", "µm"} {
			if digits, ok := strings.CutSuffix(text, u); ok {
				return strings.TrimRight(digits, " ") + "e-3", true
			}
		}
	}
	return text, !strict
}

// Example is a value as it is written in a profile.
func (r *Setting) Example() string {
	s := Default()
	if r.Count() || r.Switch() {
		return r.Text(&s)
	}
	return strconv.Quote(r.Text(&s))
}

// example says how a value is written.
func (r *Setting) example() string {
	switch r.kind {
	case kindSwitch:
		return "true or false"
	case kindChoice:
		return "one of " + strings.Join(r.choices, ", ")
	case kindCount:
		return "a whole number"
	case kindTime:
		return `a time such as "10s"`
	}
	return fmt.Sprintf("a number with the unit %s, such as %q", r.Unit(), r.text(r.hi))
}

// check holds a value against the range.
func (r *Setting) check(v int64) error {
	if v < r.lo || v > r.hi {
		return fmt.Errorf("%w: %s of %s is not between %s and %s", ErrSettings, r.Key, r.text(v), r.text(r.lo), r.text(r.hi))
	}
	return nil
}

// Source sets one setting after the other, as one file or one command line gives
// them. A setting that follows another takes the value of that, unless the same
// source gives it one of its own.
type Source struct {
	to    *Settings
	given map[string]bool
	moved []*Setting
	loose bool
}

// NewSource makes a source of changes to s. Values must have their units, unless it
// is loose.
func NewSource(s *Settings, loose bool) *Source {
	return &Source{to: s, given: map[string]bool{}, loose: loose}
}

// Set gives the setting called key the value that text says.
func (c *Source) Set(key, text string) error {
	r, err := Lookup(key)
	if err != nil {
		return err
	}
	set := (*Setting).Set
	if c.loose {
		set = (*Setting).SetLoosely
	}
	if err := set(r, c.to, text); err != nil {
		return err
	}
	c.given[key] = true
	for i := range Table() {
		if f := &Table()[i]; f.follows == key && !c.given[f.Key] {
			f.set(c.to, r.get(c.to))
			c.moved = append(c.moved, f)
		}
	}
	c.moved = append(c.moved, r)
	return nil
}

// Moved lists the settings that were set, those that followed included, the latest
// last. One may be there twice.
func (c *Source) Moved() []*Setting { return c.moved }
