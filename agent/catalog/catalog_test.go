package catalog

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

var t0 = time.Unix(1_800_000_000, 0)

func TestListIsWellFormed(t *testing.T) {
	names := map[string]bool{}
	var last ID
	for _, it := range Items() {
		if it.ID <= last {
			t.Errorf("item %d does not follow %d", it.ID, last)
		}
		last = it.ID
		if names[it.Name] || it.Name == "" || it.Purpose == "" {
			t.Errorf("item %d: name %q is taken or empty, or it has no purpose", it.ID, it.Name)
		}
		names[it.Name] = true
		if it.Resolution < 1 || it.Lo >= it.Hi || it.Period < time.Minute || it.Profiles == 0 {
			t.Errorf("item %s: resolution %d, range %d to %d, period %v, profiles %d", it.Name, it.Resolution, it.Lo, it.Hi, it.Period, it.Profiles)
		}
		if it.Unit == UnitMilliCelsius && it.Resolution < 1000 {
			t.Errorf("item %s: a temperature finer than 1 °C", it.Name)
		}
		if got, ok := ByName(it.Name); !ok || got.ID != it.ID {
			t.Errorf("%s is not found by its name", it.Name)
		}
	}
}

func TestTablePrintsEveryItem(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(Table()), "\n")
	if len(lines) != len(Items())+1 {
		t.Fatalf("%d lines for %d items", len(lines), len(Items()))
	}
	for i, it := range Items() {
		if f := strings.Fields(lines[i+1]); f[1] != it.Name {
			t.Errorf("line %d names %s, want %s", i+1, f[1], it.Name)
		}
	}
}

// holds lists the kinds of data that a type can carry.
func holds(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Struct:
		var s []string
		for i := range t.NumField() {
			s = append(s, holds(t.Field(i).Type)...)
		}
		return s
	case reflect.Bool, reflect.Int64, reflect.Uint8:
		return nil
	}
	return []string{t.Kind().String()}
}

// T-P1: what goes into the encoder can carry neither text nor bytes nor floats.
func TestSampleCarriesNumbersOnly(t *testing.T) {
	if k := holds(reflect.TypeFor[Sample]()); len(k) != 0 {
		t.Errorf("a Sample can carry %v", k)
	}
	// Control: the check sees a type that could carry a file name.
	type bad struct {
		Sample
		Name string
	}
	if k := holds(reflect.TypeFor[bad]()); len(k) != 1 {
		t.Errorf("control: found %v in a type with a string", k)
	}
	if _, ok := Of(9999, 1); ok {
		t.Error("a sample of an item that does not exist")
	}
	if _, ok := Of(State, 4000); ok {
		t.Error("a state code of 4000")
	}
	e, err := NewEncoder(Vendor, Granted(Vendor))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Encode(nil, Moment{At: t0}, []Sample{{}}); err == nil {
		t.Error("the zero Sample was encoded")
	}
}

// outside lists the items of a raw message that may not be in it.
func outside(b []byte, granted []ID, loaded bool) []uint16 {
	var m map[uint16]int64
	if err := cbor.Unmarshal(b, &m); err != nil {
		return []uint16{0xffff}
	}
	ok := map[ID]bool{}
	for _, id := range granted {
		it, _ := Lookup(id)
		ok[id] = !loaded || !it.IdleOnly
	}
	var bad []uint16
	for id := range m {
		if id != 0 && !ok[ID(id)] {
			bad = append(bad, id)
		}
	}
	return bad
}

// T-P6: fields seen in messages ⊆ what the catalogue has and the grant names.
func TestEncodedIsWithinGrant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]Profile{Vendor, Owner, Service}).Draw(t, "profile")
		granted := rapid.SliceOfDistinct(rapid.SampledFrom(Granted(p)), func(id ID) ID { return id }).Draw(t, "granted")
		loaded := rapid.Bool().Draw(t, "loaded")
		e, err := NewEncoder(p, granted)
		if err != nil {
			t.Fatal(err)
		}
		var in []Sample
		for _, it := range list {
			s, ok := Of(it.ID, rapid.Int64Range(it.Lo, it.Hi).Draw(t, it.Name))
			if !ok {
				t.Fatalf("%s: no sample", it.Name)
			}
			in = append(in, s)
		}
		b, err := e.Encode(nil, Moment{At: t0, Loaded: loaded}, in)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > MaxMessage {
			t.Fatalf("%d bytes", len(b))
		}
		if bad := outside(b, granted, loaded); len(bad) > 0 {
			t.Fatalf("items %v left without a grant", bad)
		}
		m, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range m.Values {
			s := in[index(v.Item.ID)]
			if v.Item.Ratio != 0 {
				if below := v.Value * 100 / v.Item.Ratio; s.value > v.Value || s.value > 0 && v.Value > v.Item.Resolution && s.value <= below-1 {
					t.Fatalf("%s: %d became %d", v.Item.Name, s.value, v.Value)
				}
				continue
			}
			if p == Vendor && v.Item.ID == State || p != Owner && v.Item.ID == Progress { // see TestCover
				continue
			}
			if d := v.Value - s.value; v.Value%v.Item.Resolution != 0 || 2*max(d, -d) > v.Item.Resolution {
				t.Fatalf("%s: %d became %d", v.Item.Name, s.value, v.Value)
			}
		}
	})
	// Control: a message with the layer number in it is noticed by the check and
	// refused by the decoder.
	b, err := cbor.Marshal(map[uint16]int64{0: t0.Unix(), uint16(State): 4, 999: 17})
	if err != nil {
		t.Fatal(err)
	}
	if bad := outside(b, Granted(Owner), true); len(bad) != 1 {
		t.Errorf("control: the check found %v", bad)
	}
	if _, err := Decode(b); !errors.Is(err, ErrMessage) {
		t.Errorf("control: decoded with %v", err)
	}
	// Control: so is an item withheld during a job.
	b, _ = cbor.Marshal(map[uint16]int64{0: t0.Unix(), uint16(HostMemory): 4})
	if bad := outside(b, Granted(Owner), true); len(bad) != 1 {
		t.Errorf("control: memory load during a job was not noticed")
	}
}

