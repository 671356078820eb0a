package telemetry

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"platen/agent/catalog"
	"platen/agent/evidence"
)

// The spool against a plain slice: messages come out in order, and each one is
// either taken or counted as lost, also if it is dropped while being bound.
func TestSpool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "most")
		s := newSpool(most)
		var in, out, told uint64
		put := func() {
			s.put(binary.BigEndian.AppendUint64(nil, in))
			in++
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "put") {
				put()
				continue
			}
			msgs := s.peek(rapid.IntRange(0, 60).Draw(t, "room"), 3, 4)
			lost := s.lost
			for range rapid.IntRange(0, 8).Draw(t, "meanwhile") {
				put()
			}
			s.take(len(msgs), lost)
			told += lost
			for i, m := range msgs {
				if got := binary.BigEndian.Uint64(m); got != out+lost+uint64(i) {
					t.Fatalf("message %d where %d was due", got, out+lost+uint64(i))
				}
			}
			out += lost + uint64(len(msgs))
		}
		if s.n > most || in != out+s.lost+uint64(s.n) {
			t.Fatalf("put %d, out %d, lost %d, waiting %d of %d", in, out, s.lost, s.n, most)
		}
		if s.dropped != told+s.lost {
			t.Fatalf("dropped %d, told %d, untold %d", s.dropped, told, s.lost)
		}
	})
}

// A frame always has room for one message, or a channel would get stuck on it.
func TestEveryMessageFitsAFrame(t *testing.T) {
	if room := evidence.Room(evidence.WireSize, evidence.MaxNonce, evidence.MaxLog); room < catalog.MaxMessage+evidence.MsgOverhead {
		t.Errorf("a frame has room for %d bytes, a message may have %d", room, catalog.MaxMessage)
	}
}
