// Package katapult speaks the protocol of the Katapult bootloader (protocol.md and
// src/command.c of github.com/Arksine/katapult), over a serial line or USB.
//
// Start at [New]. What it has to live with (src/flashcmd.c, src/stm32/flash.c,
// src/generic/armcm_canboot.c):
//
//   - The bootloader starts the application if its first word is neither 0 nor FFFFFFFF.
//   - A page is erased when its first block is written, unless it is blank already. So a
//     page is written from its beginning, and page 0, whose first block decides, is written
//     blank first and with its contents last. While that last page is written, for about a
//     tenth of a second, a power cut leaves an application that looks whole and is not.
//     The engine's journal keeps heaters and motors off then; getting back into the
//     bootloader takes two resets, by the host or by a finger.
//   - A block that is sent again after it was written is acknowledged and not written
//     twice. Every request may therefore be repeated.
//   - Frames carry a CRC of 16 bits; answers name the command and the address they answer.
//   - It is entered by a request to the running application, by two resets within half a
//     second, or by itself if no application is there. Boards have one of the first two.
package katapult

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"platen/hal/flash/loader"
)

// Commands and answers.
const (
	cmdConnect  = 0x11
	cmdSend     = 0x12
	cmdEOF      = 0x13
	cmdRequest  = 0x14
	cmdComplete = 0x15

	ackOK    = 0xa0
	ackNack  = 0xf1
	ackError = 0xf2
	ackBusy  = 0xf3

	maxBlock = 512
)

const (
	answer     = 2 * time.Second
	connectIn  = 300 * time.Millisecond
	busy       = 300 * time.Millisecond
	quiet      = 30 * time.Millisecond
	tries      = 6                      // of one request
	connects   = 4                      // of one way to enter
	entries    = 3                      // of all ways to enter
	apart      = 100 * time.Millisecond // between two resets: 10 to 500 ms count as one double reset
	forRequest = time.Second            // until the application has restarted into the bootloader
)

// request is what an application with Katapult's entry listens for on a serial line
// (Klipper's src/generic/serial_irq.c, flashtool.py).
const request = "~ \x1c Request Serial Bootloader!! ~"

// Entry says how the running application is left. Of both, the request comes first.
type Entry struct {
	AppBaud     int  // rate at which the application listens for a request; 0: it does not
	DoubleReset bool // two resets of the board lead into the bootloader
}

// Loader is a [loader.Loader] for one controller with Katapult.
type Loader struct {
	link   loader.Link
	layout loader.Layout
	mode   loader.Mode
	mcu    string
	entry  Entry

	port  loader.Port
	line  *loader.Line
	block int // bytes in a block
	out   []byte
}

// New returns a loader for the controller that Katapult calls mcu, such as
// "stm32f446xx".
func New(link loader.Link, layout loader.Layout, baud int, mcu string, e Entry) (*Loader, error) {
	if mcu == "" || strings.ContainsFunc(mcu, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("a controller with Katapult has a name, such as stm32f446xx")
	}
	if layout.Pages() == 0 {
		return nil, errors.New("the board names no flash pages")
	}
	return &Loader{link: link, layout: layout, mode: loader.Mode{Baud: baud}, mcu: mcu, entry: e}, nil
}

// Enter connects to the bootloader, if it runs, and else sends the application there.
func (l *Loader) Enter(ctx context.Context) (loader.Traits, error) {
	if err := l.open(ctx); err != nil {
		return loader.Traits{}, err
	}
	for range entries {
		t, err := l.connect(ctx)
		if !errors.Is(err, loader.ErrLine) {
			return t, err
		}
		for _, way := range []func(context.Context) error{l.ask, l.resetTwice} {
			if err := way(ctx); err != nil {
				return t, err
			}
			if t, err = l.connect(ctx); !errors.Is(err, loader.ErrLine) {
				return t, err
			}
		}
	}
	return loader.Traits{}, loader.ErrSilent
}

func (l *Loader) open(ctx context.Context) error {
	if l.port != nil {
		return nil
	}
	p, err := l.link.Open(ctx, l.mode)
	if err != nil {
		return err
	}
	l.port, l.line = p, loader.NewLine(p)
	return nil
}

