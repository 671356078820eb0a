package bootloader

import (
	"bytes"
	"encoding/binary"
	"time"
)

// kat is Katapult: src/command.c and src/flashcmd.c.
type kat struct {
	buf     []byte
	nacked  bool // one NACK for each run of garbage
	in      bool // the bootloader runs, and not the wait for a second reset
	written int  // pages
}

// Times of Katapult: two resets this close are a request, and what it waits before it
// starts the application when the transfer is complete.
const (
	katDouble = 500 * time.Millisecond
	katLeave  = 100 * time.Millisecond
	katRoom   = 4 + 4 + 512 + 8
)

func (k *kat) boot(c *Chip) {
	double := !c.lastBoot.IsZero() && time.Since(c.lastBoot) < katDouble
	c.lastBoot = time.Now()
	*k = kat{}
	if c.request || double || !katValid(c) {
		c.request, c.lastBoot = false, time.Time{}
		k.in = true
		return
	}
	c.after(katDouble, func() {
		c.lastBoot = time.Time{}
		c.start()
	})
}

// katValid is application_check_valid.
func katValid(c *Chip) bool {
	w := binary.LittleEndian.Uint32(c.flash.read(c.flash.first, 4))
	return w != 0 && w != 0xffffffff
}

func (k *kat) feed(c *Chip, b byte) {
	if !k.in {
		return
	}
	k.buf = append(k.buf, b)
	for len(k.buf) > 0 {
		n, ok := k.find(c)
		if n == 0 {
			return
		}
		m := k.buf[:n]
		k.buf = k.buf[n:]
		if ok {
			k.nacked = false
			k.run(c, m)
		}
	}
}

// find returns how many bytes to take off, and whether they are a frame.
func (k *kat) find(c *Chip) (n int, ok bool) {
	if len(k.buf) < 8 {
		if k.buf[0] != 0x01 || len(k.buf) > 1 && k.buf[1] != 0x88 {
			return k.garbage(c), false
		}
		return 0, false
	}
	if k.buf[0] != 0x01 || k.buf[1] != 0x88 {
		return k.garbage(c), false
	}
	n = int(k.buf[3])*4 + 8
	if n > katRoom {
		return k.garbage(c), false
	}
	if len(k.buf) < n {
		return 0, false
	}
	if k.buf[n-2] != 0x99 || k.buf[n-1] != 0x03 || katCRC(k.buf[2:n-4]) != binary.LittleEndian.Uint16(k.buf[n-4:]) {
		return k.garbage(c), false
	}
	return n, true
}

// garbage skips to the next possible begin of a frame.
func (k *kat) garbage(c *Chip) int {
	if !k.nacked {
		k.nacked = true
		k.respond(c, 0xf1, nil)
	}
	if i := bytes.IndexByte(k.buf[1:], 0x01); i >= 0 {
		return i + 1
	}
	return len(k.buf)
}

func (k *kat) respond(c *Chip, kind byte, payload []byte) {
	m := append([]byte{0x01, 0x88, kind, byte(len(payload) / 4)}, payload...)
	m = binary.LittleEndian.AppendUint16(m, katCRC(m[2:]))
	c.send(append(m, 0x99, 0x03)...)
}

func (k *kat) ack(c *Chip, cmd byte, words ...uint32) {
	k.respond(c, 0xa0, katWords(append([]uint32{uint32(cmd)}, words...)...))
}

func katWords(words ...uint32) (p []byte) {
	for _, w := range words {
		p = binary.LittleEndian.AppendUint32(p, w)
	}
	return p
}

func (k *kat) run(c *Chip, m []byte) {
	cmd, payload := m[2], m[4:len(m)-4]
	if c.refuse() {
		k.respond(c, 0xf2, nil)
		return
	}
	var at uint32
	if len(payload) >= 4 {
		at = binary.LittleEndian.Uint32(payload)
	}
	switch cmd {
	case 0x11:
		p := katWords(0x11, 0x00010100, c.cfg.Start, uint32(c.cfg.Block))
		p = append(p, c.cfg.MCU...)
		p = append(p, make([]byte, 4-len(p)%4)...) // at least one zero
		p = append(p, "v0.0.1-sim"...)
		p = append(p, make([]byte, 4-len(p)%4)...)
		k.respond(c, 0xa0, p)
	case 0x12:
		if len(payload) != 4+c.cfg.Block || !k.write(c, at, payload[4:]) {
			k.respond(c, 0xf2, nil)
			return
		}
		k.ack(c, cmd, at)
	case 0x13:
		k.ack(c, cmd, uint32(k.written))
	case 0x14:
		p := katWords(0x14, at)
		k.respond(c, 0xa0, append(p, c.flash.read(int(int64(at)-int64(c.cfg.Base)), c.cfg.Block)...))
	case 0x15:
		k.ack(c, cmd)
		c.after(katLeave, c.start)
	default:
		k.respond(c, 0xf2, nil)
	}
}

// write is flash_write_block: the first block of a page erases it unless it is blank.
func (k *kat) write(c *Chip, address uint32, p []byte) bool {
	if address < c.cfg.Start || address%uint32(c.cfg.Block) != 0 {
		return false
	}
	off := int(int64(address) - int64(c.cfg.Base))
	page, size := c.flash.page(off)
	if size == 0 || off+len(p) > len(c.flash.mem) {
		return false
	}
	now := c.flash.read(off, len(p))
	if off == page {
		switch {
		case katBlank(c.flash.read(page, size)):
		case bytes.Equal(now, p) && katBlank(c.flash.read(off+len(p), size-len(p))):
			return true // sent again
		default:
			c.flash.erase(page)
		}
		k.written++
	} else if !katBlank(now) {
		return bytes.Equal(now, p) // sent again, or out of order
	}
	return c.flash.program(off, p)
}

func katBlank(p []byte) bool {
	for _, b := range p {
		if b != 0xff {
			return false
		}
	}
	return true
}

// katCRC is crc16_ccitt.c, worked out bit by bit.
func katCRC(p []byte) uint16 {
	crc := uint16(0xffff)
	for _, b := range p {
		crc ^= uint16(b)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= 0x8408
			}
		}
	}
	return crc
}
