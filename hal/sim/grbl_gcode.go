package sim

import "math"

// grblModal is what stays from block to block (gc_modal_t).
type grblModal struct {
	motion   int // 0 to 3, 80, 382 to 385
	system   int // 0 is G54
	plane    int
	inches   int // 1 for G20
	relative int // 1 for G91
	inverse  int // 1 for G93
	spindle  int // 3, 4 or 5
	coolant  int
}

// grblModes is the state of the parser (parser_state_t); positions are in mm, in
// machine coordinates of grbl.
type grblModes struct {
	modal    grblModal
	at       [3]float64
	feed     float64 // mm/min
	speed    float64 // of the spindle
	selected int     // tool
	tool     float64 // length offset
	shift    [3]float64
	probed   [3]float64

	systems [6][3]float64 // G54 to G59, in EEPROM
	stored  [2][3]float64 // G28, G30, in EEPROM
}

// reset is gc_init: what is in EEPROM stays.
func (c *grblModes) reset() {
	*c = grblModes{systems: c.systems, stored: c.stored, at: c.at}
	c.modal.spindle = 5
}

// offset is how far the zero of the work is from that of the machine.
func (c *grblModes) offset() (o [3]float64) {
	for i := range o {
		o[i] = c.systems[c.modal.system][i] + c.shift[i]
	}
	o[2] += c.tool
	return o
}

// spinning is the speed of the spindle while it is on.
func (c *grblModes) spinning() float64 {
	if c.modal.spindle == 5 {
		return 0
	}
	return c.speed
}

// grblBlock is a parsed block.
type grblBlock struct {
	modal  grblModal
	action int // non-modal: 4, 10, 28, 281, 30, 301, 53, 92, 921
	axis   int // what the axis words are for: 0 nothing, 1 action, 2 motion, 3 tool length
	length int // tool length: 43 or 49
	flow   int // M0, M2, M30
	seen   [256]bool
	value  [256]float64
	groups uint32
	feed   float64
	to     [3]float64
	center [3]float64
	radius float64
}

const (
	axisAction = iota + 1
	axisMotion
	axisTool
)

func (b *grblBlock) anyAxis() bool { return b.seen['X'] || b.seen['Y'] || b.seen['Z'] }

// readFloat is read_float: no exponents.
func readFloat(s string) (v float64, rest string, ok bool) {
	i, neg := 0, false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		neg = s[i] == '-'
		i++
	}
	digits, exp, point := 0, 0, false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			if digits++; digits <= 8 {
				v = v*10 + float64(c-'0')
				if point {
					exp--
				}
			} else if !point {
				exp++
			}
			continue
		case c == '.' && !point:
			point = true
			continue
		}
		break
	}
	if digits == 0 {
		return 0, s, false
	}
	v *= math.Pow10(exp)
	if neg {
		v = -v
	}
	return v, s[i:], true
}

// block is gc_execute_line.
func (g *grbl) block(s string, jog bool) int {
	b := grblBlock{modal: g.gc.modal}
	if jog {
		b.modal.motion, b.modal.inverse = 1, 0
	}
	if status := b.words(s); status != 0 {
		return status
	}
	if status := g.check(&b, jog); status != 0 {
		return status
	}
	if jog {
		return g.jog(&b)
	}
	return g.perform(&b)
}

// words reads the words of a block.
func (b *grblBlock) words(s string) int {
	for s != "" {
		letter := s[0]
		if letter < 'A' || letter > 'Z' {
			return 1
		}
		v, rest, ok := readFloat(s[1:])
		if !ok {
			return 2
		}
		s = rest
		whole := int(v)
		mantissa := int(math.Round(100 * (v - float64(whole))))
		status := 0
		switch letter {
		case 'G':
			status = b.wordG(whole, mantissa)
		case 'M':
			status = b.wordM(whole, mantissa)
		default:
			status = b.word(letter, v)
		}
		if status != 0 {
			return status
		}
	}
	return 0
}

// word is a letter with a value.
func (b *grblBlock) word(letter byte, v float64) int {
	switch letter {
	case 'F', 'I', 'J', 'K', 'L', 'N', 'P', 'R', 'S', 'X', 'Y', 'Z':
	case 'T':
		if v > 255 {
			return 38
		}
	default:
		return 20
	}
	if b.seen[letter] {
		return 25
	}
	if v < 0 && (letter == 'F' || letter == 'N' || letter == 'P' || letter == 'S' || letter == 'T') {
		return 4
	}
	b.seen[letter], b.value[letter] = true, v
	return 0
}

// group notes that a modal group has its command.
func (b *grblBlock) group(n uint) int {
	if b.groups>>n&1 == 1 {
		return 21
	}
	b.groups |= 1 << n
	return 0
}

// wordG is a G word; groups are numbered as grbl's MODAL_GROUP_G0 and so on.
func (b *grblBlock) wordG(n, mantissa int) int {
	claim := func(what int) int {
		if b.axis != 0 {
			return 24
		}
		b.axis = what
		return 0
	}
	group := uint(0)
	switch n {
	case 10, 28, 30, 92:
		b.action = n
		if mantissa == 0 {
			if status := claim(axisAction); status != 0 {
				return status
			}
		} else if mantissa == 10 && n != 10 {
			b.action, mantissa = n*10+1, 0
		} else if n != 10 {
			return 20
		}
	case 4, 53:
		b.action = n
	case 0, 1, 2, 3, 38:
		if status := claim(axisMotion); status != 0 {
			return status
		}
		group, b.modal.motion = 1, n
		if n == 38 {
			if mantissa%10 != 0 || mantissa < 20 || mantissa > 50 {
				return 20
			}
			b.modal.motion, mantissa = 380+mantissa/10, 0
		}
	case 80:
		group, b.modal.motion = 1, n
	case 17, 18, 19:
		group, b.modal.plane = 2, n-17
	case 90, 91:
		group, b.modal.relative = 3, n-90
		if mantissa != 0 {
			if mantissa != 10 || n == 90 {
				return 20
			}
			group, mantissa, b.modal.relative = 4, 0, 0
		}
	case 93, 94:
		group, b.modal.inverse = 5, 94-n
	case 20, 21:
		group, b.modal.inches = 6, 21-n
	case 40:
		group = 7
	case 43, 49:
		if status := claim(axisTool); status != 0 {
			return status
		}
		if n == 43 && mantissa != 10 {
			return 20
		}
		group, b.length, mantissa = 8, n, 0
	case 54, 55, 56, 57, 58, 59:
		group, b.modal.system = 12, n-54
	case 61:
		group = 13
		if mantissa != 0 {
			return 20
		}
	default:
		return 20
	}
	if mantissa > 0 {
		return 23
	}
	return b.group(group)
}

func (b *grblBlock) wordM(n, mantissa int) int {
	if mantissa > 0 {
		return 23
	}
	switch n {
	case 0, 1, 2, 30:
		b.flow = n
		if n == 0 {
			b.flow = -1
		}
		return b.group(16)
	case 3, 4, 5:
		b.modal.spindle = n
		return b.group(17)
	case 8, 9:
		b.modal.coolant = 9 - n
		return b.group(18)
	}
	return 20
}
