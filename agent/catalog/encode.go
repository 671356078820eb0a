package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// MaxMessage bounds an encoded message in bytes: a frame of evidence has room for one
// such message whatever else is in it. What does not fit comes with the next one.
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

// Cover is what a recipient under profile vendor is shown of a job in place of the
// job itself; the zero Cover hides nothing.
type Cover struct {
	Job     bool  // a job runs, or its bucket has not ended: it is printing, whatever it does
	Heat    bool  // what the job heated is hidden
	Quarter uint8 // share of the bucket that has passed: 0, 25, 50, 75 or 100
}

// Moment is when a message is made, and what of it may be seen.
type Moment struct {
	At     time.Time // nominal, on the grid, so that a late timer does not make an item miss its period
	Loaded bool      // a job is, or may be, loaded
	Cover  Cover
}

// Codes of items that the encoder itself has to know.
const (
	StatePrinting = 4
	StatePaused   = 5
	StateLoading  = 3
	StateFault    = 7
	HeatOff       = 0
	HeatInOrder   = 1
	HeatOutOfBand = 2
)

// Encode appends one message of the moment m to dst: of the samples, those that are
// granted, that the moment does not hide, and that come not sooner than their period
// after the message before. The last sample of an item counts. If not all of them fit
// into [MaxMessage], those that were not sent for longest do, urgent ones first. A
// message may be empty but for its time.
func (e *Encoder) Encode(dst []byte, m Moment, samples []Sample) ([]byte, error) {
	values := make([]int64, len(list))
	var due []int
	for _, s := range samples {
		if s.pos == 0 {
			return dst, errors.New("a sample of no item")
		}
		i := int(s.pos - 1)
		it := &list[i]
		v, ok := e.seen(it, s.value, m)
		if !ok || !e.granted[i] || !e.due(i, m.At) {
			continue
		}
		if !slices.Contains(due, i) {
			due = append(due, i)
		}
		values[i] = it.wire(v)
	}
	if i := index(Progress); m.Cover.Job && e.profile != Owner && e.granted[i] && e.due(i, m.At) {
		due, values[i] = append(due, i), list[i].wire(int64(m.Cover.Quarter))
	}
	slices.SortStableFunc(due, e.before)
	sec := max(0, m.At.Unix())
	out := map[uint16]int64{0: sec}
	size := 1 + length(sec)
	for _, i := range due {
		n := length(int64(list[i].ID)) + length(values[i])
		if length(int64(len(out)+1))+size+n > MaxMessage {
			continue
		}
		size += n
		out[uint16(list[i].ID)] = values[i]
		e.last[i] = m.At
	}
	b, err := e.enc.Marshal(out)
	if err != nil {
		return dst, fmt.Errorf("encode a message: %w", err)
	}
	return append(dst, b...), nil
}

// seen is the value of an item as the recipient may see it at m, if it may.
func (e *Encoder) seen(it *Item, v int64, m Moment) (int64, bool) {
	if !it.MayTell(e.profile, m) {
		return 0, false
	}
	if it.ID == Progress && e.profile != Owner {
		return 0, false // the share of the cover takes its place, whatever the machine does
	}
	if e.profile != Vendor {
		return v, true
	}
	switch {
	case it.Covered:
		return v, !m.Loaded && !m.Cover.Job && !m.Cover.Heat
	case it.ID == State && v != StateFault && (m.Cover.Job || v == StateLoading || v == StatePaused):
		return StatePrinting, true
	case it.ID == HeatInBand && m.Cover.Job && v == HeatOff:
		return HeatInOrder, true
	}
	return v, true
}

// before orders the items of a message: urgent ones, then those of a record, which does not
// come again, then those that were not sent for longest, then by number.
func (e *Encoder) before(a, b int) int {
	return cmp.Or(first(list[a].Urgent, list[b].Urgent), first(list[a].once(), list[b].once()), e.last[a].Compare(e.last[b]), cmp.Compare(a, b))
}

// first orders what is before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func (e *Encoder) due(i int, at time.Time) bool {
	it := &list[i]
	if it.Urgent || e.last[i].IsZero() {
		return true
	}
	return at.Sub(e.last[i]) >= it.PeriodFor(e.profile)
}

// length is how many bytes the canonical form of an integer has, or the head of a map
// of so many pairs (RFC 8949, 3.1).
func length(v int64) int {
	if v < 0 {
		v = -1 - v
	}
	switch {
	case v < 24:
		return 1
	case v < 1<<8:
		return 2
	case v < 1<<16:
		return 3
	case v < 1<<32:
		return 5
	}
	return 9
}

// wire is how v, which is in the item's range, is written: how many of the resolution it
// is, rounded to the nearest, or the number of its bucket.
func (it *Item) wire(v int64) int64 {
	if it.Ratio == 0 {
		return step(v, it.Resolution)
	}
	if v <= 0 {
		return 0
	}
	k := int64(1)
	for edge := it.Resolution; edge < v; k++ {
		edge = edge * it.Ratio / 100
	}
	return k
}

// value is what the number n on the wire says.
func (it *Item) value(n int64) int64 {
	if it.Ratio == 0 {
		return n * it.Resolution
	}
	if n <= 0 {
		return 0
	}
	edge := it.Resolution
	for range n - 1 {
		edge = edge * it.Ratio / 100
	}
	return edge
}

// Bucket is the end of the bucket that v falls into, for items that have some; else v
// as it is sent.
func (it Item) Bucket(v int64) int64 { return it.value(it.wire(min(max(v, it.Lo), it.Hi))) }

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
	Value int64 // in the item's unit: a multiple of its resolution, or the end of its bucket
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
		if n < it.wire(it.Lo) || n > it.wire(it.Hi) {
			return Message{}, fmt.Errorf("%w: item %s is out of range", ErrMessage, it.Name)
		}
		out.Values = append(out.Values, Value{*it, it.value(n)})
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
