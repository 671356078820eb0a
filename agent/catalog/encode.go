package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// MaxMessage bounds an encoded message in bytes: every item at its longest is less,
// and a frame of evidence has room for one such message whatever else is in it.
const MaxMessage = 160

// ErrMessage reports bytes that are not a message of this catalogue.
var ErrMessage = errors.New("not a message of the catalogue")

// Sample is one value of one item. Only [Of] makes one, so that nothing that is
// not in the catalogue can be put into it; the zero Sample is refused.
type Sample struct {
	pos   uint8 // place in list, plus one
	value int64
}

// Of makes a sample of item id with a value in the item's unit. It reports false
// if the catalogue has no such item, or if a code is out of its range.
func Of(id ID, value int64) (Sample, bool) {
	i := index(id)
	if i < 0 {
		return Sample{}, false
	}
	it := &list[i]
	if it.Unit == UnitCode && (value < it.Lo || value > it.Hi) {
		return Sample{}, false
	}
	return Sample{pos: uint8(i + 1), value: min(max(value, it.Lo), it.Hi)}, true
}

// ID is the number of the item sampled, 0 for the zero Sample.
func (s Sample) ID() ID {
	if s.pos == 0 {
		return 0
	}
	return list[s.pos-1].ID
}

// Value is the value as it was measured, within the item's range.
func (s Sample) Value() int64 { return s.value }

// Encoder makes the messages of one recipient. It is not safe for use by several
// goroutines.
type Encoder struct {
	profile Profile
	granted []bool      // by place in list
	last    []time.Time // by place in list
	enc     cbor.EncMode
}

// NewEncoder makes an encoder for the items that a grant with profile p names.
// An item that the catalogue does not have, or does not allow under p, is an
// error: such a grant must not be used.
func NewEncoder(p Profile, items []ID) (*Encoder, error) {
	if p.MinPeriod() == 0 {
		return nil, fmt.Errorf("profile %d is not one profile", p)
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, fmt.Errorf("set up the encoder: %w", err)
	}
	e := &Encoder{profile: p, granted: make([]bool, len(list)), last: make([]time.Time, len(list)), enc: enc}
	for _, id := range items {
		i := index(id)
		if i < 0 {
			return nil, fmt.Errorf("item %d is not in the catalogue", id)
		}
		if list[i].Profiles&p == 0 {
			return nil, fmt.Errorf("item %s may not be granted under profile %s", list[i].Name, p)
		}
		e.granted[i] = true
	}
	return e, nil
}

// Encode appends one message of the moment at to dst: of the samples, those that
// are granted, not withheld while a job is loaded, and not sooner than their
// period after the message before. The last sample of an item counts. A message
// may be empty but for its time.
//
// at is the nominal moment on the grid, so that a late timer does not make an
// item miss its period.
func (e *Encoder) Encode(dst []byte, at time.Time, loaded bool, samples []Sample) ([]byte, error) {
	m := map[uint16]int64{0: max(0, at.Unix())}
	for _, s := range samples {
		if s.pos == 0 {
			return dst, errors.New("a sample of no item")
		}
		i := int(s.pos - 1)
		it := &list[i]
		if !e.granted[i] || it.IdleOnly && loaded || !e.due(i, at) {
			continue
		}
		m[uint16(it.ID)] = step(s.value, it.Resolution)
	}
	for id := range m {
		if i := index(ID(id)); i >= 0 {
			e.last[i] = at
		}
	}
	b, err := e.enc.Marshal(m)
	if err != nil {
		return dst, fmt.Errorf("encode a message: %w", err)
	}
	return append(dst, b...), nil
}

func (e *Encoder) due(i int, at time.Time) bool {
	it := &list[i]
	if it.Urgent || e.last[i].IsZero() {
		return true
	}
	return at.Sub(e.last[i]) >= it.PeriodFor(e.profile)
}

// step rounds v to the nearest multiple of r and returns how many r that is.
func step(v, r int64) int64 {
	if v < 0 {
		return -((-v + r/2) / r)
	}
	return (v + r/2) / r
}

// Value is one value of a decoded message.
type Value struct {
	Item  Item
	Value int64 // in the item's unit, a multiple of its resolution
}

// Message is what one encoded message says.
type Message struct {
	At     time.Time // in whole seconds
	Values []Value   // by number
}

// Get returns the value of item id.
func (m *Message) Get(id ID) (int64, bool) {
	for _, v := range m.Values {
		if v.Item.ID == id {
			return v.Value, true
		}
	}
	return 0, false
}

var decoder = strict()

func strict() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxMapPairs: 64, MaxNestedLevels: 4, MaxArrayElements: 16,
	}.DecMode()
	if err != nil {
		panic("catalog: decoder options: " + err.Error())
	}
	return m
}

// Decode reads one message. Everything that [Encoder.Encode] does not make is
// [ErrMessage]: items that the catalogue does not have, values out of range,
// other types, forms that are not canonical, bytes left over.
func Decode(b []byte) (Message, error) {
	if len(b) > MaxMessage {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	var m map[uint16]int64
	if err := decoder.Unmarshal(b, &m); err != nil {
		return Message{}, fmt.Errorf("%w: malformed", ErrMessage)
	}
	at, ok := m[0]
	if !ok || at < 0 || at > maxTime {
		return Message{}, fmt.Errorf("%w: no time", ErrMessage)
	}
	out := Message{At: time.Unix(at, 0).UTC()}
	for i := range list {
		it := &list[i]
		n, ok := m[uint16(it.ID)]
		if !ok {
			continue
		}
		if n < step(it.Lo, it.Resolution) || n > step(it.Hi, it.Resolution) {
			return Message{}, fmt.Errorf("%w: item %s is out of range", ErrMessage, it.Name)
		}
		out.Values = append(out.Values, Value{*it, n * it.Resolution})
	}
	if len(out.Values) != len(m)-1 {
		return Message{}, fmt.Errorf("%w: an item is not in the catalogue", ErrMessage)
	}
	return out, canonical(b, m)
}

// maxTime is the last second of the year 9999.
const maxTime = 253402300799

func canonical(b []byte, m map[uint16]int64) error {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return fmt.Errorf("set up the encoder: %w", err)
	}
	again, err := enc.Marshal(m)
	if err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not canonical", ErrMessage)
	}
	return nil
}