// ask has the application restart into the bootloader, at the application's rate.
func (l *Loader) ask(ctx context.Context) error {
	if l.entry.AppBaud == 0 {
		return nil
	}
	if err := l.Close(); err != nil {
		return err
	}
	p, err := l.link.Open(ctx, loader.Mode{Baud: l.entry.AppBaud})
	if err != nil {
		return err
	}
	_, err = p.Write([]byte(request))
	if err == nil {
		err = loader.Pause(ctx, forRequest)
	}
	// The device may be gone by now, which is what was asked for.
	_ = p.Close()
	if err != nil && ctx.Err() != nil {
		return err
	}
	return l.open(ctx)
}

func (l *Loader) resetTwice(ctx context.Context) error {
	if !l.entry.DoubleReset {
		return nil
	}
	if err := l.link.Reset(ctx, l.port, false); err != nil {
		return err
	}
	if err := loader.Pause(ctx, apart); err != nil {
		return err
	}
	return l.link.Reset(ctx, l.port, false)
}

// connect asks who is there.
func (l *Loader) connect(ctx context.Context) (loader.Traits, error) {
	var last error
	for range connects {
		if err := l.line.Drain(ctx, quiet); err != nil {
			return loader.Traits{}, err
		}
		p, err := l.once(ctx, connectIn, cmdConnect, nil)
		if err == nil {
			return l.who(p)
		}
		if !errors.Is(err, loader.ErrLine) {
			return loader.Traits{}, err
		}
		last = err
	}
	return loader.Traits{}, last
}

// who checks the answer to connect: version, start, size of a block, name.
func (l *Loader) who(p []byte) (loader.Traits, error) {
	if len(p) < 16 {
		return loader.Traits{}, fmt.Errorf("connect: %w", loader.ErrLine)
	}
	start, block := binary.LittleEndian.Uint32(p[4:]), binary.LittleEndian.Uint32(p[8:])
	name, _, _ := strings.Cut(string(p[12:]), "\x00")
	t := loader.Traits{MCU: printable(name)}
	if name != l.mcu {
		return t, fmt.Errorf("%q instead of %q: %w", t.MCU, l.mcu, loader.ErrIdentity)
	}
	if loader.Address(start) != l.layout.Start() {
		return t, fmt.Errorf("an application at %#x instead of %#x: %w", start, l.layout.Start(), loader.ErrIdentity)
	}
	if block < 64 || block > maxBlock || block&(block-1) != 0 {
		return t, fmt.Errorf("blocks of %d bytes: %w", block, loader.ErrLine)
	}
	for n := range l.layout.Pages() {
		if _, size := l.layout.Page(n); size%int(block) != 0 {
			return t, fmt.Errorf("a page of %d bytes has no whole number of blocks of %d bytes: %w", size, block, loader.ErrIdentity)
		}
	}
	l.block = int(block)
	return t, nil
}

