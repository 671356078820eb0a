package link

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"platen/agent/seam"
)

func pair(t *testing.T) (*Conn, *Conn) {
	t.Helper()
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	b, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestMessageAndDescriptor(t *testing.T) {
	a, b := pair(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	file.WriteString("content")
	want := &seam.Start{Format: seam.FormatAny, Size: 7}
	if err := a.Send(want, file); err != nil {
		t.Fatal(err)
	}
	m, got, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if *m.(*seam.Start) != *want {
		t.Errorf("got %#v", m)
	}
	defer got.Close()
	text := make([]byte, 7)
	if _, err := got.ReadAt(text, 0); err != nil || string(text) != "content" {
		t.Errorf("descriptor reads %q, %v", text, err)
	}
}

func TestGarbageThenMessage(t *testing.T) {
	a, b := pair(t)
	a.rc.Write(func(fd uintptr) bool { unix.Write(int(fd), []byte("garbage")); return true })
	if err := a.Send(&seam.Command{Kind: seam.KindPause}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Receive(); !errors.Is(err, seam.ErrMessage) {
		t.Errorf("garbage: %v", err)
	}
	if m, _, err := b.Receive(); err != nil || m.(*seam.Command).Kind != seam.KindPause {
		t.Errorf("message after garbage: %v, %v", m, err)
	}
}

func TestEnds(t *testing.T) {
	a, b := pair(t)
	a.Close()
	if _, _, err := b.Receive(); err != io.EOF {
		t.Errorf("peer closed: %v", err)
	}
	a, _ = pair(t)
	done := make(chan error)
	go func() { _, _, err := a.Receive(); done <- err }()
	a.Close()
	if err := <-done; err != io.EOF {
		t.Errorf("own Close: %v", err)
	}
}
