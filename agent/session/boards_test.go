package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"

	"platen/agent/seam"
	"platen/boards"
	"platen/hal"
	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
	"platen/slicer/vault"
)

// cuboid is an STL file of one, in mm.
func cuboid(w, d, h float32) []byte {
	b := make([]byte, 80, 84+12*50)
	b = binary.LittleEndian.AppendUint32(b, 12)
	corner := func(i int) [3]float32 {
		return [3]float32{w * float32(i&1), d * float32(i>>1&1), h * float32(i>>2)}
	}
	for _, t := range [12][3]int{{0, 2, 1}, {1, 2, 3}, {4, 5, 6}, {5, 7, 6}, {0, 1, 4}, {1, 5, 4}, {2, 6, 3}, {3, 6, 7}, {0, 4, 2}, {2, 4, 6}, {1, 3, 5}, {3, 7, 5}} {
		b = append(b, make([]byte, 12)...) // normal
		for _, i := range t {
			for _, x := range corner(i) {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
		}
		b = append(b, 0, 0)
	}
	return b
}

// simulated are the firmwares that answer for a dialect.
var simulated = map[string]sim.Firmware{"marlin": sim.Marlin2, "repetier": sim.Repetier, "reprap": sim.RepRap}

// TestEveryBoardPrints slices a small block for each board that prints, and prints it on
// a simulated machine of the board's size: every move lies inside of the board's volume
// and is no faster than the board allows, and nothing is left hot.
func TestEveryBoardPrints(t *testing.T) {
	printed := 0
	var wg sync.WaitGroup // they wait more than they work
	for _, id := range boards.List() {
		b, err := boards.Load(id)
		if err != nil {
			t.Fatal(err)
		}
		if !b.Prints() || !b.Driven() || strings.HasPrefix(id, "sim") {
			continue
		}
		wg.Go(func() {
			if err := printOn(t.Context(), b); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		})
		printed++
	}
	wg.Wait()
	if printed < 12 {
		t.Errorf("%d boards print", printed)
	}
}

// bench is a simulated machine of a board's size, which counts what a board does not do.
type bench struct {
	b            *boards.Board
	printer      *sim.Printer
	beyond, fast int
}

func (p *bench) move(m sim.Move) {
	for i := range m.To {
		if m.To[i] < p.b.Limits.Min[i] || m.To[i] > p.b.Limits.Max[i] {
			p.beyond++
		}
	}
	if m.Feed > max(p.b.Limits.MaxFeed[0], p.b.Limits.MaxFeed[1])*3/2 { // along both axes
		p.fast++
	}
}

func printOn(ctx context.Context, b *boards.Board) error {
	p := &bench{b: b}
	firmware := simulated[b.Controller.Dialect]
	if b.ID == "rpi-prusa-mk3-einsy" {
		firmware = sim.PrusaMK3
	}
	var err error
	if p.printer, err = sim.New(sim.Config{
		Firmware: firmware, Speed: sim.Fastest, Volume: b.Limits.Max, Leveling: true, EmergencyParser: true, LineTime: 1, OnMove: p.move,
	}); err != nil {
		return err
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() { defer close(served); p.printer.Serve(ctx, master) }()
	defer func() { cancel(); <-served; master.Close() }()
	cfg := Config{Board: b, Device: path, Logger: slog.New(slog.DiscardHandler)}
	machine, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer machine.Close()
	if err := block(ctx, cfg, machine); err != nil {
		return err
	}
	st := p.printer.Stats()
	if p.beyond > 0 || p.fast > 0 || st.Filament < 300 || st.HotendSet != 0 || st.BedSet != 0 || st.Cold+st.Unhomed+st.Unknown+st.Kills > 0 {
		return fmt.Errorf("%d moves beyond the volume, %d too fast; %+v", p.beyond, p.fast, st)
	}
	return control(b)
}

// block slices a small one and prints it.
func block(ctx context.Context, cfg Config, machine hal.Machine) error {
	v, err := vault.NewPageable(4 << 20)
	if err != nil {
		return err
	}
	defer v.Close()
	s := &session{cfg: cfg, vault: v}
	file := cuboid(4, 4, 0.6)
	job, err := s.loadModel(ctx, bytes.NewReader(file), &seam.Start{Size: uint64(len(file))})
	if err != nil {
		return err
	}
	prog := fresh(cfg.Board, job.program(ctx, func(p motion.Program) motion.Program { return p }))
	return machine.Run(ctx, envelope.Check(cfg.Board.Limits, envelope.Fit(cfg.Board.Limits, prog)))
}

// control reports a board on which a move beyond the volume passes.
func control(b *boards.Board) error {
	outside := motion.Op{Kind: motion.Move, Axes: motion.X, Feed: unit.Speed(1000)}
	outside.To[0] = b.Limits.Max[0] + 1
	prog := b.Sequence(gcodefile.State{}).Macro(boards.MacroStart).Program(func(yield func(motion.Op, error) bool) { yield(outside, nil) })
	for _, err := range envelope.Check(b.Limits, prog.Ops()) {
		if err != nil {
			return nil
		}
	}
	return errors.New("control: a move beyond the volume passes")
}
