package profile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"platen/slicer"
)

// mostErrors is how many mistakes of a text are told.
const mostErrors = 10

// value is a value of a profile as text; the table of settings says what it means.
type value struct {
	text string
	kind string // of kinds
}

// What a value is by its form.
const (
	isText   = "text"
	isWhole  = "whole number"
	isSwitch = "true or false"
	isNumber = "number" // none that a setting wants, but a likely mistake
)

// reader goes through a profile line by line. Of TOML it takes what a profile has:
// tables, and in them keys with text, whole numbers, true and false, one on a line.
// Nothing in it costs more than its length.
type reader struct {
	src     *slicer.Source
	name    string
	line    int
	section slicer.Section
	seen    map[string]bool  // tables and keys
	found   []slicer.Section // tables that have keys
	errs    []error
}

// at keeps a mistake of this line.
func (r *reader) at(err error) {
	if len(r.errs) < mostErrors {
		r.errs = append(r.errs, fmt.Errorf("%s:%d: %w", r.name, r.line, err))
	}
}

// wrong is a mistake in the form of a line.
func (r *reader) wrong(format string, a ...any) {
	r.at(fmt.Errorf("%w: %s", ErrProfile, fmt.Sprintf(format, a...)))
}

// apply returns the tables that have keys.
func apply(src *slicer.Source, name string, text []byte) ([]slicer.Section, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s: %w: larger than %d bytes", name, ErrProfile, MaxSize)
	}
	r := &reader{src: src, name: name, seen: map[string]bool{}}
	for line := range bytes.Lines(text) {
		r.line++
		line := strings.Trim(string(line), " \t\r\n")
		switch {
		case len(r.errs) == mostErrors:
			return nil, errors.Join(r.errs...)
		case line == "" || line[0] == '#':
		case strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f || c == 0xfffd }):
			r.wrong("there is a byte in it that is no text")
		case line[0] == '[':
			r.table(line)
		default:
			r.pair(line)
		}
	}
	return r.found, errors.Join(r.errs...)
}

// table begins [printer] or another.
func (r *reader) table(line string) {
	name, rest, ok := strings.Cut(line[1:], "]")
	if name = word(name); !ok || name == "" || !over(rest) {
		r.section = ""
		r.wrong("a table is written as [quality]")
		return
	}
	r.section = slicer.Section(name)
	switch {
	case !slices.Contains(sections, r.section):
		r.wrong("there is no table [%s]: every value stands in [printer], [material], [quality] or [model]", name)
		r.section = ""
	case r.seen["["+name]:
		r.wrong("[%s] is there twice", name)
	}
	r.seen["["+name] = true
}

// pair reads key = value.
func (r *reader) pair(line string) {
	key, rest, ok := strings.Cut(line, "=")
	if key = word(key); !ok || key == "" {
		r.wrong("a value is written as layer_height = \"0.2mm\"")
		return
	}
	v, ok := parse(strings.TrimLeft(rest, " \t"))
	switch {
	case !ok:
		r.wrong("%s: the value is not text, a whole number, true or false", key)
	case r.section == "" && !slices.ContainsFunc(r.errs, func(err error) bool { return errors.Is(err, ErrProfile) }):
		r.wrong("%s stands in no table: put it below [printer], [material], [quality] or [model]", key)
	case r.section == "": // what was said of its table is enough
	case r.seen[key]:
		r.wrong("%s is there twice", key)
	default:
		if err := r.set(key, v); err != nil {
			r.at(err)
		}
		if !slices.Contains(r.found, r.section) {
			r.found = append(r.found, r.section)
		}
	}
	r.seen[key] = true
}

// word is a bare or quoted key, "" if it is none that a profile has.
func word(s string) string {
	s = strings.Trim(s, " \t")
	if n := len(s); n > 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		s = s[1 : n-1]
	}
	if len(s) > 64 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return ""
	}
	return s
}

// parse reads a value and what follows it on its line.
func parse(s string) (value, bool) {
	if s == "" {
		return value{}, false
	}
	if quote := s[0]; quote == '"' || quote == '\'' {
		text, rest, ok := strings.Cut(s[1:], string(quote))
		if !ok || !over(rest) || quote == '"' && strings.Contains(text, `\`) {
			return value{}, false
		}
		return value{text, isText}, true
	}
	s, _, _ = strings.Cut(s, "#")
	s = strings.Trim(s, " \t")
	if s == "true" || s == "false" {
		return value{s, isSwitch}, true
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return value{strconv.FormatInt(n, 10), isWhole}, true
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil && !strings.Contains(s, "_") {
		return value{s, isNumber}, true
	}
	return value{}, false
}

// over reports whether nothing but a comment follows.
func over(rest string) bool {
	rest = strings.Trim(rest, " \t")
	return rest == "" || rest[0] == '#'
}

// set gives one setting its value.
func (r *reader) set(key string, v value) error {
	s, err := slicer.Lookup(key)
	if err != nil {
		return err
	}
	if s.Section != r.section {
		return fmt.Errorf("%w: %s belongs into [%s]", ErrProfile, key, s.Section)
	}
	want := isText
	switch {
	case s.Switch():
		want = isSwitch
	case s.Count():
		want = isWhole
	}
	if v.kind != want {
		if s.Unit() != "" {
			return fmt.Errorf("%w: %s: a value with its unit is wanted, such as %s", ErrProfile, key, s.Example())
		}
		return fmt.Errorf("%w: %s: %s is wanted, such as %s", ErrProfile, key, want, s.Example())
	}
	return r.src.Set(key, v.text)
}
