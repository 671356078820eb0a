package bootloader

// rom is the bootloader in the ROM of an STM32 as AN3155 describes it. Its state is the
// function that takes the next bytes.
type rom struct {
	product uint16
	want    int // bytes that the next step needs
	got     []byte
	next    func(c *Chip, p []byte)
	address int // offset in the flash
	synced  bool
}

const (
	romAck  = 0x79
	romNack = 0x1f
)

// boot starts the application unless BOOT0 was high. One whose reset vector is blank
// faults at once and stays silent.
func (r *rom) boot(c *Chip) {
	*r = rom{product: r.product}
	if !c.rom && c.valid(4, 8) {
		c.start()
	}
}

func (r *rom) feed(c *Chip, b byte) {
	if !c.rom {
		return
	}
	if !r.synced {
		if b == 0x7f {
			r.synced = true
			r.ack(c)
		}
		return
	}
	r.got = append(r.got, b)
	if len(r.got) < r.want {
		return
	}
	p, next := r.got, r.next
	r.got = nil
	next(c, p)
}

// then says what comes next.
func (r *rom) then(n int, next func(c *Chip, p []byte)) { r.want, r.next = n, next }

func (r *rom) idle() { r.then(2, r.command) }

func (r *rom) ack(c *Chip) {
	c.send(romAck)
	r.idle()
}

func (r *rom) nack(c *Chip) {
	c.send(romNack)
	r.idle()
}

func (r *rom) command(c *Chip, p []byte) {
	if p[0]^p[1] != 0xff || c.refuse() {
		r.nack(c)
		return
	}
	cmds := []byte{0x00, 0x01, 0x02, 0x11, 0x21, 0x31, 0x44, 0x63, 0x73, 0x82, 0x92}
	erase := byte(0x44)
	if c.cfg.ShortErase {
		erase = 0x43
		cmds[6] = erase
	}
	switch p[0] {
	case 0x00:
		c.send(romAck, byte(len(cmds)), 0x31) // version 3.1
		c.send(cmds...)
		r.ack(c)
	case 0x01:
		c.send(romAck, 0x31, 0, 0)
		r.ack(c)
	case 0x02:
		c.send(romAck, 1, byte(r.product>>8), byte(r.product))
		r.ack(c)
	case 0x11:
		r.guarded(c, func(c *Chip) { r.then(2, r.read) })
	case 0x31:
		r.guarded(c, func(c *Chip) { r.then(1, r.write) })
	case erase:
		if c.cfg.Faults.Protected {
			r.nack(c)
			return
		}
		r.ack(c)
		if erase == 0x43 {
			r.then(1, r.eraseShort)
		} else {
			r.then(2, r.eraseLong)
		}
	case 0x63, 0x73, 0x82, 0x92: // protection: nobody here should ever ask for it
		c.mu.Lock()
		c.stats.Outside++
		c.mu.Unlock()
		r.ack(c)
	default:
		r.nack(c)
	}
}

// guarded acknowledges a command about an address unless the flash is protected, and
// reads the address.
func (r *rom) guarded(c *Chip, then func(c *Chip)) {
	if c.cfg.Faults.Protected {
		r.nack(c)
		return
	}
	r.ack(c)
	r.then(5, func(c *Chip, p []byte) {
		off := int64(uint32(p[0])<<24|uint32(p[1])<<16|uint32(p[2])<<8|uint32(p[3])) - int64(c.cfg.Base)
		if p[0]^p[1]^p[2]^p[3] != p[4] || off < 0 || off >= int64(len(c.flash.mem)) {
			r.nack(c)
			return
		}
		r.address = int(off)
		r.ack(c)
		then(c)
	})
}

func (r *rom) read(c *Chip, p []byte) {
	if p[0]^p[1] != 0xff {
		r.nack(c)
		return
	}
	r.ack(c)
	c.send(c.flash.read(r.address, int(p[0])+1)...)
}

func (r *rom) write(c *Chip, p []byte) {
	n := int(p[0]) + 1
	r.then(n+1, func(c *Chip, q []byte) {
		x := byte(n - 1)
		for _, b := range q {
			x ^= b
		}
		if x != 0 || n%4 != 0 || r.address%4 != 0 || r.address+n > len(c.flash.mem) {
			r.nack(c)
			return
		}
		c.flash.program(r.address, q[:n])
		r.ack(c)
	})
}

// pages erases pages by number.
func (r *rom) pages(c *Chip, numbers []int) {
	for _, n := range numbers {
		if at, ok := c.flash.number(n); ok {
			c.flash.erase(at)
		}
	}
	r.ack(c)
}

func (r *rom) mass(c *Chip) {
	c.mu.Lock()
	c.stats.Mass++
	c.mu.Unlock()
	numbers := make([]int, len(c.flash.pages))
	for i := range numbers {
		numbers[i] = i
	}
	r.pages(c, numbers)
}

func (r *rom) eraseShort(c *Chip, p []byte) {
	if p[0] == 0xff {
		r.then(1, func(c *Chip, q []byte) {
			if q[0] != 0 {
				r.nack(c)
				return
			}
			r.mass(c)
		})
		return
	}
	r.list(c, p, 1)
}

func (r *rom) eraseLong(c *Chip, p []byte) {
	if p[0] == 0xff && p[1] >= 0xf0 {
		r.then(1, func(c *Chip, q []byte) {
			if p[0]^p[1] != q[0] || p[1] != 0xff {
				r.nack(c)
				return
			}
			r.mass(c)
		})
		return
	}
	r.list(c, p, 2)
}

// list reads the numbers that a count announced, of width bytes each, and the XOR.
func (r *rom) list(c *Chip, count []byte, width int) {
	n := 0
	for _, b := range count {
		n = n<<8 | int(b)
	}
	n++
	r.then(n*width+1, func(c *Chip, q []byte) {
		var x byte
		for _, b := range append(count, q...) {
			x ^= b
		}
		if x != 0 {
			r.nack(c)
			return
		}
		numbers := make([]int, n)
		for i := range numbers {
			for _, b := range q[i*width : (i+1)*width] {
				numbers[i] = numbers[i]<<8 | int(b)
			}
		}
		r.pages(c, numbers)
	})
}
