package evidence

import (
	"errors"
	"math"
	"testing"
)

// TestHeaderLimits moves one field of a good header over its limit, outward and,
// encoded without the check, inward.
func TestHeaderLimits(t *testing.T) {
	good := Header{V: Version, Seq: 1, Nonce: []byte{}}
	if raw, err := good.Bytes(); err != nil {
		t.Fatal(err)
	} else if _, err := ParseHeader(raw); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, f := range map[string]func(*Header){
		"version":       func(h *Header) { h.V++ },
		"number zero":   func(h *Header) { h.Seq = 0 },
		"count":         func(h *Header) { h.Count = MaxMsgs + 1 },
		"nonce":         func(h *Header) { h.Nonce = make([]byte, MaxNonce+1) },
		"numbers wrap":  func(h *Header) { h.First, h.Count = math.MaxUint64, 1 },
		"null nonce":    func(h *Header) { h.Nonce = nil },
		"longer header": func(h *Header) { h.Nonce = make([]byte, maxTPM) },
	} {
		bad := good
		f(&bad)
		if _, err := bad.Bytes(); !errors.Is(err, ErrLimit) && bad.Nonce != nil {
			t.Errorf("%s: encoded, %v", name, err)
		}
		raw, err := marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseHeader(raw); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: decoded, %v", name, err)
		}
	}
	empty := good
	empty.Nonce = nil
	a, errA := empty.Bytes()
	b, errB := good.Bytes()
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Error("no nonce has two encodings")
	}
}

func TestChainLimits(t *testing.T) {
	c := NewChain(PrinterID{1}, RecipientID{2}, 1, 1)
	h, err := c.Next([][]byte{{1}}, nil, math.MaxUint64-1)
	if err != nil {
		t.Fatalf("control: %v", err)
	}
	if err := c.Commit(h); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(nil, nil, 1); !errors.Is(err, ErrLimit) {
		t.Errorf("numbers wrapped: %v", err)
	}
	if _, err := Resume([]byte("not a header")); !errors.Is(err, ErrEncoding) {
		t.Errorf("resumed from garbage: %v", err)
	}
}

// TestBatchLimits does to batches what TestHeaderLimits does to headers.
func TestBatchLimits(t *testing.T) {
	good, _ := sampleBatch(t, NewChain(PrinterID{1}, RecipientID{2}, 1, 1), []byte("one"))
	many := make([][]byte, MaxMsgs+1)
	for i := range many {
		many[i] = []byte{1}
	}
	for name, f := range map[string]func(*Batch){
		"no header":            func(b *Batch) { b.Header = nil },
		"long header":          func(b *Batch) { b.Header = make([]byte, maxTPM+1) },
		"no quote":             func(b *Batch) { b.Quote.Attest = nil },
		"long quote":           func(b *Batch) { b.Quote.Attest = make([]byte, maxTPM+1) },
		"no signature":         func(b *Batch) { b.Quote.Sig = nil },
		"long signature":       func(b *Batch) { b.Quote.Sig = make([]byte, maxTPM+1) },
		"long log":             func(b *Batch) { b.Log.Digests = make([][32]byte, MaxLog+1) },
		"many messages":        func(b *Batch) { b.Msgs = many },
		"empty message":        func(b *Batch) { b.Msgs = [][]byte{{}} },
		"long message":         func(b *Batch) { b.Msgs = [][]byte{make([]byte, MaxMsg+1)} },
		"null messages":        func(b *Batch) { b.Msgs = nil },
		"null log":             func(b *Batch) { b.Log.Digests = nil },
		"null settings":        func(b *Batch) { b.Log.Settings.Base = nil },
		"short settings":       func(b *Batch) { b.Log.Settings.Base = make([]byte, 31) },
		"zero settings":        func(b *Batch) { b.Log.Settings.Base = make([]byte, 32) }, // has an encoding of its own
		"header is not one":    func(b *Batch) { b.Header = []byte{0x80} },
		"header of version 99": func(b *Batch) { b.Header = headerBytes(t, Header{V: 99, Seq: 1, Nonce: []byte{}}) },
	} {
		bad := good
		f(&bad)
		body, err := marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := frame(magicBatch, body, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(wire); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: decoded, %v", name, err)
		}
	}
	for name, f := range map[string]func(*Batch){
		"long log":      func(b *Batch) { b.Log.Digests = make([][32]byte, MaxLog+1) },
		"many messages": func(b *Batch) { b.Msgs = many },
		"no quote":      func(b *Batch) { b.Quote.Attest = nil },
	} {
		bad := good
		f(&bad)
		if _, err := Encode(bad, MaxWire); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: encoded, %v", name, err)
		}
	}
}

func headerBytes(t *testing.T, h Header) []byte {
	t.Helper()
	raw, err := marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
