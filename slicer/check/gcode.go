package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/clock"
)

// line is a printed straight line, in mm.
type line struct {
	a, b  pt
	width float64
	area  float64 // of its cross-section, mm²
	kind  Kind
}

// travel is a straight way on which nothing is printed.
type travel struct {
	a, b  pt
	loose bool // the filament is not drawn back, though some was printed before
	chain int  // ways one after the other have the same
}

// layer is what is printed at one height.
type layer struct {
	top     float64
	height  float64 // as the file says, 0 if it does not
	lines   []line  // of the part
	travels []travel
}

// words of one command.
type command struct {
	letter byte
	number int
	has    uint32
	value  [26]float64
}

func (c *command) get(letter byte) (float64, bool) {
	i := letter - 'A'
	return c.value[i], c.has&(1<<i) != 0
}

// reader is a printer that only draws.
type reader struct {
	o          Options
	emit       func(*layer) error
	at         [4]float64 // X, Y, Z in mm, E as the file counts it
	relative   bool
	relativeE  bool
	scale      float64
	feed       float64 // mm/min
	drawn      float64 // mm of filament that is drawn back
	firmware   bool    // drawn back by the firmware
	kind       Kind
	width      float64 // by comment, mm
	height     float64
	marked     bool // the file says where layers begin
	said       bool // and how high this one is
	now        layer
	open       bool // now holds a line
	pending    []travel
	chain      int
	lastTop    float64
	highest    float64 // of all lines, those of no part included
	clock      *clock.Clock
	filament2  float64 // cross-section of the filament, mm²
	rep        Report
	cmd        command
	retracting bool
}

// readLayers calls emit with each layer that holds lines of a part, in the order of
// the file. A layer is good until emit returns.
func readLayers(ctx context.Context, src io.Reader, o Options, emit func(*layer) error) (Report, error) {
	m := clock.Default()
	if o.Accel > 0 {
		m.Accel, m.Travel = o.Accel, o.Accel
	}
	// What comes before the first ;TYPE: is no part.
	r := &reader{o: o, emit: emit, scale: 1, kind: Other, clock: clock.New(m), filament2: math.Pi / 4 * o.Filament.MM() * o.Filament.MM()}
	b := bufio.NewReaderSize(src, 1<<16)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return r.rep, ctx.Err()
		}
		text, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // a picture, or settings
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = b.ReadSlice('\n')
			}
			text = nil
		}
		if e := r.text(bytes.TrimSpace(text)); e != nil {
			return r.rep, e
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return r.rep, err
		}
	}
	err := r.end()
	r.rep.Time = r.clock.Total()
	return r.rep, err
}

// end hands on the layer at hand.
func (r *reader) end() error {
	if !r.open {
		return nil
	}
	r.open = false
	r.lastTop = r.now.top
	err := r.emit(&r.now)
	r.now.lines, r.now.travels, r.now.height = r.now.lines[:0], r.now.travels[:0], 0
	return err
}

func (r *reader) text(s []byte) error {
	if len(s) == 0 {
		return nil
	}
	if s[0] == ';' {
		return r.comment(s[1:])
	}
	if i := bytes.IndexByte(s, ';'); i >= 0 {
		s = s[:i]
	}
	if i := bytes.IndexByte(s, '*'); i >= 0 {
		s = s[:i]
	}
	if r.cmd.parse(s) {
		return r.run(&r.cmd)
	}
	return nil
}

func (r *reader) comment(s []byte) error {
	name, value, _ := bytes.Cut(s, []byte{':'})
	switch string(bytes.TrimSpace(name)) {
	case "TYPE":
		r.kind = kindOf(string(value))
	case "WIDTH":
		r.width, _, _ = decimal(bytes.TrimSpace(value))
	case "HEIGHT":
		r.height, _, _ = decimal(bytes.TrimSpace(value))
		if !r.open && !r.said {
			r.now.height, r.said = r.height, true
		}
	case "LAYER_CHANGE", "LAYER":
		r.marked, r.said = true, false
		err := r.end()
		r.lastTop = r.highest
		return err
	}
	return nil
}

// parse reads the words of a command; false if there are none.
func (c *command) parse(s []byte) bool {
	c.has, c.letter, c.number = 0, 0, 0
	for len(s) > 0 {
		letter := s[0] &^ 0x20
		s = s[1:]
		if letter < 'A' || letter > 'Z' {
			continue
		}
		v, n, ok := decimal(s)
		s = s[n:]
		switch {
		case letter == 'N' && c.letter == 0:
		case c.letter == 0 && (letter == 'G' || letter == 'M' || letter == 'T') && ok:
			c.letter, c.number = letter, int(v)
		case c.letter == 0: // no command that is known here
			return false
		default:
			c.has |= 1 << (letter - 'A')
			c.value[letter-'A'] = v
		}
	}
	return c.letter != 0
}

// decimal reads the number at the start of s; n is its length.
func decimal(s []byte) (v float64, n int, ok bool) {
	sign := 1.0
	for n < len(s) && s[n] == ' ' {
		n++
	}
	if n < len(s) && (s[n] == '-' || s[n] == '+') {
		if s[n] == '-' {
			sign = -1
		}
		n++
	}
	var whole int64
	scale := int64(1)
	point := false
	for ; n < len(s); n++ {
		switch c := s[n]; {
		case c >= '0' && c <= '9':
			if whole < 1e16 {
				whole = whole*10 + int64(c-'0')
				if point {
					scale *= 10
				}
			}
			ok = true
		case c == '.' && !point:
			point = true
		default:
			return sign * float64(whole) / float64(scale), n, ok
		}
	}
	return sign * float64(whole) / float64(scale), n, ok
}

func (r *reader) run(c *command) error {
	switch {
	case c.letter == 'G':
		return r.runG(c)
	case c.letter == 'M' && c.number == 82:
		r.relativeE = false
	case c.letter == 'M' && c.number == 83:
		r.relativeE = true
	case c.letter == 'M' && c.number == 204 && r.o.Accel == 0:
		a, ok := c.get('P')
		if !ok {
			a, ok = c.get('S')
		}
		if ok {
			r.clock.Add(motion.Op{Kind: motion.SetAccel, Accel: unit.Accel(a)})
		}
	}
	return nil
}

func (r *reader) runG(c *command) error {
	switch c.number {
	case 0, 1:
		return r.move(c, nil)
	case 2, 3:
		return r.move(c, r.arc(c))
	case 10, 11:
		if r.firmware = c.number == 10; r.firmware {
			r.rep.Retractions++
		}
	case 20:
		r.scale = 25.4
	case 21:
		r.scale = 1
	case 28:
		r.home(c)
	case 90, 91:
		r.relative = c.number == 91
		r.relativeE = r.relative
	case 92:
		for i, l := range [4]byte{'X', 'Y', 'Z', 'E'} {
			if v, ok := c.get(l); ok {
				r.at[i] = v * r.scale
			}
		}
	}
	return nil
}

func (r *reader) home(c *command) {
	any := false
	for i, l := range [3]byte{'X', 'Y', 'Z'} {
		if _, ok := c.get(l); ok {
			r.at[i] = 0
			any = true
		}
	}
	if !any {
		r.at[0], r.at[1], r.at[2] = 0, 0, 0
	}
	r.pending = r.pending[:0]
	r.clock.Add(motion.Op{Kind: motion.Home})
}
