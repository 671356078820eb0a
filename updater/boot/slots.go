// Package boot keeps two copies of the agent's binary as files and starts the right
// one: DIR/a/platen, DIR/b/platen and the slot record DIR/slots.
//
// [Slots] is the updater.Bootloader the running agent uses. [Run] is the launcher
// above it (platen boot): a small supervisor without network that picks the slot,
// checks its hash against the record, has it measured, starts it as a child, starts
// it again when it dies, and falls back when a release on trial fails. [Install]
// puts the first release into slot a.
//
// # Requirements
//
//   - Whatever the moment of a power cut, the launcher finds a binary whose hash the
//     record holds, or runs the factory binary.
//   - A release on trial is confirmed by itself, in time, or the launcher falls back
//     to the slot that ran before. A graceful stop does not count as a failed try.
//   - What is executed is the open file that was hashed.
//
// # Non-requirements
//
//   - Verifying signatures: package trust did before the slot was written. The
//     launcher guards against accidents; what it starts is measured into the TPM.
//
// # Layout
//
// The new binary is written to X/platen.new, made durable, read back, and renamed
// to X/platen; only then does the record get its hash. The record is emptied for
// the slot before the first byte is written.
//
// # Failures
//
//   - Cut while writing: the record says the slot is empty.
//   - Slot damaged later: its hash differs, the other slot starts if it was once
//     confirmed, else the factory binary.
//   - Record lost in both copies: the factory binary.
package boot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"platen/updater"
	"platen/updater/slot"
)

// EnvSlot is the environment variable by which the launcher tells its child which
// slot it runs from: "a", "b" or "none" for the factory binary.
const EnvSlot = "PLATEN_SLOT"

// DefaultTries is how often a release on trial is started before the launcher
// falls back.
const DefaultTries = 5

// Slots is the bootloader of the agent's own binary. It implements
// updater.Bootloader.
type Slots struct {
	fs      slot.FS
	log     *slot.Log
	running slot.Name
}

// Open returns the slots in dir, for a process that runs from slot running; see
// [Running].
func Open(dir string, running slot.Name) (*Slots, error) {
	d, err := slot.OpenDir(dir, "a", "b")
	if err != nil {
		return nil, err
	}
	return OpenFS(d, running), nil
}

// OpenFS is Open on any file system that has the folders a and b.
func OpenFS(fsys slot.FS, running slot.Name) *Slots {
	return &Slots{fs: fsys, log: slot.NewLog(fsys), running: running}
}

// Running is the slot this process was started from, as its launcher said; None for
// the factory binary or without a launcher.
func Running() slot.Name { return slot.Parse(os.Getenv(EnvSlot)) }

// Log is the slot record that s works on.
func (s *Slots) Log() *slot.Log { return s.log }

// FS is where the slots are.
func (s *Slots) FS() slot.FS { return s.fs }

// Current is the slot this process runs from.
func (s *Slots) Current() (slot.Name, error) { return s.running, nil }

// Try puts a slot on trial after reading its contents back.
func (s *Slots) Try(n slot.Name) error {
	if err := s.idle(n); err != nil {
		return err
	}
	rec, err := s.log.Load()
	if err != nil {
		return err
	}
	f, err := verify(s.fs, n, *rec.Slot(n))
	if err != nil {
		return err
	}
	f.Close() // only read
	_, err = s.log.Update(func(r *slot.Record) error {
		if r.Active == n || r.Slot(n).Digest != rec.Slot(n).Digest {
			return fmt.Errorf("slot %s changed meanwhile: %w", n, updater.ErrSlot)
		}
		r.Try(n, DefaultTries)
		return nil
	})
	return err
}

// Confirm makes n the slot that starts from now on.
func (s *Slots) Confirm(n slot.Name) error {
	if n != slot.A && n != slot.B {
		return fmt.Errorf("slot %s cannot be confirmed", n)
	}
	_, err := s.log.Update(func(r *slot.Record) error {
		if r.Trying != n && r.Active != n {
			return fmt.Errorf("slot %s is not on trial: %w", n, updater.ErrSlot)
		}
		r.Confirm(n)
		return nil
	})
	return err
}

