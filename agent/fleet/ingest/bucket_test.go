package ingest

import (
	"encoding/binary"
	"testing"
	"time"

	"platen/agent/evidence"
)

// TestBucketsDoNotStay: of printers that send now and then nothing is remembered for long, and
// those that flood are not forgotten over it.
func TestBucketsDoNotStay(t *testing.T) {
	for _, c := range []struct {
		apart time.Duration
		most  int
	}{
		{10 * time.Millisecond, 3 * lanes}, // each is full again after a third of a second
		{0, 10_001},                        // control: all at once, and all are remembered
	} {
		in := New(nil, nil, nil, nil)
		flood, now, most, passed := evidence.PrinterID{1}, time.Now(), 0, 0
		for n := range 10_000 {
			now = now.Add(c.apart)
			if ok, _ := in.take(evidence.PrinterID(binary.BigEndian.AppendUint32(make([]byte, 28), uint32(n))), now); !ok {
				t.Fatalf("printer %d may not send once", n)
			}
			for range 2 {
				if ok, _ := in.take(flood, now); ok {
					passed++
				}
			}
			most = max(most, len(in.bucket))
		}
		if allowed := burst + rate*int(10_000*c.apart/time.Second) + 1; passed > allowed || passed < allowed-3 {
			t.Errorf("%v apart: %d frames of a flood passed, %d are allowed", c.apart, passed, allowed)
		}
		if most > c.most || most < c.most/4 {
			t.Errorf("%v apart: %d buckets at most, want about %d", c.apart, most, c.most)
		}
	}
}
