package gcode

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSpacingMatters is the control of the property above: without the time between
// lines, a refused line makes Marlin cut the next one right behind its number in
// some run, and the rest is executed out of turn.
func TestSpacingMatters(t *testing.T) {
	for seed := range uint64(3000) {
		b := newBench(t, seed, chances{flipBit: 80, workMin: 1, workMax: 1, wrap: 1000, lines: 150})
		b.link.cfg.Spacing = -1
		if sent := b.run(); !slices.Equal(sent, b.fw.executed) {
			return
		}
	}
	t.Fatal("no run without spacing executed a wrong line: the property proves nothing")
}

// TestErasingMatters is the control of writing ahead: when what was written ahead is not
// taken back after a refusal, its end is executed in some run.
func TestErasingMatters(t *testing.T) {
	for seed := range uint64(3000) {
		b := newBench(t, seed, chances{flipBit: 20, workMin: 1, workMax: 1, wrap: 1000, lines: 150, window: WindowTail})
		b.keep = true
		if sent := b.run(); !slices.Equal(sent, b.fw.executed) {
			return
		}
	}
	t.Fatal("no run without erasing executed a wrong line: the property proves nothing")
}

// TestLooseMatters shows both ways in which one damaged byte deceives firmware that
// takes a line up to its first asterisk, and that a Link set to Loose avoids them.
func TestLooseMatters(t *testing.T) {
	const cmd = "G1 X61.076 E114"
	for _, loose := range []bool{false, true} {
		l := NewLink(Config{Loose: loose})
		line := l.frame(nil, 38, []byte(cmd))
		line[bytes.IndexByte(line, '.')] = '*'
		fw := &model{last: 37, marlin1: true}
		fw.receive(line)
		fw.read()
		fw.execute()
		if got := len(fw.executed) > 0; got == loose {
			t.Errorf("loose %v: a damaged line was executed: %v", loose, got)
		}
	}
	for _, loose := range []bool{false, true} {
		now := time.Unix(1e9, 0)
		l := NewLink(Config{Loose: loose, Window: WindowOpen})
		l.Restart(now)
		l.fresh, l.careful, l.syncDue = false, false, false
		l.Add([]byte("G1 X1"))
		wire := l.AppendWire(nil, now)
		l.acked = 0
		l.Add([]byte("G1 Y2"))
		wire = l.AppendWire(wire, now)
		glued := false
		for i := bytes.IndexByte(wire, '\n') + 1; i < len(wire)-1; i++ {
			if lost := slices.Delete(slices.Clone(wire), i, i+1); wire[i] == '\n' {
				glued = glued || strings.Count(string(lost), "\n") < 3 && bytes.Contains(lost, []byte("N2")) && !bytes.Contains(lost, []byte("\nN2"))
			}
		}
		if glued == loose {
			t.Errorf("loose %v: a lost line feed glues lines together: %v", loose, glued)
		}
	}
}
