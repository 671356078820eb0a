package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/agent/cli"
)

// TestBootloaders greets each of the bootloaders on its pseudo terminal.
func TestBootloaders(t *testing.T) {
	for kind, c := range map[string]struct{ ask, want string }{
		"stk500v2": {"\x1b\x01\x00\x01\x0e\x01\x14", "\x1b\x01\x00\x0b\x0e\x01\x00\x08AVRISP_2\x74"},
		"stm32":    {"\x7f", "\x79"},
		"katapult": {"\x01\x88\x90\x00\xa6\xf3\x99\x03", "\x01\x88"}, // no command: refused in a frame
	} {
		t.Run(kind, func(t *testing.T) {
			link := filepath.Join(t.TempDir(), "controller")
			memory := filepath.Join(t.TempDir(), "memory")
			events, stop := start(t, "bootloader", kind, "--pty", link, "--memory", memory, "-o", "jsonl")
			if !events.Scan() {
				t.Fatal("it says nothing")
			}
			var e bootEvent
			if err := json.Unmarshal(events.Bytes(), &e); err != nil || e.Event != "ready" || e.Port == "" {
				t.Fatalf("%s, %v", events.Text(), err)
			}
			port, err := os.OpenFile(link, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer port.Close()
			port.SetReadDeadline(time.Now().Add(20 * time.Second))
			got := make([]byte, len(c.want))
			for try := 0; string(got) != c.want && try < 3; try++ {
				if _, err := port.WriteString(c.ask); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(port, got); err != nil {
					t.Fatalf("%q, %v", got, err)
				}
			}
			if string(got) != c.want {
				t.Errorf("answered %q", got)
			}
			go func() { // so that the last event finds a reader
				for events.Scan() {
				}
			}()
			if code := stop(); code != cli.ExitOK {
				t.Errorf("exit code %d", code)
			}
			if st, err := os.Stat(memory); err != nil || st.Size() < 256<<10 {
				t.Errorf("the flash was not kept: %v", err)
			}
		})
	}
}

func TestBootloaderUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"dfu"}, {"stm32", "--fault", "fire"}, {"stm32", "--pages", "x"}, {"stm32", "--pages", "2x1"}, {"stm32", "--start", "here"},
		{"stm32", "--size", "99999999"}, {"stk500v2", "--mcu", "mega"},
	} {
		_, stop := start(t, append([]string{"bootloader"}, args...)...)
		done := make(chan int, 1)
		go func() { done <- stop() }()
		select {
		case code := <-done:
			if code != cli.ExitUsage {
				t.Errorf("%v: exit code %d", args, code)
			}
		case <-time.After(time.Minute):
			t.Errorf("%v was taken", args)
		}
	}
	memory := filepath.Join(t.TempDir(), "memory")
	if err := os.WriteFile(memory, []byte("another chip's"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, "bootloader", "stm32", "--memory", memory)
	if code := stop(); code != cli.ExitFailed {
		t.Errorf("memory of another chip: exit code %d", code)
	}
}
