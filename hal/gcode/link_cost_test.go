package gcode

import (
	"bytes"
	"testing"
	"time"
)

func TestLinkDoesNotAllocate(t *testing.T) {
	l := NewLink(Config{})
	now := time.Unix(1e9, 0)
	l.Restart(now)
	var s Splitter
	wire, cmd := make([]byte, 0, 512), []byte("G1 X101.234 Y88.12 E12.3456\n")
	step := func() {
		wire = l.AppendWire(wire[:0], now)
		in := []byte("ok\n")
		if bytes.Contains(wire, []byte("M105")) {
			in = []byte("ok T:21.87 /0.00 B:21.87 /0.00 @:0 B@:0\n")
		}
		for {
			line, rest, more := s.Next(in)
			if !more {
				break
			}
			in = rest
			var r Reply
			Parse(line, &r)
			if err := l.Handle(&r, now); err != nil {
				t.Fatal(err)
			}
		}
		if l.Ready() {
			l.Add(cmd)
		}
	}
	for range 10 {
		step()
	}
	before := l.Accepted()
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
	if l.Accepted()-before < 900 {
		t.Errorf("only %d lines went through", l.Accepted()-before)
	}
}

func BenchmarkLink(b *testing.B) {
	l := NewLink(Config{})
	now := time.Unix(1e9, 0)
	l.Restart(now)
	wire, cmd := make([]byte, 0, 512), []byte("G1 X101.234 Y88.12 E12.3456\n")
	var plain, temps Reply
	Parse([]byte("ok"), &plain)
	Parse([]byte("ok T:21.87 /0.00 B:21.87 /0.00 @:0 B@:0"), &temps)
	for b.Loop() {
		wire = l.AppendWire(wire[:0], now)
		r := &plain
		if l.syncOut() && l.lastSync == l.acked+1 {
			r = &temps
		}
		if err := l.Handle(r, now); err != nil {
			b.Fatal(err)
		}
		if l.Ready() {
			l.Add(cmd)
		}
	}
}
