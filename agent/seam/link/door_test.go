package link

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"platen/agent/seam"
)

func TestDoor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "door")
	if _, err := Knock(path); !errors.Is(err, ErrNobody) {
		t.Errorf("no door: %v", err)
	}
	f, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if _, err := Listen(path); err == nil {
		t.Error("a door at the path of another")
	}
	d, err := OpenDoor(f)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // one agent after the other
		a, err := Knock(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Accept()
		if err != nil {
			t.Fatal(err)
		}
		want := &seam.Ready{Dialect: 1, Job: [16]byte{9}}
		if err := s.Send(want, nil); err != nil {
			t.Fatal(err)
		}
		m, _, err := a.Receive()
		if err != nil || *m.(*seam.Ready) != *want || a.Peer() != os.Getpid() {
			t.Errorf("%v from process %d, %v; want one of %d", m, a.Peer(), err, os.Getpid())
		}
		if err := a.Send(&seam.Command{Kind: seam.KindCancel}, nil); err != nil {
			t.Fatal(err)
		}
		if m, _, err := s.Receive(); err != nil || m.(*seam.Command).Kind != seam.KindCancel || s.Peer() != 0 {
			t.Errorf("%v, %v", m, err)
		}
		a.Close()
		if _, _, err := s.Receive(); err != io.EOF {
			t.Errorf("an agent that is gone: %v", err)
		}
		s.Close()
	}
	done := make(chan error)
	go func() { _, err := d.Accept(); done <- err }()
	d.Close()
	if err := <-done; err != io.EOF {
		t.Errorf("a closed door: %v", err)
	}
	if _, err := Knock(path); !errors.Is(err, ErrNobody) {
		t.Errorf("a door that nobody has: %v", err)
	}
}
