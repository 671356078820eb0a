package bootloader

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		if _, err := a.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 3)
		for _, want := range []string{"hel", "lo"} {
			if n, err := b.Read(p); err != nil || string(p[:n]) != want {
				t.Errorf("%q, %v", p[:n], err)
			}
		}
		b.SetReadDeadline(time.Now().Add(time.Minute))
		from := time.Now()
		if _, err := b.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(from) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(from))
		}
		b.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			a.Close()
		}()
		if _, err := b.Read(p); err != io.EOF {
			t.Errorf("after it was closed: %v", err)
		}
		if _, err := b.Write(p); err == nil {
			t.Error("written to a line that was closed")
		}
	})
}
