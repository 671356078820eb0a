package agent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"platen/agent/audit"
	"platen/agent/durable"
	"platen/agent/seam"
)

// errForeign refuses prints on a controller that somebody else has flashed.
var errForeign = &refusal{"controller-changed", "the controller says that it has another firmware than before, and this printer has not flashed it: platen controller flash, or platen controller accept if it is right"}

// saysName is the file, in the folder of the controller's journal, of what the controller has said
// that it is. Whoever flashes it through Platen removes the file; see platen controller accept.
const saysName = "says.json"

// says is what a controller has said of its firmware. It is the controller's own word: who
// flashes one that says the same is not noticed, and reading its flash back takes minutes and a
// restart into its bootloader, so that it is done when it is flashed and not at each start.
type says struct {
	Firmware uint64 `json:"firmware"`          // seam.Ready's; 0: what is said next is believed
	Once     bool   `json:"once,omitempty"`    // it has said so once only
	Changed  bool   `json:"changed,omitempty"` // it says something else since, and nobody has accepted that
	Now      uint64 `json:"now,omitempty"`     // this
	Foreign  bool   `json:"foreign,omitempty"` // what was read back when it was flashed is not what it has
}

func readSays(journal string) (s says, err error) {
	b, err := os.ReadFile(filepath.Join(journal, saysName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reading what the controller said before: %w", err)
	}
	return s, nil
}

func (s says) write(journal string) error {
	b, err := json.Marshal(s)
	if err == nil {
		err = os.MkdirAll(journal, 0o700)
	}
	if err == nil {
		err = durable.Replace(filepath.Join(journal, saysName), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keeping what the controller says: %w", err)
	}
	return nil
}

// ControllerFlashing has the next thing that a controller says believed, for it is about to be flashed:
// a power cut between that and [ControllerFlashed] is nobody's fault. What somebody else has
// flashed stays that. restore is for a controller that was not touched after all.
func ControllerFlashing(journal string) (restore func() error, err error) {
	s, err := readSays(journal)
	if err != nil || s.Firmware == 0 { // what cannot be read goes with its end
		return func() error { return nil }, nil
	}
	next := s
	next.Firmware = 0
	return func() error { return s.write(journal) }, next.write(journal)
}

// ControllerFlashed forgets what a controller has said, for it was just flashed and read back.
func ControllerFlashed(journal string) error {
	err := durable.Remove(filepath.Join(journal, saysName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting what the controller said before: %w", err)
	}
	return nil
}

// ControllerForeign is the error of a controller that says that it has another firmware than
// before, and that was not flashed by this printer.
func ControllerForeign(journal string) error {
	s, err := readSays(journal)
	if err == nil && s.Changed {
		err = errForeign
	}
	return err
}

// AcceptController takes whatever the controller says next for right. What was read back when it
// was flashed last stays what it is not, if it has changed since.
func AcceptController(journal string) error {
	s, err := readSays(journal)
	if err != nil {
		return err
	}
	return says{Foreign: s.Foreign}.write(journal)
}

// image is the controller's image as evidence has it, if this one was confirmed: no image at
// all if the controller has another by its own word.
func (s says) image(confirmed [32]byte) [32]byte {
	if !s.Foreign {
		return confirmed
	}
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("platen: a controller that says "), s.Now))
}

// doubt is what a controller has said once, if that was something new.
type doubt struct {
	said uint64
	is   bool // or there is none
}

// heard holds what a controller says against what it said before, and returns what is to be
// kept of it. Replies have no checksum, so what is new counts when it is said twice, and so does
// nothing where something was said before; of what is said first the next session's word is the proof, and
// counts if it is another. suspect is what it said last, if that was new; again asks for it to be said
// again, or for evidence to follow.
func (s says) heard(now uint64, suspect doubt) (next says, left doubt, again bool) {
	switch {
	case s.Changed && now == s.Now:
		return s, doubt{}, false
	case now == s.Firmware:
		s.Once = false
		return s, doubt{}, false
	case !s.Changed && (s.Firmware == 0 || s.Once):
		s.Firmware, s.Once = now, now != 0
		return s, doubt{}, false
	case suspect != doubt{now, true}:
		return s, doubt{now, true}, true
	}
	s.Changed, s.Now, s.Foreign, s.Once = true, now, true, false
	return s, doubt{}, true
}

// identified takes what a session that got ready says of its controller, and reports whether the
// session is to be ended, so that the next one says it again. It is called under the supervisor's
// lock, with no job running.
func (a *Agent) identified(r seam.Ready) (again bool) {
	was, err := readSays(journal(a.cfg))
	if err != nil { // what cannot be read is what somebody has done to it
		a.log.Error("what the controller said before cannot be read", "error", err)
		was = says{Changed: true, Foreign: true}
	}
	var next says
	next, a.suspect, again = was.heard(r.Firmware, a.suspect)
	if next != was {
		if err := next.write(journal(a.cfg)); err != nil {
			a.log.Error("what the controller says cannot be kept", "error", err)
		}
		if next.Changed {
			a.log.Error("the controller says that it has another firmware, and this printer has not flashed it")
			a.audit.Note(audit.Entry{Event: audit.Fault, Code: errForeign.code})
		}
	}
	a.machine.Controller(next.Changed)
	a.sup.foreign = next.Changed
	return again
}

// beforeSession is what has to succeed before a session is started.
func (a *Agent) beforeSession(ctx context.Context) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	return a.followed(ctx)
}

// followed has the TPM remember that the controller is not what it was.
func (a *Agent) followed(ctx context.Context) error {
	s, err := readSays(journal(a.cfg))
	if err != nil { // it is told when the session is ready
		return nil
	}
	if s.image([32]byte{}) != a.foreign {
		return a.measure(ctx)
	}
	return nil
}
