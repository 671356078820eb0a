package sim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"platen/cross/rig/rigtest"
)

// printcoreFile is a file as a slicer writes it: a start, some layers of a square
// with retractions, an end. moves is how many there are from the first layer on.
func printcoreFile(layers int) (text string, moves int) {
	var s strings.Builder
	s.WriteString("; made for a test\nM107\nM82 ; absolute extrusion\nG21\nG90\nM140 S40\nM109 S200\nG28 W\nG92 E0\nG1 X50 Y50 Z5 F6000\n")
	e := 0.0
	for l := range layers {
		fmt.Fprintf(&s, "G1 Z%.2f F600\nG1 E%.3f F1800\n", 5+0.2*float64(l+1), e-0.5)
		fmt.Fprintf(&s, "G1 X58 Y57 F7200\nG1 X60 Y60\nG1 E%.3f F1800\n", e)
		for _, p := range [][2]int{{80, 60}, {80, 80}, {60, 80}, {60, 60}} {
			e += 0.7
			fmt.Fprintf(&s, "G1 X%d Y%d E%.3f F2400\n", p[0], p[1], e)
		}
		moves += 9
		if l == 0 {
			s.WriteString("M106 S128\n")
		}
	}
	s.WriteString("M104 S0\nM140 S0\nM107\nM400\nM84\n")
	return s.String(), moves
}

// TestPrintcore lets Debian's printcore print a file on each firmware that it knows
// how to talk to: every move of it is driven, in order.
func TestPrintcore(t *testing.T) {
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("starts a Python program for each firmware")
	}
	text, want := printcoreFile(6)
	file := filepath.Join(t.TempDir(), "square.gcode")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, fw := range []Firmware{Marlin2, Marlin1, PrusaMK3, Repetier, RepRap} {
		t.Run(fw.String(), func(t *testing.T) {
			t.Parallel()
			printOn(t, fw, file, want)
		})
	}
}

func printOn(t *testing.T, fw Firmware, file string, want int) {
	var mu sync.Mutex
	var moves []Move
	p, port := openPTY(t, Config{Firmware: fw, Speed: Fastest, OnMove: func(m Move) {
		mu.Lock()
		moves = append(moves, m)
		mu.Unlock()
	}})
	cmd := rigtest.Printcore(t, "-b", fmt.Sprint(makers[fw].baud), port, file)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("printcore: %v\n%s", err, said.Bytes())
		}
	case <-time.After(2 * time.Minute): // a guard against hanging
		t.Fatalf("printcore did not end; the printer: %+v", p.Stats())
	}
	mu.Lock()
	defer mu.Unlock()
	first := slices.IndexFunc(moves, func(m Move) bool { return m.To[2].MM() > 5.1 && m.To[2].MM() < 5.3 })
	if first < 0 || len(moves)-first != want {
		t.Fatalf("%d moves were driven, want %d from the first layer on; %+v\n%s", len(moves), want, p.Stats(), said.Bytes())
	}
	for i, m := range moves[first:] {
		if i > 0 && (m.From != moves[first+i-1].To || m.Cut) {
			t.Errorf("move %d does not go on from the one before: %+v", i, m)
		}
	}
	s := p.Stats()
	if s.Layers != 6 || s.Kills != 0 || s.Cold != 0 {
		t.Errorf("%+v", s)
	}
	end := moves[len(moves)-1].To
	if end[0].MM() != 60 || end[1].MM() != 60 {
		t.Errorf("the head stands at %v", end)
	}
}
