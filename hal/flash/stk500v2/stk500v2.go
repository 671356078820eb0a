// Package stk500v2 speaks the STK500 version 2 protocol (Atmel application note
// AVR068) as bootloaders of AVR controllers do, such as that of the Arduino Mega, of
// RAMBo and Einsy boards and of the Ultimaker: 115200 baud, a second or so after reset.
//
// Start at [New]. What it has to live with (stk500boot.c of ArduinoCore-avr):
//
//   - Erasing is not under the host's control. The bootloader keeps an erase pointer
//     that begins at page 0 after every reset and moves on with every page written; a
//     write erases the page at that pointer, and not the one it writes. So pages are
//     written in order, from 0, without a gap ([loader.Traits].Sequential). A write that
//     is repeated because its answer was lost moves the pointer once more, which only
//     erases a page sooner than needed. Bootloaders that do erase what they write are
//     content with the same order.
//   - It starts the application only if the first word of page 0 is not FFFF. Hence
//     page 0 is written blank first, and with its contents last: that last write finds it
//     erased, since the pointer has long moved on. It erases one page behind the image,
//     as every longer image would.
//   - It erases no page beyond what it takes for its own begin. Arduino's takes 16 KiB for
//     itself though it has 8: the application's part of an ATmega2560 ends at 240 KiB there,
//     whatever boards.txt says, and at 248 KiB on an Einsy (prusa3d/Arduino_Boards).
//   - The checksum is one XOR. A request with two damaged bytes passes once in 256 times.
//   - The address is sent before every page: after a repeated write it has moved.
//   - Builds before 2012 (issue 505 of Arduino) listen only to the sequence number they
//     expect, or to number 1. After anything went wrong it is signed on again with that.
//
// There is no request in this package that writes fuses, lock bits or the EEPROM.
package stk500v2

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"platen/hal/flash/loader"
)

// Commands and statuses of AVR068.
const (
	cmdSignOn        = 0x01
	cmdLoadAddress   = 0x06
	cmdEnterProgmode = 0x10
	cmdLeaveProgmode = 0x11
	cmdProgramFlash  = 0x13
	cmdReadFlash     = 0x14
	cmdReadSignature = 0x1b

	statusOK       = 0x00
	statusChecksum = 0xc1

	start = 0x1b
	token = 0x0e

	head    = 5   // start, sequence, size (2), token
	maxBody = 275 // no bootloader has room for more than a page of 256 and its header
)

const (
	answerIn  = time.Second            // AVR068: an answer comes at once; a page takes 10 ms
	signOnIn  = 150 * time.Millisecond // the bootloader listens for a second in all
	quiet     = 30 * time.Millisecond
	tries     = 6 // of one request
	resets    = 4 // of one Enter
	greetings = 8 // of one reset
)

// Loader is a [loader.Loader] for one AVR.
type Loader struct {
	link      loader.Link
	layout    loader.Layout
	mode      loader.Mode
	signature string
	far       uint32 // bit 31 of addresses, for chips with more than 64 Ki words

	port loader.Port
	line *loader.Line
	seq  byte
	out  []byte
}

// New returns a loader for the AVR with a signature of six hexadecimal digits, as in
// its data sheet ("1e9801" is the ATmega2560). Pages are at most 256 bytes, of even
// size, all alike.
func New(link loader.Link, layout loader.Layout, baud int, signature string) (*Loader, error) {
	if b, err := hex.DecodeString(signature); err != nil || len(b) != 3 {
		return nil, errors.New("the signature of an AVR has six hexadecimal digits, such as 1e9801")
	}
	for n := range layout.Pages() {
		if _, size := layout.Page(n); size > 256 || size%2 != 0 {
			return nil, fmt.Errorf("an AVR has no flash pages of %d bytes", size)
		}
	}
	if layout.Start() != 0 || layout.Pages() == 0 {
		return nil, errors.New("the application of an AVR begins at address 0")
	}
	l := &Loader{link: link, layout: layout, mode: loader.Mode{Baud: baud}, signature: signature}
	if layout.Size() > 64<<10 { // more than 128 KiB of flash need it, and others ignore it
		l.far = 1 << 31
	}
	return l, nil
}

// Enter resets the AVR and catches its bootloader.
func (l *Loader) Enter(ctx context.Context) (loader.Traits, error) {
	if l.port == nil {
		p, err := l.link.Open(ctx, l.mode)
		if err != nil {
			return loader.Traits{}, err
		}
		l.port, l.line = p, loader.NewLine(p)
	}
	if err := l.greet(ctx); err != nil {
		return loader.Traits{}, err
	}
	// Times, synchronisation and polling are for a programmer with a chip behind it;
	// a bootloader ignores them (AVR068; avrdude sends the same).
	if _, err := l.ask(ctx, cmdEnterProgmode, 200, 100, 25, 32, 0, 0x53, 3, 0xac, 0x53, 0, 0); err != nil {
		return loader.Traits{}, err
	}
	var sig [3]byte
	for i := range sig {
		r, err := l.ask(ctx, cmdReadSignature, 4, 0x30, 0, byte(i), 0)
		if err != nil {
			return loader.Traits{}, err
		}
		if len(r) < 3 {
			return loader.Traits{}, fmt.Errorf("read the signature: %w", loader.ErrLine)
		}
		sig[i] = r[2]
	}
	t := loader.Traits{MCU: hex.EncodeToString(sig[:]), Sequential: true}
	if t.MCU != l.signature {
		return t, fmt.Errorf("signature %s instead of %s: %w", t.MCU, l.signature, loader.ErrIdentity)
	}
	return t, nil
}

