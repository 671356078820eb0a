package seam

// Mark says what a Layer means for a print that is broken off there.
type Mark uint8

// The marks.
const (
	MarkLayer  Mark = iota + 1 // the nozzle is at the layer
	MarkParked                 // the print is paused and the nozzle parked over the layer
	MarkNone                   // the program has no layers: it cannot go on once it is broken
)

// MostLayers bounds the number of a layer.
const MostLayers = 1 << 20

// Layer is where a print would go on if its power were lost now. It goes up to be sealed
// for that and for nothing else: what may leave the printer is made of Status and Receipt,
// where there is nothing finer than a quarter. The machine has at least begun the layer
// when this is sent, so that none is missing if a print goes on there.
type Layer struct {
	Layer uint32 // from 0, below MostLayers
	Mark  Mark
}

func (Layer) kind() Kind { return KindLayer }

func (l Layer) append(dst []byte) []byte {
	return append(le.AppendUint32(dst, l.Layer), byte(l.Mark))
}

func (l *Layer) parse(b []byte) bool {
	if len(b) != 5 {
		return false
	}
	l.Layer, l.Mark = le.Uint32(b), Mark(b[4])
	return l.Layer < MostLayers && l.Mark >= MarkLayer && l.Mark <= MarkNone
}
