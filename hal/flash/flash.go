// Package flash replaces the firmware of a motion controller through its bootloader, so
// that no power cut at any point leaves a controller that moves or heats on half a
// firmware, nor one that cannot be flashed again.
//
// Start at [New]; a [Flasher] is an updater.Installer. Three bootloaders are spoken, each
// in a package of its own: STK500v2 (AVR), AN3155 (the ROM of every STM32) and Katapult.
//
// # Requirements
//
//   - Only the application area of the board is written; images that reach outside it, are
//     damaged, or were built for another address are refused before anything is touched,
//     and so is a controller other than the one the board names.
//   - The page that decides whether the application starts is made blank first and written
//     last, after every other page was read back. A power cut in between leaves the
//     bootloader in charge. While that one page is erased or written there is no such
//     promise (AVR and Katapult; an STM32 with BOOT0 and NRST in our hands does not need it).
//   - Therefore a journal says, before the first change, that the controller is not
//     confirmed ([Pending]); heaters and motion stay off until it is. [Flasher.Resume]
//     finishes what a cut interrupted, from a copy of the image beside the journal.
//   - Who drives a controller ([Drive]) and who flashes it ([Claim]) exclude each other.
//   - After the last write every byte is read back once more. What is wrong is written
//     again, a bounded number of times. Line errors cost time and change no byte.
//
// # Non-requirements
//
//   - Two firmwares side by side: controllers have no room. Going back is installing the
//     older release again.
//   - Signatures: who calls Install has verified the image (package updater/trust).
//   - Replacing the bootloader itself, fuses, option bytes or protection.
//
// # Layout
//
// Files in the store, each replaced in one step: "controller.image-0" and "-1", images as
// binaries, and "controller", 128 bytes, little-endian: magic "PLTNCTRL", version (1), state,
// which of the two images, a zero, size (uint32), release (uint64), SHA-256 of the image,
// SHA-256 of the firmware's own answer, zeros, SHA-256 of the 96 bytes before.
//
// # Failures
//
//   - Cut before the journal says "writing": nothing was changed, the old release counts.
//   - Cut in "writing" or "written": Pending; Resume reads what is there, writes what
//     differs, reads it back, confirms. Bootloaders that erase in their own order are
//     written from the start.
//   - Journal damaged: Pending, [ErrJournal]; Install starts afresh.
//   - Image damaged or lost beside the journal: Resume fails, Install starts afresh.
package flash

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"platen/hal/flash/an3155"
	"platen/hal/flash/image"
	"platen/hal/flash/katapult"
	"platen/hal/flash/loader"
	"platen/hal/flash/stk500v2"
	"platen/updater/slot"
)

// ErrVerify reports a controller that does not hold what was written, however often.
var ErrVerify = errors.New("the controller does not hold what was written: its flash or the line to it is faulty")

// ErrNothing reports that there is nothing to resume.
var ErrNothing = errors.New("no controller update was interrupted")

// Method is a bootloader.
type Method string

// The methods, as boards name them.
const (
	STK500v2 Method = "stk500v2"
	STM32    Method = "stm32"
	Katapult Method = "katapult"
)

// Board is what has to be known of a controller to flash it.
type Board struct {
	Method Method
	MCU    string         // what the bootloader calls it: signature "1e9801", product id "414", name "stm32f446xx"
	Layout loader.Layout  // its pages and the application's part of them
	Baud   int            // of the bootloader
	Format image.Format   // of images for Install
	Entry  katapult.Entry // Katapult only: how the running application is left
}

// Stage is a part of an installation, for progress.
type Stage uint8

// The stages.
const (
	Compare Stage = iota + 1 // reading what is there
	Write                    // writing and reading back, page by page
	Verify                   // reading back everything
)

// Config is what a Flasher works with. Board, Link and Store are needed.
type Config struct {
	Board Board
	Link  loader.Link
	Store slot.FS // holds the journal and the image; one controller each
	// Probe asks the firmware that was started who it is, for example by M115. What it
	// returns is compared with what it returned when the release was confirmed, so it must
	// not change from start to start. Nil: the firmware is not asked; that every byte
	// was read back counts.
	Probe    func(ctx context.Context) (string, error)
	Progress func(s Stage, done, total int) // pages; may be nil
	Logger   *slog.Logger                   // may be nil
}

