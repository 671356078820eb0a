// Package prusa turns settings of PrusaSlicer into a profile of ours.
//
// [Read] finds them in a config.ini, at the end of G-code that PrusaSlicer wrote, and
// in its 3MF projects. [Import] goes through them one by one: what has an equivalent
// is taken, with units and percentages of other settings worked out, and for each of
// the others there is a reason. All options that PrusaSlicer 2.9.4 defines in
// src/libslic3r/PrintConfig.cpp are known, and those that older versions wrote.
package prusa

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"platen/slicer/profile"
)

// ErrNoConfig reports a file without settings of PrusaSlicer.
var ErrNoConfig = errors.New("no settings of PrusaSlicer")

// MaxSize is how much is read of a file, or of a part of a 3MF project.
const MaxSize = 256 << 20

// Config is what a file says, by the names of PrusaSlicer.
type Config map[string]string

// Read finds the settings in a file of size bytes.
func Read(r io.ReaderAt, size int64) (Config, error) {
	head := make([]byte, min(size, 4))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case string(head) == "GCDE":
		return nil, fmt.Errorf("%w are read from binary G-code: export it as text, or export the config", ErrNoConfig)
	case strings.HasPrefix(string(head), "PK"):
		return readProject(r, size)
	}
	return parse(io.NewSectionReader(r, 0, min(size, MaxSize)))
}

// readProject finds them in a 3MF project.
func readProject(r io.ReaderAt, size int64) (Config, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: the file is a damaged archive: %w", ErrNoConfig, err)
	}
	f, err := z.Open("Metadata/Slic3r_PE.config")
	if err != nil {
		return nil, fmt.Errorf("%w in this 3MF file: it is a model, or a project of another slicer", ErrNoConfig)
	}
	defer func() { _ = f.Close() }() // opened for reading
	return parse(io.LimitReader(f, 1<<20))
}

// marker begins and ends the settings in G-code.
const marker = "prusaslicer_config"

// parse reads lines "key = value". In G-code and in projects they are comments.
func parse(r io.Reader) (Config, error) {
	c := Config{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 4<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimRight(lines.Bytes(), "\r")
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if text, ok := bytes.CutPrefix(line, []byte("; ")); ok {
			line = text
		}
		if bytes.HasPrefix(line, []byte("[")) && len(c) == 0 {
			return nil, fmt.Errorf("%w of one print: line %d begins a bundle of them: use File, Export, Export Config", ErrNoConfig, n)
		}
		key, value, ok := bytes.Cut(line, []byte("="))
		name, text := string(bytes.TrimSpace(key)), string(bytes.TrimSpace(value))
		switch {
		case name == marker && text == "begin":
			c = Config{} // what came before was G-code
		case name == marker:
			return c, nil
		case ok && known(name):
			c[name] = text
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(c) < 2 {
		return nil, fmt.Errorf("%w: use a config.ini, G-code or a 3MF project that it has written", ErrNoConfig)
	}
	return c, nil
}

// known reports whether name may be one of PrusaSlicer's: unknown ones are kept, to
// be told, but no line of G-code is taken for one.
func known(name string) bool {
	return name != "" && len(name) < 80 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" && name[0] >= 'a'
}

// Outcome is what became of a setting.
type Outcome string

// The outcomes.
const (
	Taken   Outcome = "taken"
	Changed Outcome = "changed" // taken, but it does not mean quite the same here
	Board   Outcome = "board"   // the board file says it
	None    Outcome = "none"    // there is no equivalent
	Unused  Outcome = "unused"  // it says nothing: an empty text, a feature that is off
)

// Line is what became of one setting.
type Line struct {
	Key     string   `json:"key"`
	Value   string   `json:"value"`
	Outcome Outcome  `json:"outcome"`
	To      []string `json:"to,omitempty"`     // key=value of ours
	Reason  string   `json:"reason,omitempty"` // why not, or what is different
}

// Import goes through the settings, sorted by name, and returns the profile that says
// the same. A value that cannot be ours is None with the reason.
func Import(c Config) ([]byte, []Line, error) {
	var lines []Line
	var pairs []string
	for name := range c {
		l := c.one(name)
		l.Key, l.Value = name, c[name]
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b Line) int { return strings.Compare(a.Key, b.Key) })
	for i, l := range lines {
		if len(l.To) == 0 {
			continue
		}
		var fits profile.Stack
		if err := fits.Set(l.To...); err != nil {
			lines[i] = Line{Key: l.Key, Value: l.Value, Outcome: None, Reason: strings.TrimPrefix(err.Error(), "settings: ")}
			continue
		}
		pairs = append(pairs, l.To...)
	}
	var all profile.Stack
	if err := all.Set(pairs...); err != nil {
		return nil, nil, err
	}
	return all.Text(), lines, nil
}

// on reports whether a setting says anything but no.
func (c Config) on(name string) bool {
	text := c.text(name)
	return text != "" && text != "0" && text != "none" && text != "nowhere"
}

// one decides on one setting.
func (c Config) one(name string) Line {
	if r, ok := rules()[name]; ok {
		return r(c, name)
	}
	value := strings.Trim(c[name], `" `)
	if g := groupOf(name); g != nil {
		switch {
		case value == "" || g.zero && (value == "0" || value == "0%") || slices.Contains(strings.Fields(g.off), value):
			return Line{Outcome: Unused, Reason: off}
		case g.needs != "" && !c.on(g.needs):
			return Line{Outcome: Unused, Reason: g.needs + " is off"}
		}
		return Line{Outcome: g.outcome, Reason: g.why}
	}
	return Line{Outcome: None, Reason: "PrusaSlicer 2.9 has no such setting"}
}
