// Package an3155 speaks the USART protocol of the bootloader in the ROM of an STM32
// (ST application note AN3155): 8 data bits, even parity, any rate up to 115200 baud,
// which the chip finds out from the first byte. AN2606 says which pins it listens on.
//
// Start at [New]. The chip starts this bootloader if BOOT0 is high at reset, so the
// board must give the host both BOOT0 and NRST ([loader.Link].Reset). Nothing that is in
// the flash can prevent that: a controller that is flashed this way always comes back.
//
//   - Nothing in the protocol tells an answer from a late one. After any error the chip is
//     reset and the conversation begins again; a request is never simply repeated.
//   - Pages are erased one by one, by number. The mass erase is not used: flash behind the
//     application may hold what the firmware stored (Marlin keeps settings there).
//     Numbers are counted straight through the flash; chips with two banks that leave a gap
//     between their numbers can only be used up to the gap.
//   - A page is written from its end to its beginning. So the page that begins with the
//     vector table gets its first bytes, the stack pointer and the reset vector, in
//     the very last write: until then a start from flash ends in a fault at once.
//   - Protection is never changed. A chip whose read protection is on is refused.
//   - Requests carry one XOR, and every byte a parity bit. A request in which two bytes are
//     wrong in the same two bits passes; such an erase can hit a page outside of the
//     application, and nothing in the protocol can prevent that. The ROM is out of its reach.
package an3155

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"platen/hal/flash/loader"
)

// Commands of AN3155, table 2.
const (
	cmdGet         = 0x00
	cmdVersion     = 0x01
	cmdID          = 0x02
	cmdRead        = 0x11
	cmdGo          = 0x21
	cmdWrite       = 0x31
	cmdErase       = 0x43 // one byte for each page
	cmdExtendErase = 0x44 // two bytes for each page

	sync = 0x7f
	ack  = 0x79
	nack = 0x1f
)

const (
	block   = 256                   // AN3155: at most this many bytes in one read or write
	head    = 32                    // bytes of the first page that are written last: the largest flash word (STM32H7)
	answer  = time.Second           // for an acknowledgement
	eraseIn = 15 * time.Second      // a 128 KiB sector of an STM32F4 takes up to 4 s
	quiet   = 20 * time.Millisecond //
	syncIn  = time.Second           // for the first acknowledgement
	resets  = 4                     // of one Enter
)

// errNack reports that the chip refused something.
var errNack = fmt.Errorf("the bootloader refused it: %w", loader.ErrLine)

// Loader is a [loader.Loader] for one STM32.
type Loader struct {
	link    loader.Link
	layout  loader.Layout
	mode    loader.Mode
	product uint16
	erase   byte // the erase command this chip has

	port  loader.Port
	line  *loader.Line
	stale bool // an error left the conversation in an unknown state
	out   []byte
}

// New returns a loader for the STM32 with a product id of three hexadecimal digits
// (AN2606, "414" is a high-density STM32F103).
func New(link loader.Link, layout loader.Layout, baud int, product string) (*Loader, error) {
	id, err := strconv.ParseUint(strings.TrimPrefix(product, "0x"), 16, 12)
	if err != nil {
		return nil, errors.New("the product id of an STM32 has three hexadecimal digits, such as 414")
	}
	if layout.Pages() == 0 || layout.Start()%head != 0 {
		return nil, errors.New("the application of an STM32 begins at a page of its flash")
	}
	for n := range layout.Pages() {
		if _, size := layout.Page(n); size%block != 0 {
			return nil, fmt.Errorf("an STM32 has no flash pages of %d bytes", size)
		}
	}
	return &Loader{link: link, layout: layout, mode: loader.Mode{Baud: baud, Even: true}, product: uint16(id)}, nil
}

// Enter resets the chip into its bootloader.
func (l *Loader) Enter(ctx context.Context) (loader.Traits, error) {
	if l.port == nil {
		p, err := l.link.Open(ctx, l.mode)
		if err != nil {
			return loader.Traits{}, err
		}
		l.port, l.line = p, loader.NewLine(p)
	}
	var last error
	for range resets {
		t, err := l.enter(ctx)
		if err == nil || !errors.Is(err, loader.ErrLine) {
			return t, err
		}
		last = err
	}
	if errors.Is(last, loader.ErrSilent) {
		last = loader.ErrSilent
	}
	// Whatever it is that does not answer, it is not left in the ROM.
	return loader.Traits{}, errors.Join(last, l.Leave(ctx))
}

// errNoSync is ErrSilent that may be tried again.
var errNoSync = errors.Join(loader.ErrSilent, loader.ErrLine)

func (l *Loader) enter(ctx context.Context) (loader.Traits, error) {
	var t loader.Traits
	if err := l.link.Reset(ctx, l.port, true); err != nil {
		return t, err
	}
	if err := l.line.Drain(ctx, quiet); err != nil {
		return t, err
	}
	if err := l.line.Send([]byte{sync}); err != nil {
		return t, err
	}
	switch err := l.expect(ctx, syncIn); {
	case errors.Is(err, errNack): // it was in sync before, AN3155 section 2
	case errors.Is(err, loader.ErrLine):
		return t, errNoSync
	case err != nil:
		return t, err
	}
	l.stale = false
	cmds, err := l.list(ctx, cmdGet)
	if err != nil {
		return t, err
	}
	l.erase = cmdErase
	if slices.Contains(cmds[1:], cmdExtendErase) { // the first is the version
		l.erase = cmdExtendErase
	}
	id, err := l.list(ctx, cmdID)
	if err != nil {
		return t, err
	}
	if len(id) != 2 {
		return t, fmt.Errorf("read the product id: %w", loader.ErrLine)
	}
	product := uint16(id[0])<<8 | uint16(id[1])
	t.MCU = fmt.Sprintf("%03x", product)
	if product != l.product {
		return t, fmt.Errorf("product id %s instead of %03x: %w", t.MCU, l.product, loader.ErrIdentity)
	}
	if last := l.layout.Number(l.layout.Pages() - 1); l.erase == cmdErase && last > 254 {
		return t, fmt.Errorf("this bootloader cannot erase page %d: %w", last, loader.ErrIdentity)
	}
	return t, l.readable(ctx)
}

