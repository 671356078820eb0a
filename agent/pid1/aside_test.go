package pid1

import (
	"os/exec"
	"testing"
)

// TestAside: what ends beside the launcher is started again, and nothing else is.
func TestAside(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	a := aside{args: []string{sleep, "3600"}}
	if err := a.start(); err != nil || a.again != nil {
		t.Fatal(err)
	}
	first := a.pid
	if a.ended(map[int]string{first + 1: ""}); a.again != nil || a.pid != first {
		t.Error("another's end is taken for its own")
	}
	new(board).stop(first)
	if a.ended(map[int]string{first: ""}); a.again == nil || a.pid != 0 {
		t.Error("it is not started again")
	}
	if err := a.start(); err != nil || a.again != nil || a.pid <= 1 {
		t.Errorf("again: %d, %v", a.pid, err)
	}
	new(board).stop(a.pid)
	a = aside{args: []string{sleep + "-missing"}}
	if err := a.start(); err == nil || a.again == nil {
		t.Error("what did not start is not tried again")
	}
	a = aside{}
	if err := a.start(); err != nil || a.again != nil {
		t.Errorf("nothing: %v", err)
	}
}
