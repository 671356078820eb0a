package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"platen/agent/seam"
	"platen/agent/seam/link"
)

// TestHeard: what a controller says counts when it is said twice, until it is flashed or accepted.
func TestHeard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "controller")
	image := [32]byte{1}
	var suspect doubt
	hear := func(now uint64) (s says, again bool) {
		t.Helper()
		was, err := readSays(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, suspect, again = was.heard(now, suspect)
		if err := s.write(dir); err != nil {
			t.Fatal(err)
		}
		return s, again
	}
	for i, step := range []struct {
		now            uint64
		again, changed bool
	}{
		{5, false, false}, // a damaged line at first
		{7, false, false}, // what it says next is believed
		{7, false, false}, // and known from now on
		{0, true, false},  // said nothing, once
		{7, false, false},
		{8, true, false}, // once: a damaged line
		{7, false, false},
		{8, true, false},
		{9, true, false}, // and another one
		{8, true, false},
		{8, true, true}, // twice
		{8, false, true},
		{7, false, true}, // in between it was another
	} {
		s, again := hear(step.now)
		if again != step.again || s.Changed != step.changed || (s.image(image) == image) == step.changed {
			t.Errorf("step %d, it says %d: again %v, %+v", i, step.now, again, s)
		}
	}
	if err := ControllerForeign(dir); !errors.Is(err, errForeign) {
		t.Errorf("doctor: %v", err)
	}
	if err := AcceptController(dir); err != nil {
		t.Fatal(err)
	}
	if s, again := hear(8); again || s.Changed || s.Firmware != 8 || !s.Once {
		t.Errorf("accepted, and said once: %+v", s)
	}
	if s, again := hear(8); again || s.Changed || s.Firmware != 8 || s.Once || s.image(image) == image {
		t.Errorf("accepted: %+v", s)
	}
	if err := ControllerFlashed(dir); err != nil {
		t.Fatal(err)
	}
	hear(6) // damaged
	hear(9)
	if s, again := hear(9); again || s.Changed || s.Firmware != 9 || s.image(image) != image {
		t.Errorf("flashed: %+v", s)
	}
	hear(0)
	if s, again := hear(0); !again || !s.Changed || s.image(image) == image {
		t.Errorf("it says nothing any more: %+v", s)
	}
	if err := ControllerFlashed(filepath.Join(dir, "none")); err != nil {
		t.Errorf("nothing was said yet: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, saysName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ControllerForeign(dir); err == nil {
		t.Error("a file that cannot be read is not told")
	}
}

// TestFlashingAccusesNobody: what a controller says after the power failed at the end of its
// installation is believed, and what somebody else has flashed stays that until it has ended well.
func TestFlashingAccusesNobody(t *testing.T) {
	theirs := says{Firmware: 7, Changed: true, Now: 8, Foreign: true}
	for name, c := range map[string]struct {
		before  says
		after   func(dir string, restore func() error) error
		changed bool
	}{
		"cut at its end":           {says{Firmware: 7}, func(string, func() error) error { return nil }, false},
		"not touched":              {says{Firmware: 7}, func(_ string, restore func() error) error { return restore() }, true},
		"theirs, cut":              {theirs, func(string, func() error) error { return nil }, true},
		"theirs, not touched":      {theirs, func(_ string, restore func() error) error { return restore() }, true},
		"theirs, and flashed well": {theirs, func(dir string, _ func() error) error { return ControllerFlashed(dir) }, false},
		"nothing was said yet":     {says{}, func(_ string, restore func() error) error { return restore() }, false},
	} {
		dir := t.TempDir()
		if err := c.before.write(dir); err != nil {
			t.Fatal(err)
		}
		restore, err := ControllerFlashing(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.after(dir, restore); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s, err := readSays(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, said, _ := s.heard(9, doubt{})
		if s, _, _ = s.heard(9, said); s.Changed != c.changed {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestForeignTakesNoJob: a session whose controller is another is ended to be asked again, and
// takes no job once that is known.
func TestForeignTakesNoJob(t *testing.T) {
	near, end, err := link.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := link.FromFile(end)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	again := true
	s := &supervisor{conn: near, onReady: func(seam.Ready) bool { return again }, onStatus: func(seam.Status) {}}
	idle := func() bool {
		s.take(&seam.Status{Phase: seam.PhaseIdle})
		return s.status.Phase == seam.PhaseIdle
	}
	s.take(&seam.Ready{Firmware: 8})
	if m, _, err := far.Receive(); err != nil || m.(*seam.Command).Kind != seam.KindQuit || s.ready != nil {
		t.Errorf("asked again: %v, %v", m, err)
	}
	if idle() {
		t.Error("a session that is to end is idle")
	}
	again = false
	s.take(&seam.Ready{Firmware: 8})
	if err := s.free(); err != nil || !idle() {
		t.Errorf("control: %v", err)
	}
	s.foreign = true
	if err := s.free(); !errors.Is(err, errForeign) {
		t.Errorf("a controller that is another: %v", err)
	}
}
