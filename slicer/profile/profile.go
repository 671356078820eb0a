// Package profile reads and writes profiles: settings of the slicer as TOML.
//
// A profile has up to four tables, [printer], [material], [quality] and [model], and
// in them the keys of [slicer.Table], each with its unit:
//
//	[material]
//	hot_end = "240C"
//
//	[quality]
//	layer_height = "0.2mm"
//	walls = 3
//
// Every value stands on a line of its own; of TOML that is all that a profile has. It
// says only what it wants otherwise: [Apply] lays it over what is there. It is strict: a
// key that is unknown, in the wrong table or twice there, and a value that has another
// unit or is out of range, are each an error with their line. Profiles that come with
// Platen are in this folder: [Names] and [Find].
package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"platen/slicer"
)

// MaxSize is the size of the largest profile in bytes.
const MaxSize = 16 << 10

// ErrProfile reports a text that is not a profile. What is wrong with a value is
// slicer.ErrSettings.
var ErrProfile = errors.New("profile")

// sections are the tables a profile may have.
var sections = []slicer.Section{slicer.Printer, slicer.Material, slicer.Quality, slicer.Model}

// Apply lays a profile over s. name is that of the file, for errors, of which each
// has its line; s is changed only if there is none. It must have no value in the tables
// named in without. What depends on other settings is for [slicer.Settings.Validate] to
// check, once all profiles are applied.
func Apply(s *slicer.Settings, name string, text []byte, without ...slicer.Section) error {
	next := *s
	found, err := apply(slicer.NewSource(&next, false), name, text)
	if err != nil {
		return err
	}
	for _, section := range without {
		if slices.Contains(found, section) {
			return fmt.Errorf("%s: %w: [%s] must be left out", name, ErrProfile, section)
		}
	}
	*s = next
	return nil
}

// Format writes the profile that turns from into to: what differs, in the order of
// the table. With whole it writes everything, with what each setting means.
func Format(from, to slicer.Settings, whole bool) []byte {
	changed := map[string]bool{}
	for i := range slicer.Table() {
		r := &slicer.Table()[i]
		changed[r.Key] = whole || r.Text(&from) != r.Text(&to)
	}
	var rows []*slicer.Setting
	for i := range slicer.Table() {
		if r := &slicer.Table()[i]; changed[r.Key] || changed[r.Follows()] {
			rows = append(rows, r)
		}
	}
	return format(rows, &to, whole)
}

func format(rows []*slicer.Setting, s *slicer.Settings, docs bool) []byte {
	var b bytes.Buffer
	var section slicer.Section
	for _, r := range rows {
		if r.Section != section {
			if section = r.Section; b.Len() > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "[%s]\n", section)
		}
		text := r.Text(s)
		if !r.Switch() && !r.Count() {
			text = `"` + text + `"`
		}
		fmt.Fprintf(&b, "%s = %s", r.Key, text)
		if docs {
			fmt.Fprintf(&b, " # %s (%s)", r.Doc, r.Range())
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Stack is profiles laid over each other, and what they set between them.
type Stack struct {
	settings slicer.Settings
	set      map[string]bool
}

// Add lays a profile over those before. See [Apply] for name and errors.
func (k *Stack) Add(name string, text []byte) error {
	k.start()
	next := k.settings
	src := slicer.NewSource(&next, false)
	if _, err := apply(src, name, text); err != nil {
		return err
	}
	k.keep(next, src)
	return nil
}

// Set lays single values over what is there, each written key=value, without a unit
// if need be.
func (k *Stack) Set(pairs ...string) error {
	k.start()
	next := k.settings
	src := slicer.NewSource(&next, true)
	for _, p := range pairs {
		key, text, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("%w: %q is not key=value", slicer.ErrSettings, p)
		}
		if err := src.Set(strings.TrimSpace(key), text); err != nil {
			return err
		}
	}
	k.keep(next, src)
	return nil
}

func (k *Stack) start() {
	if k.set == nil {
		k.settings, k.set = slicer.Default(), map[string]bool{}
	}
}

func (k *Stack) keep(next slicer.Settings, src *slicer.Source) {
	k.settings = next
	for _, r := range src.Moved() {
		k.set[r.Key] = true
	}
}

// Text is one profile that does what all of the stack do together. It has no more
// than what they set, and is nil if that is nothing.
func (k *Stack) Text() []byte {
	var rows []*slicer.Setting
	for i := range slicer.Table() {
		if r := &slicer.Table()[i]; k.set[r.Key] {
			rows = append(rows, r)
		}
	}
	if rows == nil {
		return nil
	}
	return format(rows, &k.settings, false)
}

// Open returns a profile: the file of that name, or, if the name has no ending, the
// one that comes with Platen.
func Open(name string) ([]byte, error) {
	if p, ok := Find(name); ok {
		return p.Text, nil
	}
	if !strings.HasSuffix(name, ".toml") {
		return nil, fmt.Errorf("%w: there is none called %q: use the name of a .toml file, or one of %s", ErrProfile, name, strings.Join(Names(), ", "))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrProfile, name, err)
	}
	return text, nil
}