// greet resets until the bootloader signs on.
func (l *Loader) greet(ctx context.Context) error {
	for range resets {
		if err := l.link.Reset(ctx, l.port, false); err != nil {
			return err
		}
		for range greetings {
			if err := l.line.Drain(ctx, quiet); err != nil {
				return err
			}
			err := l.signOn(ctx)
			if err == nil || !errors.Is(err, loader.ErrLine) {
				return err
			}
		}
	}
	return loader.ErrSilent
}

// signOn greets the bootloader with the sequence number that all take.
func (l *Loader) signOn(ctx context.Context) error {
	l.seq = 0
	r, err := l.once(ctx, signOnIn, cmdSignOn)
	if err == nil && len(r) < 3 {
		err = fmt.Errorf("sign on: %w", loader.ErrLine)
	}
	return err
}

// settle waits until nothing more comes, and signs on again.
func (l *Loader) settle(ctx context.Context) error {
	if err := l.line.Drain(ctx, quiet); err != nil {
		return err
	}
	if err := l.signOn(ctx); err != nil && !errors.Is(err, loader.ErrLine) {
		return err
	}
	return nil
}

// Write writes a page; see the package comment for what it erases.
func (l *Loader) Write(ctx context.Context, page int, data []byte) error {
	body := make([]byte, 0, 9+len(data))
	// Mode C1: a page at a time, and write it. The rest is for chips behind a programmer.
	body = append(body, byte(len(data)>>8), byte(len(data)), 0xc1, 10, 0x40, 0x4c, 0x20, 0, 0)
	body = append(body, data...)
	_, err := l.at(ctx, page, cmdProgramFlash, body)
	return err
}

// Read reads a page.
func (l *Loader) Read(ctx context.Context, page int, dst []byte) error {
	r, err := l.at(ctx, page, cmdReadFlash, []byte{byte(len(dst) >> 8), byte(len(dst)), 0x20})
	if err != nil {
		return err
	}
	if len(r) != len(dst)+3 || r[len(r)-1] != statusOK {
		return fmt.Errorf("read a page: %w", loader.ErrLine)
	}
	copy(dst, r[2:])
	return nil
}

// Leave starts the application. A bootloader that is gone by the time it should answer
// has left.
func (l *Loader) Leave(ctx context.Context) error {
	if l.port == nil { // it was never talked to
		return nil
	}
	_, err := l.once(ctx, answerIn, cmdLeaveProgmode, 1, 1)
	if errors.Is(err, loader.ErrLine) {
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

// at loads the address of a page and sends a request for it, as one that is repeated
// as a whole: after an answer that was lost the address has moved on.
func (l *Loader) at(ctx context.Context, page int, cmd byte, body []byte) ([]byte, error) {
	word := uint32(l.layout.Address(page))/2 | l.far
	var last error
	for try := range tries {
		if try > 0 {
			if err := l.settle(ctx); err != nil {
				return nil, err
			}
		}
		_, err := l.once(ctx, answerIn, cmdLoadAddress, byte(word>>24), byte(word>>16), byte(word>>8), byte(word))
		if err == nil {
			var r []byte
			if r, err = l.once(ctx, answerIn, cmd, body...); err == nil {
				return r, nil
			}
		}
		if !errors.Is(err, loader.ErrLine) {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// ask sends a request that does no harm twice, until it is answered.
func (l *Loader) ask(ctx context.Context, cmd byte, body ...byte) ([]byte, error) {
	var last error
	for try := range tries {
		if try > 0 {
			if err := l.settle(ctx); err != nil {
				return nil, err
			}
		}
		r, err := l.once(ctx, answerIn, cmd, body...)
		if err == nil || !errors.Is(err, loader.ErrLine) {
			return r, err
		}
		last = err
	}
	return nil, last
}

// once sends one request and returns the body of its answer, whose first two bytes
// are the command and a status of OK. It is valid until the next request.
func (l *Loader) once(ctx context.Context, within time.Duration, cmd byte, body ...byte) ([]byte, error) {
	l.seq++
	l.out = appendMessage(l.out[:0], l.seq, cmd, body)
	if err := l.line.Send(l.out); err != nil {
		return nil, err
	}
	for {
		m, err := l.line.Message(ctx, within, loader.Framed(whole))
		if err != nil {
			return nil, fmt.Errorf("command %#02x: %w", cmd, err)
		}
		if m[1] != l.seq { // an answer to an earlier request
			continue
		}
		r := m[head : len(m)-1]
		if len(r) < 2 || r[0] != cmd || r[1] != statusOK {
			return nil, fmt.Errorf("command %#02x was refused: %w", cmd, loader.ErrLine)
		}
		return r, nil
	}
}

// appendMessage appends one framed message.
func appendMessage(dst []byte, seq, cmd byte, body []byte) []byte {
	from, n := len(dst), len(body)+1
	dst = append(dst, start, seq, byte(n>>8), byte(n), token, cmd)
	dst = append(dst, body...)
	return append(dst, xor(dst[from:]))
}

// whole is for [loader.Framed]: it knows whole messages with the right checksum.
func whole(m []byte) int {
	if m[0] != start {
		return loader.None
	}
	if len(m) < head {
		return loader.More
	}
	n := int(m[2])<<8 | int(m[3])
	switch {
	case m[4] != token || n == 0 || n > maxBody:
		return loader.None
	case len(m) < head+n+1:
		return loader.More
	case xor(m[:head+n]) == m[head+n]:
		return head + n + 1
	}
	return loader.None
}

func xor(p []byte) (x byte) {
	for _, b := range p {
		x ^= b
	}
	return x
}
