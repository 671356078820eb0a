package bootloader

import "time"

// stk is stk500boot.c: messages of AVR068 from a line without any other framing.
type stk struct {
	signature uint32
	state     stkState
	seq       byte
	size      int
	sum       byte
	body      []byte
	address   int // in bytes; beyond every flash if negative
	eraser    int // the page that the next write erases
	crashed   bool
}

type stkState uint8

const (
	stkStart stkState = iota
	stkSeq
	stkSize1
	stkSize2
	stkToken
	stkData
	stkCheck
)

// Times of stk500boot.c: until the first byte, and between two bytes later.
const (
	stkWindow = time.Second
	stkIdle   = 3 * time.Second
	stkRoom   = 285 // msgBuffer
)

func (s *stk) boot(c *Chip) {
	*s = stk{signature: s.signature}
	c.after(stkWindow, func() { s.timeout(c) })
}

// timeout starts the application if there is one.
func (s *stk) timeout(c *Chip) {
	if s.crashed {
		return
	}
	if c.valid(0, 2) {
		c.start()
		return
	}
	c.after(stkIdle, func() { s.timeout(c) })
}

func (s *stk) feed(c *Chip, b byte) {
	if s.crashed {
		return
	}
	c.after(stkIdle, func() { s.timeout(c) })
	s.sum ^= b
	switch s.state {
	case stkStart:
		if b == 0x1b {
			s.state, s.sum = stkSeq, b
		}
	case stkSeq:
		if c.cfg.OldSequence && b != 1 && b != s.seq {
			s.state = stkStart
			return
		}
		s.seq, s.state = b, stkSize1
	case stkSize1:
		s.size, s.state = int(b)<<8, stkSize2
	case stkSize2:
		s.size, s.state = s.size|int(b), stkToken
	case stkToken:
		s.state = stkStart
		if b == 0x0e {
			s.state, s.body = stkData, s.body[:0]
		}
	case stkData:
		s.body = append(s.body, b)
		if len(s.body) > stkRoom { // the real one writes over its stack
			s.crashed = true
		}
		if len(s.body) == s.size {
			s.state = stkCheck
		}
	case stkCheck:
		s.state = stkStart
		if s.sum == 0 {
			s.run(c)
		}
	}
}

func (s *stk) answer(c *Chip, body ...byte) {
	m := append([]byte{0x1b, s.seq, byte(len(body) >> 8), byte(len(body)), 0x0e}, body...)
	var x byte
	for _, b := range m {
		x ^= b
	}
	c.send(append(m, x)...)
	s.seq++
}

// at returns a byte of the request, 0 behind its end.
func (s *stk) at(i int) byte {
	if i < len(s.body) {
		return s.body[i]
	}
	return 0
}

func (s *stk) run(c *Chip) {
	cmd := s.at(0)
	if c.refuse() {
		s.answer(c, cmd, 0xc0)
		return
	}
	switch cmd {
	case 0x01:
		s.answer(c, append([]byte{cmd, 0, 8}, "AVRISP_2"...)...)
	case 0x06:
		s.address = int(int32((uint32(s.at(1))<<24 | uint32(s.at(2))<<16 | uint32(s.at(3))<<8 | uint32(s.at(4))) << 1))
		s.answer(c, cmd, 0)
	case 0x10:
		s.answer(c, cmd, 0)
	case 0x11:
		s.answer(c, cmd, 0)
		// The real one jumps to whatever is there.
		c.start()
	case 0x13:
		s.write(c)
		s.answer(c, cmd, 0)
	case 0x14:
		n := min(int(s.at(1))<<8|int(s.at(2)), 256)
		p := c.flash.read(s.address, n)
		s.address += n
		s.answer(c, append(append([]byte{cmd, 0}, p...), 0)...)
	case 0x1b:
		s.answer(c, cmd, 0, byte(s.signature>>(16-8*min(s.at(4), 2))), 0)
	default:
		s.answer(c, cmd, 0xc0)
	}
}

// write erases what its own pointer says and writes where the address says. Lock bits
// keep it out of the bootloader.
func (s *stk) write(c *Chip) {
	n := int(s.at(1))<<8 | int(s.at(2))
	if n == 0 || n > 256 || len(s.body) < 10+n || s.address < 0 {
		return
	}
	page := c.flash.pages[0]
	if c.cfg.Addressed {
		s.eraser = s.address / page * page
	}
	end := c.flash.end
	if c.cfg.EraseEnd > 0 {
		end = c.flash.first + c.cfg.EraseEnd
	}
	if s.eraser < end {
		c.flash.erase(s.eraser)
		s.eraser += page
	}
	at := s.address / page * page // boot_page_write takes a whole page
	if at < c.flash.end {
		c.flash.program(at, s.body[10:10+min(n, page)])
	}
	s.address += n
}
