package verify

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

func TestReplayForkAndPrev(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	first := p.batch("one")
	accept(t, v, p.id, first)
	refuses(t, v, p.id, first, Replayed)
	h2, m2 := p.header("two")
	accept(t, v, p.id, p.wire(h2, m2))
	refuses(t, v, p.id, first, Replayed)
	// The same number again with other content, in the printer's own hand.
	fork := h2
	fork.Root = evidence.Root([][]byte{[]byte("2wo")})
	refuses(t, v, p.id, p.wire(fork, [][]byte{[]byte("2wo")}), Forked)
	// The next number, but behind another batch than the one that was seen.
	h3, m3 := p.header("three")
	other := h3
	other.Prev[0] ^= 1
	refuses(t, v, p.id, p.wire(other, m3), PrevMismatch)
	accept(t, v, p.id, p.wire(h3, m3))
	// Number 1 of a chain follows nothing.
	q := newSoft(t)
	v, _ = newVerifier(t, q)
	h1, m1 := q.header("one")
	bad := h1
	bad.Prev[0] = 1
	refuses(t, v, q.id, q.wire(bad, m1), PrevMismatch)
	accept(t, v, q.id, q.wire(h1, m1))
}

func TestMessageNumbers(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	accept(t, v, p.id, p.batch("one", "two"))
	h, m := p.header("three")
	bad := h
	bad.First++ // a message lost without saying so
	refuses(t, v, p.id, p.wire(bad, m), NumberMismatch)
	bad = h
	bad.Dropped++ // a loss that the numbers do not show
	refuses(t, v, p.id, p.wire(bad, m), NumberMismatch)
	told := h
	told.First, told.Dropped = h.First+7, 7
	got := accept(t, v, p.id, p.wire(told, m))
	if got.Header.Dropped != 7 {
		t.Errorf("%d dropped, want 7", got.Header.Dropped)
	}
	// Across a gap numbers may only rise.
	p.chain, _ = evidence.Resume(mustBytes(t, told))
	p.header("lost")
	far, fm := p.header("far")
	bad = far
	bad.First = 0
	refuses(t, v, p.id, p.wire(bad, fm), NumberMismatch)
	bad = far
	bad.Dropped = far.First + 1
	refuses(t, v, p.id, p.wire(bad, fm), NumberMismatch)
	accept(t, v, p.id, p.wire(far, fm))
}

func mustBytes(t *testing.T, h evidence.Header) []byte {
	t.Helper()
	b, err := h.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGaps drops, delays and reorders.
func TestGaps(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	var wires [][]byte
	for range 10 {
		wires = append(wires, p.batch("x"))
	}
	if got := accept(t, v, p.id, wires[2]); !cmp.Equal(got.Missing, []Range{{1, 2}}) || !got.NewChain {
		t.Errorf("first came batch 3: %+v", got)
	}
	if got := accept(t, v, p.id, wires[6]); !cmp.Equal(got.Missing, []Range{{4, 6}}) {
		t.Errorf("batch 7 after 3: missing %v", got.Missing)
	}
	for _, late := range []int{4, 0, 5, 3, 1} {
		if got := accept(t, v, p.id, wires[late]); !got.Late || got.Missing != nil {
			t.Errorf("batch %d came late: %+v", late+1, got)
		}
		refuses(t, v, p.id, wires[late], Replayed)
	}
	for i := range 7 {
		refuses(t, v, p.id, wires[i], Replayed)
	}
	if open := chainOf(t, v, p.id).Missing; len(open) != 0 {
		t.Errorf("%v still missing after all came", open)
	}
	if got := accept(t, v, p.id, wires[7]); got.Missing != nil || got.Late {
		t.Errorf("batch 8 after all before it: %+v", got)
	}
}

// TestLateForks: what fills a gap must be what its neighbours say.
func TestLateForks(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	accept(t, v, p.id, p.batch("one"))
	h2, m2 := p.header("two")
	h3, m3 := p.header("three")
	w4 := p.batch("four")
	accept(t, v, p.id, w4)
	fork := h3
	fork.Root = evidence.Root([][]byte{[]byte("3")})
	refuses(t, v, p.id, p.wire(fork, [][]byte{[]byte("3")}), Forked)
	fork = h2
	fork.Prev[0] ^= 1
	refuses(t, v, p.id, p.wire(fork, m2), PrevMismatch)
	accept(t, v, p.id, p.wire(h2, m2))
	accept(t, v, p.id, p.wire(h3, m3))
}

// TestLateFirst: the first of a chain follows nothing, however late it comes.
func TestLateFirst(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	h1, m1 := p.header("one")
	p.header("two")
	accept(t, v, p.id, p.batch("three"))
	bad := h1
	bad.Prev[0] = 1
	refuses(t, v, p.id, p.wire(bad, m1), PrevMismatch)
	accept(t, v, p.id, p.wire(h1, m1))
}

func TestBoots(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	old := p.batch("one")
	accept(t, v, p.id, old)
	unseen := p.batch("held back")

	// The TPM was reset, and the printer says it was not.
	p.clock.ResetCount++
	refuses(t, v, p.id, p.batch("two"), ResetMismatch)
	p.clock.ResetCount--

	// The printer says it booted, and the TPM was not reset.
	p.chain = evidence.NewChain(p.id, us, 4, 500)
	refuses(t, v, p.id, p.batch("one"), ResetMismatch)

	p.clock = tpm2.TPMSClockInfo{Clock: 100, ResetCount: 6}
	p.chain = evidence.NewChain(p.id, us, 4, 90)
	if got := accept(t, v, p.id, p.batch("one")); !got.NewChain || got.Missing != nil {
		t.Errorf("first batch of a boot: %+v", got)
	}
	refuses(t, v, p.id, old, BootBackwards)
	refuses(t, v, p.id, unseen, BootBackwards)
}

func TestAgentRestarts(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	accept(t, v, p.id, p.batch("one"))
	held := p.batch("two")
	p.measure(2)
	p.clock.Clock = 2000
	p.chain = evidence.NewChain(p.id, us, 3, 1900)
	wire := p.batch("one")
	if got := accept(t, v, p.id, wire); !got.NewChain || got.Release != 2 {
		t.Errorf("first batch after an update: %+v", got)
	}
	refuses(t, v, p.id, held, ChainBackwards)
	refuses(t, v, p.id, wire, Replayed)
	// A chain that claims to have begun while the one before still spoke.
	p.chain = evidence.NewChain(p.id, us, 3, 1950)
	refuses(t, v, p.id, p.batch("one"), ClockBackwards)
	// The TPM's clock falls within a chain.
	p.clock.Clock = 3000
	p.chain = evidence.NewChain(p.id, us, 3, 2500)
	accept(t, v, p.id, p.batch("one"))
	h, m := p.header("two")
	p.clock.Clock = 2600
	refuses(t, v, p.id, p.wire(h, m), ClockBackwards)
	p.clock.Clock = 3100
	accept(t, v, p.id, p.wire(h, m))
}