func printable(s string) string {
	s = s[:min(len(s), 32)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// Write writes a page from its beginning. Of what is blank only the first block is
// sent: it erases the page.
func (l *Loader) Write(ctx context.Context, page int, data []byte) error {
	at := l.layout.Address(page)
	for from := 0; from < len(data); from += l.block {
		b := data[from : from+l.block]
		if from > 0 && loader.Blank(b) {
			continue
		}
		if _, err := l.about(ctx, cmdSend, at+loader.Address(from), b); err != nil {
			return err
		}
	}
	return nil
}

// Read reads a page.
func (l *Loader) Read(ctx context.Context, page int, dst []byte) error {
	at := l.layout.Address(page)
	for from := 0; from < len(dst); from += l.block {
		p, err := l.about(ctx, cmdRequest, at+loader.Address(from), nil)
		if err != nil {
			return err
		}
		if len(p) != l.block {
			return fmt.Errorf("read a block: %w", loader.ErrLine)
		}
		copy(dst[from:], p)
	}
	return nil
}

// Leave ends the transfer and starts the application.
func (l *Loader) Leave(ctx context.Context) error {
	if l.port == nil { // it was never talked to
		return nil
	}
	if _, err := l.repeat(ctx, cmdEOF, nil); err != nil {
		return err
	}
	_, err := l.once(ctx, answer, cmdComplete, nil)
	if errors.Is(err, loader.ErrLine) { // it may have left before its answer was out
		return nil
	}
	return err
}

// Close closes the line.
func (l *Loader) Close() error {
	if l.port == nil {
		return nil
	}
	p := l.port
	l.port, l.line = nil, nil
	return p.Close()
}

// about sends a request about an address and returns what follows the address in the
// answer.
func (l *Loader) about(ctx context.Context, cmd byte, at loader.Address, data []byte) ([]byte, error) {
	var room [4 + maxBlock]byte
	payload := append(binary.LittleEndian.AppendUint32(room[:0], uint32(at)), data...)
	p, err := l.repeat(ctx, cmd, payload)
	if err != nil {
		return nil, err
	}
	return p[4:], nil
}

// repeat sends a request until it is acknowledged.
func (l *Loader) repeat(ctx context.Context, cmd byte, payload []byte) ([]byte, error) {
	var last error
	for try := range tries {
		if try > 0 {
			if err := l.line.Drain(ctx, quiet); err != nil {
				return nil, err
			}
		}
		p, err := l.once(ctx, answer, cmd, payload)
		if err == nil || !errors.Is(err, loader.ErrLine) {
			return p, err
		}
		last = err
		if errors.Is(err, errBusy) {
			if err := loader.Pause(ctx, busy); err != nil {
				return nil, err
			}
		}
	}
	return nil, last
}

var (
	errRefused = fmt.Errorf("the bootloader refused it: %w", loader.ErrLine)
	errBusy    = fmt.Errorf("the bootloader is busy: %w", loader.ErrLine)
)

// once sends one request and returns what its acknowledgement carries behind the
// command; answers to other requests are skipped.
func (l *Loader) once(ctx context.Context, within time.Duration, cmd byte, payload []byte) ([]byte, error) {
	l.out = appendFrame(l.out[:0], cmd, payload)
	if err := l.line.Send(l.out); err != nil {
		return nil, err
	}
	for {
		m, err := l.line.Message(ctx, within, loader.Framed(whole))
		if err != nil {
			return nil, fmt.Errorf("command %#02x: %w", cmd, err)
		}
		body := m[4 : len(m)-4]
		switch m[2] {
		case ackOK:
			if answers(body, cmd, payload) {
				return body[4:], nil
			}
		case ackNack, ackError:
			return nil, fmt.Errorf("command %#02x: %w", cmd, errRefused)
		case ackBusy:
			return nil, fmt.Errorf("command %#02x: %w", cmd, errBusy)
		}
	}
}

// answers reports whether the body of an acknowledgement belongs to a request: it
// names the command and, where the request has one, the address.
func answers(body []byte, cmd byte, payload []byte) bool {
	if len(body) < 4 || binary.LittleEndian.Uint32(body) != uint32(cmd) {
		return false
	}
	return len(payload) < 4 || len(body) >= 8 && string(body[4:8]) == string(payload[:4])
}

// appendFrame appends one framed request; payload is a whole number of words.
func appendFrame(dst []byte, cmd byte, payload []byte) []byte {
	dst = append(dst, 0x01, 0x88)
	from := len(dst)
	dst = append(dst, cmd, byte(len(payload)/4))
	dst = append(dst, payload...)
	return append(binary.LittleEndian.AppendUint16(dst, CRC(dst[from:])), 0x99, 0x03)
}

// whole is for [loader.Framed]: it knows whole frames with the right CRC.
func whole(m []byte) int {
	if m[0] != 0x01 || len(m) > 1 && m[1] != 0x88 {
		return loader.None
	}
	if len(m) < 8 {
		return loader.More
	}
	n := 8 + 4*int(m[3])
	switch {
	case n > 8+4*4+maxBlock:
		return loader.None
	case len(m) < n:
		return loader.More
	case m[n-2] == 0x99 && m[n-1] == 0x03 && CRC(m[2:n-4]) == binary.LittleEndian.Uint16(m[n-4:]):
		return n
	}
	return loader.None
}

// CRC is the CRC-16 of the protocol: polynomial 1021 reflected, beginning with FFFF
// (crc16_ccitt.c of Katapult).
func CRC(p []byte) uint16 {
	crc := uint16(0xffff)
	for _, b := range p {
		b ^= byte(crc)
		b ^= b << 4
		crc = (uint16(b)<<8 | crc>>8) ^ uint16(b>>4) ^ uint16(b)<<3
	}
	return crc
}
