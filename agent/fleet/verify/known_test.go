package verify

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platen/agent/evidence"
)

// cellar is a Cold in memory, which fails when it is told to.
type cellar struct {
	b           []byte
	read, wrote int
	fail        error
}

func (c *cellar) ReadAt(p []byte, off int64) (int, error) {
	if c.fail != nil || int(off) > len(c.b) {
		return 0, errors.Join(c.fail, io.EOF)
	}
	c.read++
	return copy(p, c.b[off:]), nil
}

func (c *cellar) WriteAt(p []byte, off int64) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	c.wrote++
	if need := int(off) + len(p) - len(c.b); need > 0 {
		c.b = append(c.b, make([]byte, need)...)
	}
	return copy(c.b[off:], p), nil
}

// TestPack: what is packed of a printer is all that there is of it, whatever fields a chain has.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		p := newSoft(t)
		v, _ := newVerifier(t, p)
		want, err := v.known.get(p.id)
		if err != nil {
			t.Fatal(err)
		}
		fill(reflect.ValueOf(&want.chain).Elem(), r)
		want.turn, want.newer = r.Uint64(), false
		b := pack(nil, want)
		got, err := unpack(append(b[:len(b):len(b)], make([]byte, 100)...))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(printer{}, chain{}, ranWith{})); d != "" {
			t.Fatal(d)
		}
		for _, n := range []int{0, 40, len(b) / 2, len(b) - 1} {
			if _, err := unpack(b[:n]); err == nil {
				t.Errorf("the first %d of %d bytes were taken", n, len(b))
			}
		}
	}
}

// fill gives every field of a value some other value than zero.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(maxRecent), maxRecent))
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(1 + r.Int64N(1<<62))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + r.Uint64N(1<<v.Type().Bits()-1))
	default:
		panic("a field of a kind that pack does not know: " + v.Type().String())
	}
}

// TestCold: a verifier that has all but a few printers in a file judges as one that has all of
// them in memory, whatever it is sent in which order.
func TestCold(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // nothing in it is needed
	var all []*soft
	for range 9 {
		all = append(all, newSoft(t))
	}
	warm, _ := newVerifier(t)
	cold, _ := newVerifier(t)
	warm.known, cold.known = newKnown(nil, 0), newKnown(f, 2)
	for _, p := range all {
		if err := errors.Join(warm.Enrol(p.record()), cold.Enrol(p.record())); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(3, 2))
	outcomes := map[Reason]int{}
	for i := range 600 {
		p := all[r.IntN(len(all))]
		wire := p.batch("said")
		switch r.IntN(5) {
		case 0:
			continue // lost
		case 1:
			wire[len(wire)/2] ^= 1
		}
		a, errA := warm.Batch(p.id, wire)
		b, errB := cold.Batch(p.id, wire)
		outcomes[ReasonOf(errA)]++
		if errA == nil && errB == nil && r.IntN(4) == 0 {
			errA, errB = warm.Undo(a), cold.Undo(b)
		}
		if ReasonOf(errA) != ReasonOf(errB) || (errA == nil) != (errB == nil) || !cmp.Equal(a.Missing, b.Missing) {
			t.Fatalf("batch %d: %v and %v, missing %v and %v", i, errA, errB, a.Missing, b.Missing)
		}
	}
	for _, p := range all {
		a, errA := warm.PrinterState(p.id)
		b, errB := cold.PrinterState(p.id)
		if errA != nil || errB != nil || string(a) != string(b) || warm.Spoke(p.id) != cold.Spoke(p.id) {
			t.Errorf("states of %v are not the same: %v, %v", p.id, errA, errB)
		}
	}
	if len(outcomes) < 2 || outcomes[""] < 100 || cold.known.end == 0 || cold.known.hot.Len() != 2 {
		t.Errorf("control: %v, %d bytes of the file in use, %d printers in memory", outcomes, cold.known.end, cold.known.hot.Len())
	}
}

// TestColdFails: what cannot be read is not judged, and is when it can be.
func TestColdFails(t *testing.T) {
	one, two := newSoft(t), newSoft(t)
	v, _ := newVerifier(t, one, two)
	store := v.known.cold.(*cellar)
	wire := one.batch("said")
	store.fail = errors.New("no disk")
	if _, err := v.Batch(one.id, wire); !errors.Is(err, store.fail) || ReasonOf(err) != "" {
		t.Errorf("a cellar that fails: %v", err)
	}
	if _, ok := v.Record(one.id); ok || !v.Known(one.id) {
		t.Error("a printer that cannot be read has a record, or is not enrolled")
	}
	store.fail = nil
	accept(t, v, one.id, wire)
	refuses(t, v, one.id, wire, Replayed)
	if store.read == 0 || store.wrote == 0 {
		t.Errorf("control: %d reads, %d writes", store.read, store.wrote)
	}
	store.b = make([]byte, len(store.b)) // and another's bytes are not a printer's
	if _, err := v.Batch(two.id, two.batch("said")); err == nil || ReasonOf(err) != "" {
		t.Errorf("an empty cellar: %v", err)
	}
	v.Forget(two.id)
	if _, err := v.Batch(two.id, wire); ReasonOf(err) != PrinterSwapped {
		t.Error(err)
	}
	if _, err := v.Batch(one.id, one.batch("more")); err != nil {
		t.Error(err)
	}
	if _, err := v.PrinterState(evidence.PrinterID{9}); ReasonOf(err) != UnknownPrinter {
		t.Error(err)
	}
}