// Flasher flashes one controller. Its methods are called by one goroutine at a time,
// whose process has claimed the controller ([Claim]).
type Flasher struct {
	cfg  Config
	open func() (loader.Loader, error)
	plan func(dirty []int) []step
}

// New returns a Flasher.
func New(cfg Config) (*Flasher, error) {
	if cfg.Link == nil || cfg.Store == nil {
		return nil, errors.New("flashing a controller needs a link and a store")
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Stage, int, int) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Flasher{cfg: cfg, open: cfg.Board.loader(cfg.Link), plan: plan}
	l, err := f.open() // finds what is wrong with the board
	if err != nil {
		return nil, fmt.Errorf("flash a controller by %q: %w", cfg.Board.Method, err)
	}
	return f, l.Close()
}

// loader returns what makes a loader for the board's method.
func (b Board) loader(link loader.Link) func() (loader.Loader, error) {
	return func() (loader.Loader, error) {
		switch b.Method {
		case STK500v2:
			return stk500v2.New(link, b.Layout, b.Baud, b.MCU)
		case STM32:
			return an3155.New(link, b.Layout, b.Baud, b.MCU)
		case Katapult:
			return katapult.New(link, b.Layout, b.Baud, b.MCU, b.Entry)
		}
		return nil, errors.New("there is no such method: use stk500v2, stm32 or katapult")
	}
}

// Check reads an image without touching anything and returns its size in bytes and
// digest.
func (b Board) Check(r io.Reader) (size int, digest [32]byte, err error) {
	m, err := b.parse(r)
	if err != nil {
		return 0, digest, err
	}
	return m.Size(), m.Digest(), nil
}

func (b Board) parse(r io.Reader) (*image.Image, error) {
	m, err := image.Parse(r, b.Format, b.Layout)
	if err == nil && b.Method != STK500v2 {
		err = m.CheckVectors(b.Layout)
	}
	if err != nil {
		return nil, fmt.Errorf("firmware image: %w", err)
	}
	return m, nil
}

// Identify enters the bootloader, returns what the controller calls itself, and starts
// the application again if it is confirmed. Nothing is written.
func (f *Flasher) Identify(ctx context.Context) (string, error) {
	l, err := f.open()
	if err != nil {
		return "", err
	}
	defer l.Close() // the line carried nothing that counts
	t, err := f.enter(ctx, l)
	if err != nil {
		return t.MCU, err
	}
	return t.MCU, f.back(ctx, l)
}

// enter enters the bootloader for the first time. A controller that must not be touched,
// or is not wanted any more, is sent back to its application.
func (f *Flasher) enter(ctx context.Context, l loader.Loader) (loader.Traits, error) {
	t, err := l.Enter(ctx)
	if err == nil {
		return t, nil
	}
	again := errors.Is(err, loader.ErrIdentity) || errors.Is(err, loader.ErrProtected) || ctx.Err() != nil
	err = fmt.Errorf("enter the controller's bootloader: %w", err)
	if again {
		err = errors.Join(err, f.back(ctx, l))
	}
	return t, err
}

// leaveIn bounds how long somebody who gives up waits for the application to start.
const leaveIn = 15 * time.Second

// back starts the application to which nothing was done, also if ctx has ended: a
// controller may have no other way out of its bootloader. One that is not confirmed is
// not started.
func (f *Flasher) back(ctx context.Context, l loader.Loader) error {
	if pending, _ := Pending(f.cfg.Store); pending {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveIn)
	defer cancel()
	return l.Leave(ctx)
}

// Installed is the number of the release that runs: the one the journal has confirmed.
// It is 0 if none was ever installed, if the controller is not confirmed, or if the
// firmware, where a probe asks it, answers otherwise than it did when it was confirmed:
// then somebody else has flashed it, or the controller was replaced. What is in the
// flash is not read for this; [Flasher.Compare] does that.
func (f *Flasher) Installed(ctx context.Context) (uint64, error) {
	r, err := load(f.cfg.Store)
	if errors.Is(err, ErrJournal) {
		return 0, nil // nothing is known to be installed
	}
	if err != nil || r.state != confirmed {
		return 0, err
	}
	if f.cfg.Probe != nil && r.answer != [32]byte{} {
		text, err := f.cfg.Probe(ctx)
		if err != nil {
			return 0, fmt.Errorf("ask the controller for its firmware: %w", err)
		}
		if sha256.Sum256([]byte(text)) != r.answer {
			return 0, nil
		}
	}
	return r.release, nil
}