// readable finds out whether the flash may be read: the command alone is refused if
// not (AN3155 section 3.4).
func (l *Loader) readable(ctx context.Context) error {
	var p [4]byte
	err := l.command(ctx, cmdRead)
	if errors.Is(err, errNack) {
		return loader.ErrProtected
	}
	if err != nil {
		return err
	}
	return l.readRest(ctx, l.layout.Start(), p[:])
}

// list runs a command that answers with a count less one, and so many bytes.
func (l *Loader) list(ctx context.Context, cmd byte) ([]byte, error) {
	if err := l.command(ctx, cmd); err != nil {
		return nil, err
	}
	var n [1]byte
	if err := l.line.Bytes(ctx, answer, n[:]); err != nil {
		return nil, err
	}
	p := make([]byte, int(n[0])+1)
	if err := l.line.Bytes(ctx, answer, p); err != nil {
		return nil, err
	}
	return p, l.expect(ctx, answer)
}

// Write erases a page and writes it, from its end to its beginning. What is blank is
// not written.
func (l *Loader) Write(ctx context.Context, page int, data []byte) error {
	err := l.erasePage(ctx, l.layout.Number(page))
	for at := len(data) - block; err == nil && at >= 0; at -= block {
		if page == 0 && at == 0 {
			err = l.put(ctx, l.layout.Start()+head, data[head:block])
			if err == nil {
				err = l.put(ctx, l.layout.Start(), data[:head])
			}
			continue
		}
		err = l.put(ctx, l.layout.Address(page)+loader.Address(at), data[at:at+block])
	}
	return l.settle(err)
}

// Read reads a page.
func (l *Loader) Read(ctx context.Context, page int, dst []byte) error {
	at := l.layout.Address(page)
	for from := 0; from < len(dst); from += block {
		err := l.command(ctx, cmdRead)
		if err == nil {
			err = l.readRest(ctx, at+loader.Address(from), dst[from:min(from+block, len(dst))])
		}
		if err != nil {
			return l.settle(err)
		}
	}
	return nil
}

// Leave starts the chip from its flash by a reset, as it will start ever after.
func (l *Loader) Leave(ctx context.Context) error {
	if l.port == nil { // it was never talked to
		return nil
	}
	l.stale = true
	return l.link.Reset(ctx, l.port, false)
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

// settle remembers that an error left the conversation somewhere in the middle.
func (l *Loader) settle(err error) error {
	if err != nil {
		l.stale = true
	}
	return err
}

func (l *Loader) erasePage(ctx context.Context, number int) error {
	if err := l.command(ctx, l.erase); err != nil {
		return err
	}
	if l.erase == cmdErase {
		l.out = append(l.out[:0], 0, byte(number))
	} else {
		l.out = append(l.out[:0], 0, 0, byte(number>>8), byte(number))
	}
	return l.checked(ctx, eraseIn)
}

// put writes data at an address unless it is blank.
func (l *Loader) put(ctx context.Context, at loader.Address, data []byte) error {
	if loader.Blank(data) {
		return nil
	}
	if err := l.command(ctx, cmdWrite); err != nil {
		return err
	}
	if err := l.address(ctx, at); err != nil {
		return err
	}
	l.out = append(append(l.out[:0], byte(len(data)-1)), data...)
	return l.checked(ctx, answer)
}

func (l *Loader) readRest(ctx context.Context, at loader.Address, dst []byte) error {
	if err := l.address(ctx, at); err != nil {
		return err
	}
	n := byte(len(dst) - 1)
	if err := l.line.Send([]byte{n, ^n}); err != nil {
		return err
	}
	if err := l.expect(ctx, answer); err != nil {
		return err
	}
	return l.line.Bytes(ctx, answer, dst)
}

// command sends a command with its complement.
func (l *Loader) command(ctx context.Context, cmd byte) error {
	if l.stale {
		return fmt.Errorf("the bootloader has to be entered again: %w", loader.ErrLine)
	}
	if err := l.line.Send([]byte{cmd, ^cmd}); err != nil {
		return err
	}
	return l.expect(ctx, answer)
}

func (l *Loader) address(ctx context.Context, a loader.Address) error {
	l.out = append(l.out[:0], byte(a>>24), byte(a>>16), byte(a>>8), byte(a))
	return l.checked(ctx, answer)
}

// checked sends l.out with its XOR.
func (l *Loader) checked(ctx context.Context, within time.Duration) error {
	var x byte
	for _, b := range l.out {
		x ^= b
	}
	l.out = append(l.out, x)
	if err := l.line.Send(l.out); err != nil {
		return err
	}
	return l.expect(ctx, within)
}

// expect reads one acknowledgement.
func (l *Loader) expect(ctx context.Context, within time.Duration) error {
	var p [1]byte
	if err := l.line.Bytes(ctx, within, p[:]); err != nil {
		return err
	}
	switch p[0] {
	case ack:
		return nil
	case nack:
		return errNack
	}
	return fmt.Errorf("an answer of %#02x: %w", p[0], loader.ErrLine)
}
