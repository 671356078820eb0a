package session

import (
	"testing"

	"platen/agent/seam"
)

// A model whose layers could need more memory than the process is allowed is refused
// before anything is heated. TestSessionPrintsInTheClear is the control: it has no bound.
func TestSessionRefusesWhatDoesNotFit(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1MiB")
	c := startSession(t, fast)
	b := model(t, "tug.stl")
	c.start(seam.Start{Job: [16]byte{11}, Size: uint64(len(b))}, b)
	if r := await[*seam.Receipt](c); r.Code != seam.CodeRefused || r.Reason != seam.ReasonTooBig {
		t.Errorf("%s, %s\n%s", r.Code, r.Reason, c.stderr.String())
	}
	if s := c.printer.Stats(); s.Moves != 0 || s.HotendSet != 0 || s.BedSet != 0 {
		t.Error("the machine moved or was heated")
	}
	c.exited()
}