// Install replaces the controller's firmware by the image read from r, which is at most
// as long as the application area. After nil the controller holds every byte of it, has
// answered if there is a probe, and is confirmed. After an error it may be unconfirmed
// ([Pending]): Install or Resume again.
func (f *Flasher) Install(ctx context.Context, release uint64, r io.Reader) error {
	m, err := f.cfg.Board.parse(r)
	if err != nil {
		return err
	}
	if release == 0 {
		return errors.New("a release of a controller's firmware has a number above 0")
	}
	rec := record{state: writing, release: release, size: uint32(m.Size()), digest: m.Digest()}
	return f.run(ctx, rec, m, false)
}

// Resume finishes an installation that was interrupted. Without one it returns
// ErrNothing.
func (f *Flasher) Resume(ctx context.Context) error {
	rec, err := load(f.cfg.Store)
	if err != nil {
		return err
	}
	if rec.state != writing && rec.state != written {
		return ErrNothing
	}
	m, err := kept(f.cfg.Store, rec, f.cfg.Board.Layout)
	if err != nil {
		return err
	}
	rec.state = writing
	return f.run(ctx, rec, m, true)
}

// run installs m. A resumed one finds the journal and the image in the store.
func (f *Flasher) run(ctx context.Context, rec record, m *image.Image, resumed bool) error {
	l, err := f.open()
	if err != nil {
		return err
	}
	defer l.Close() // what counts was read back
	t, err := f.enter(ctx, l)
	if err != nil {
		return err
	}
	if !resumed {
		if rec, err = rec.keep(f.cfg.Store, m); err != nil {
			return errors.Join(err, f.back(ctx, l))
		}
	}
	f.cfg.Logger.Info("controller update begins", "release", rec.release, "mcu", t.MCU, "resumed", resumed)
	if err := f.write(ctx, l, t, m, resumed); err != nil {
		f.cfg.Logger.Error("controller update failed", "release", rec.release, "error", err)
		return err
	}
	rec.state = written
	if err := rec.save(f.cfg.Store); err != nil {
		return err
	}
	if err := l.Leave(ctx); err != nil {
		return fmt.Errorf("start the controller's firmware: %w", err)
	}
	return f.confirm(ctx, l, rec)
}

// confirm asks the firmware, if it can be asked, and ends the installation.
func (f *Flasher) confirm(ctx context.Context, l loader.Loader, rec record) error {
	if err := l.Close(); err != nil { // the probe opens the line itself
		return fmt.Errorf("close the line to the controller: %w", err)
	}
	if f.cfg.Probe != nil {
		text, err := f.cfg.Probe(ctx)
		if err != nil {
			return fmt.Errorf("the new firmware does not answer: %w", err)
		}
		rec.answer = sha256.Sum256([]byte(text))
	}
	rec.state = confirmed
	if err := rec.save(f.cfg.Store); err != nil {
		return err
	}
	f.cfg.Logger.Info("controller confirmed", "release", rec.release)
	return nil
}

// Compare enters the bootloader and reads back every byte of the installed image. It
// fails with ErrVerify if one differs. The application is started again if it is confirmed.
func (f *Flasher) Compare(ctx context.Context) error {
	rec, err := load(f.cfg.Store)
	if err != nil {
		return err
	}
	m, err := kept(f.cfg.Store, rec, f.cfg.Board.Layout)
	if err != nil {
		return err
	}
	l, err := f.open()
	if err != nil {
		return err
	}
	defer l.Close() // only reads
	if _, err := f.enter(ctx, l); err != nil {
		return err
	}
	differ, err := f.compare(ctx, l, m, Verify)
	if err == nil && len(differ) > 0 {
		err = fmt.Errorf("%d pages differ: %w", len(differ), ErrVerify)
	}
	return errors.Join(err, f.back(ctx, l))
}
