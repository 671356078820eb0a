package telemetry

import (
	"context"
	"testing"
	"time"

	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/agent/seam"
	"platen/agent/spool"
)

// BenchmarkMessage is one sample of a machine and its encoding.
func BenchmarkMessage(b *testing.B) {
	m := NewMachine()
	m.Set(status(seam.PhaseIdle, 60_000))
	enc, err := catalog.NewEncoder(catalog.Owner, catalog.Granted(catalog.Owner))
	if err != nil {
		b.Fatal(err)
	}
	at := time.Now()
	var samples []catalog.Sample
	var msg []byte
	for b.Loop() {
		at = at.Add(time.Minute)
		if samples, err = m.AppendSamples(context.Background(), samples[:0]); err != nil {
			b.Fatal(err)
		}
		if msg, err = enc.Encode(msg[:0], catalog.Moment{At: at}, samples); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(msg)), "bytes")
}

// BenchmarkFrame is the building of one frame, without the TPM's part.
func BenchmarkFrame(b *testing.B) {
	chain := evidence.NewChain(evidence.PrinterID{7}, owner, 1, 1)
	ch := &channel{quoter: quoter{1}, chain: chain, spool: spool.InMemory(16)}
	for b.Loop() {
		ch.spool.Put(make([]byte, 40), time.Now())
		if err := ch.build(context.Background(), make([]byte, 24)); err != nil {
			b.Fatal(err)
		}
	}
}