func TestLongestMessage(t *testing.T) {
	for _, p := range []Profile{Vendor, Owner, Service} {
		e, err := NewEncoder(p, Granted(p))
		if err != nil {
			t.Fatal(err)
		}
		var in []Sample
		for _, it := range list {
			v := it.Hi
			if -it.Lo > it.Hi {
				v = it.Lo
			}
			s, ok := Of(it.ID, v)
			if !ok {
				t.Fatalf("%s: no sample", it.Name)
			}
			in = append(in, s)
		}
		b, err := e.Encode(nil, Moment{At: time.Unix(maxTime, 0)}, in)
		if err != nil || len(b) > MaxMessage {
			t.Errorf("%v: %d bytes, %v", p, len(b), err)
		}
	}
}

func TestEncoderRefusesGrantsBeyondTheProfile(t *testing.T) {
	for _, c := range []struct {
		p     Profile
		items []ID
	}{
		{Vendor, []ID{LinkResends}},
		{Vendor, []ID{999}},
		{Vendor | Owner, []ID{State}},
		{0, []ID{State}},
	} {
		if _, err := NewEncoder(c.p, c.items); err == nil {
			t.Errorf("an encoder for profile %d and items %v", c.p, c.items)
		}
	}
	if _, err := NewEncoder(Owner, []ID{LinkResends}); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestPeriodIsEnforced(t *testing.T) {
	bed, _ := Of(BedTemp, 60_400)
	fault, _ := Of(Fault, 2)
	for _, c := range []struct {
		p     Profile
		after time.Duration
		bed   bool
	}{
		{Vendor, 59 * time.Second, false},
		{Vendor, 60 * time.Second, true},
		{Owner, 999 * time.Millisecond, false},
		{Owner, time.Second, true},
	} {
		e, err := NewEncoder(c.p, []ID{BedTemp, Fault})
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range []time.Time{t0, t0.Add(c.after)} {
			b, err := e.Encode(nil, Moment{At: at}, []Sample{bed, fault})
			if err != nil {
				t.Fatal(err)
			}
			m, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := m.Get(BedTemp); ok != (i == 0 || c.bed) || ok && v != 60_000 {
				t.Errorf("%v after %v: bed %v %v", c.p, c.after, v, ok)
			}
			if _, ok := m.Get(Fault); !ok {
				t.Errorf("%v after %v: the fault had to wait", c.p, c.after)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	e, _ := NewEncoder(Vendor, Granted(Vendor))
	s, _ := Of(BedTemp, 61_000)
	good, err := e.Encode(nil, Moment{At: t0}, []Sample{s})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(good); err != nil {
		t.Fatalf("control: %v", err)
	}
	enc := func(v any) []byte {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"empty":         nil,
		"bytes left":    append(bytes.Clone(good), 0),
		"cut":           good[:len(good)-1],
		"no time":       enc(map[uint16]int64{1: 2}),
		"time is text":  enc(map[uint16]any{0: "now"}),
		"out of range":  enc(map[uint16]int64{0: 1, uint16(BedTemp): 501}),
		"a float":       enc(map[uint16]any{0: 1, uint16(BedTemp): 60.25}),
		"a byte string": enc(map[uint16]any{0: 1, uint16(BedTemp): []byte("x")}),
		"twice":         {0xa2, 0, 1, 0, 1},
		"unsorted":      {0xa2, 10, 1, 0, 1},
		"long form":     {0xa1, 0, 0x18, 1},
		"indefinite":    {0xbf, 0, 1, 0xff},
		"too long":      make([]byte, MaxMessage+1),
		"text key":      enc(map[string]int64{"0": 1}),
	} {
		if m, err := Decode(b); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestDigestHoldsGrantedItemsOnly(t *testing.T) {
	ids := []ID{State, BedTemp}
	before, err := Digest(ids)
	if err != nil {
		t.Fatal(err)
	}
	defer func(old []Item) { list = old }(list)
	list = append([]Item(nil), list...)
	list[index(HostCPU)].Resolution = 1
	if d, _ := Digest(ids); d != before {
		t.Error("a change of another item changed the digest")
	}
	list[index(BedTemp)].Resolution = 100
	if d, _ := Digest(ids); d == before {
		t.Error("a finer bed temperature left the digest as it was")
	}
	if _, err := Digest([]ID{999}); err == nil {
		t.Error("a digest over an item that does not exist")
	}
}

func FuzzDecode(f *testing.F) {
	e, _ := NewEncoder(Owner, Granted(Owner))
	var in []Sample
	for _, it := range list {
		s, _ := Of(it.ID, it.Hi)
		in = append(in, s)
	}
	b, _ := e.Encode(nil, Moment{At: t0}, in)
	f.Add(b)
	f.Add([]byte{0xa1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		var in []Sample
		var ids []ID
		for _, v := range m.Values {
			s, ok := Of(v.Item.ID, v.Value)
			if !ok {
				t.Fatalf("decoded %s=%d, which no sample can be", v.Item.Name, v.Value)
			}
			in, ids = append(in, s), append(ids, v.Item.ID)
		}
		e, err := NewEncoder(Owner, ids)
		if err != nil {
			t.Fatal(err)
		}
		again, err := e.Encode(nil, Moment{At: m.At}, in)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x (%v)", b, again, err)
		}
	})
}
