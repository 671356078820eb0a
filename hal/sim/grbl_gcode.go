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

// wordG is a G word; groups are numbered as grbl's MODAL_GROUP_G0 and so on. mantissa
// is what stands behind the point, in hundredths.
func (b *grblBlock) wordG(n, mantissa int) int {
	group, rest, status := b.commandG(n, mantissa)
	if status == 20 {
		group, rest, status = b.modeG(n, mantissa)
	}
	switch {
	case status != 0:
		return status
	case rest > 0:
		return 23
	}
	return b.group(group)
}

// claim says what the axis words of the block are for.
func (b *grblBlock) claim(what int) (status int) {
	if b.axis != 0 {
		return 24
	}
	b.axis = what
	return 0
}

// commandG is a G word that does something. It returns what is left of the mantissa.
func (b *grblBlock) commandG(n, mantissa int) (group uint, rest, status int) {
	switch n {
	case 10, 28, 30, 92:
		b.action = n
		switch {
		case mantissa == 0:
			return 0, 0, b.claim(axisAction)
		case n == 10:
			return 0, mantissa, 0
		case mantissa != 10:
			return 0, 0, 20
		}
		b.action = n*10 + 1
		return 0, 0, 0
	case 4, 53:
		b.action = n
		return 0, mantissa, 0
	case 0, 1, 2, 3:
		b.modal.motion = n
		return 1, mantissa, b.claim(axisMotion)
	case 38:
		if status := b.claim(axisMotion); status != 0 {
			return 0, 0, status
		}
		if mantissa%10 != 0 || mantissa < 20 || mantissa > 50 {
			return 0, 0, 20
		}
		b.modal.motion = 380 + mantissa/10
		return 1, 0, 0
	case 43, 49:
		b.length = n
		if status := b.claim(axisTool); status != 0 || n == 43 && mantissa != 10 {
			return 0, 0, max(status, 20)
		}
		return 8, 0, 0
	}
	return 0, 0, 20
}

// modeG is a G word that stays.
func (b *grblBlock) modeG(n, mantissa int) (group uint, rest, status int) {
	switch n {
	case 80:
		b.modal.motion = n
		return 1, mantissa, 0
	case 17, 18, 19:
		b.modal.plane = n - 17
		return 2, mantissa, 0
	case 90, 91:
		if mantissa == 0 {
			b.modal.relative = n - 90
			return 3, 0, 0
		}
		if mantissa != 10 || n == 90 {
			return 0, 0, 20
		}
		return 4, 0, 0 // G91.1 is how it is
	case 93, 94:
		b.modal.inverse = 94 - n
		return 5, mantissa, 0
	case 20, 21:
		b.modal.inches = 21 - n
		return 6, mantissa, 0
	case 40:
		return 7, mantissa, 0
	case 54, 55, 56, 57, 58, 59:
		b.modal.system = n - 54
		return 12, mantissa, 0
	case 61:
		if mantissa == 0 {
			return 13, 0, 0
		}
	}
	return 0, 0, 20
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