// Open empties slot n and returns the writer of its new contents. If the record plans
// contents for it that are there in part, the writer goes on with them: see
// updater.Resumed.
func (s *Slots) Open(n slot.Name) (updater.Writer, error) {
	if err := s.idle(n); err != nil {
		return nil, err
	}
	_, err := s.log.Update(func(r *slot.Record) error {
		if r.Active == n && s.running != slot.None && r.Trying == s.running {
			return fmt.Errorf("slot %s is what a failed trial falls back to: %w", n, updater.ErrSlot)
		}
		if r.Active == n { // refused when it should have started, so it does not run
			r.Active = s.running
		}
		r.EndTrial(n)
		*r.Slot(n) = slot.Slot{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f, err := s.log.BeginFile(s.fs, file(n), slot.Program, slot.Agent, n)
	if err != nil {
		return nil, fmt.Errorf("make slot %s: %w", n, err)
	}
	return &writer{Fill: f, fs: s.fs, log: s.log, name: n}, nil
}

// Read opens what is in slot n, for deltas.
func (s *Slots) Read(n slot.Name) (slot.File, error) { return s.fs.Open(file(n), slot.Read) }

// idle refuses everything but the slot this process does not run from.
func (s *Slots) idle(n slot.Name) error {
	if n != slot.A && n != slot.B {
		return fmt.Errorf("there is no slot %s to write", n)
	}
	if n == s.running {
		return fmt.Errorf("slot %s is running: %w", n, updater.ErrSlot)
	}
	return nil
}

func file(n slot.Name) string { return n.String() + "/platen" }

// writer fills a slot. What it reads back is what the record learns of it.
type writer struct {
	*slot.Fill
	fs   slot.FS
	log  *slot.Log
	name slot.Name
	done bool
	err  error
}

// Keep leaves what was written for another writer to go on with.
func (w *writer) Keep(all bool) error {
	w.done = true
	return w.Fill.Keep(all)
}

// Close makes the contents durable, reads them back and enters their hash in the
// record. A second Close does nothing.
func (w *writer) Close() error {
	if w.done {
		return w.err
	}
	w.done = true
	got, err := w.Finish()
	if err == nil {
		err = slot.Commit(w.fs, file(w.name)+".new", file(w.name))
	}
	if err == nil {
		_, err = w.log.Update(func(r *slot.Record) error {
			*r.Slot(w.name) = slot.Slot{Size: got.Size, Digest: got.Digest}
			r.Filling = slot.Filling{}
			return nil
		})
	}
	if err != nil {
		w.err = fmt.Errorf("close slot %s: %w", w.name, err)
	}
	return w.err
}

// verify reads slot n back, compares it with its entry in the record and returns it
// open, so that what was hashed can be executed.
func verify(fsys slot.FS, n slot.Name, want slot.Slot) (slot.File, error) {
	if want.Empty() {
		return nil, fmt.Errorf("slot %s is empty: %w", n, updater.ErrSlot)
	}
	f, err := fsys.Open(file(n), slot.Read)
	if err != nil {
		return nil, fmt.Errorf("open slot %s: %w", n, errors.Join(updater.ErrSlot, err))
	}
	if err := check(f, want); err != nil {
		return nil, fmt.Errorf("slot %s: %w", n, errors.Join(err, f.Close()))
	}
	return f, nil
}

// check hashes f and compares size and digest with the entry want.
func check(f slot.File, want slot.Slot) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	if uint64(size) != want.Size {
		return fmt.Errorf("size: %w", updater.ErrSlot)
	}
	got, err := slot.Sum(f, size)
	if err != nil {
		return err
	}
	if got != want.Digest {
		return fmt.Errorf("digest: %w", updater.ErrSlot)
	}
	return nil
}

// ErrInstalled reports that a folder already holds a confirmed release.
var ErrInstalled = errors.New("a release is installed already: update it, or remove its folder to start over")

// Install puts the release in the file binary into slot a of dir as the confirmed
// one, as a factory or a package does. It returns ErrInstalled, and changes nothing,
// if dir has a confirmed slot.
func Install(dir, binary string, release uint64) error {
	src, err := os.Open(binary)
	if err != nil {
		return fmt.Errorf("open binary to install: %w", err)
	}
	defer src.Close()
	s, err := Open(dir, slot.None)
	if err != nil {
		return err
	}
	return InstallFS(s.fs, src, release)
}

// InstallFS is Install on any file system that has the folders a and b.
func InstallFS(fsys slot.FS, src io.Reader, release uint64) error {
	s := OpenFS(fsys, slot.None)
	rec, err := s.log.Load()
	if err != nil && !errors.Is(err, slot.ErrRecord) {
		return err
	}
	if rec.Active != slot.None {
		return ErrInstalled
	}
	w, err := s.Open(slot.A)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(w, io.TeeReader(src, sum))
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	_, err = s.log.Update(func(r *slot.Record) error {
		if r.Slot(slot.A).Digest != [32]byte(sum.Sum(nil)) {
			return fmt.Errorf("slot a does not hold what was installed: %w", updater.ErrSlot)
		}
		r.Slot(slot.A).Release = release
		r.Confirm(slot.A)
		return nil
	})
	return err
}
