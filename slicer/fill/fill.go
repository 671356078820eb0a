// Package fill covers regions with lines: solid skins, where the lines lie side by
// side, and sparse infill, where they leave gaps.
//
// Lines are cut straight from the sorted crossings of a region's edges with the
// scan lines, without polygon booleans, and joined to long polylines along the
// region's boundary. Scan lines are straight or waves ([PatternGyroid]). They have
// absolute positions in machine coordinates: the same angle, spacing and phase on the
// next layer continue the same planes, and patterns that change with the height go on
// from layer to layer. Lines that follow the boundary instead come from [Rings].
//
// A [Hatcher] keeps the scratch memory, a [Lines] the result; both are filled anew
// for each region without allocating once they have warmed up.
package fill

import (
	"errors"
	"log/slog"
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// ErrParams reports a spacing below [MinSpacing] or above a metre, a negative length,
// or a pattern that is not hatched.
var ErrParams = errors.New("hatch parameters: the spacing must be between 0.02 mm and 1000 mm, lengths not negative, the pattern one of straight or waved lines")

// MinSpacing is the closest that lines may lie, 20 µm: below any nozzle, and it
// bounds the number of lines.
const MinSpacing = unit.Millimetre / 50

const maxSpacing = 1000 * unit.Millimetre

// Angle is a direction in 1/1000 degree, counter-clockwise from the X axis.
type Angle int32

// Degree is one degree as an [Angle].
const Degree Angle = 1000

// Percent is the share of a region that infill covers, 0 to 100.
type Percent uint8

// Pattern is the arrangement of infill lines.
type Pattern uint8

// The patterns. All but PatternLines and PatternConcentric lay lines of several
// directions on one layer, each set as much sparser: the density is the same.
const (
	// PatternLines is one set of parallel lines.
	PatternLines Pattern = iota
	// PatternGrid is two sets at right angles.
	PatternGrid
	// PatternTriangles is three sets at 60° that meet in points.
	PatternTriangles
	// PatternCubic is three sets at 60° that wander with the height, so that they are
	// sections through stacked cubes that stand on their corners.
	PatternCubic
	// PatternGyroid is waves, the sections through sin x cos y + sin y cos z + sin z
	// cos x = 0: a surface that supports in all directions and that no line crosses.
	// Its density is that asked for on the average of many layers.
	PatternGyroid
	// PatternConcentric is closed lines that follow the boundary; see [Rings].
	PatternConcentric
)

// Patterns is how many patterns there are.
const Patterns = int(PatternConcentric) + 1

// Join says how lines are joined to longer ones, and in which order they come.
type Join uint8

const (
	// JoinNext joins the ends of neighbouring lines of a set, going on from each line
	// to the next one above it.
	JoinNext Join = iota
	// JoinMonotonic does the same, but a line comes only after all those below that
	// it lies beside: printed in this order, every line but the first has its
	// neighbour on the same side. See [Hatcher.Starts].
	JoinMonotonic
	// JoinAll joins any two ends that follow each other along the boundary, the
	// nearest first, whatever set they belong to.
	JoinAll
)

// Params says how a region is hatched.
type Params struct {
	// Angle of the lines. Multiples of 45° are exact; at others, ends are rounded to
	// the nearest unit.
	Angle Angle
	// Spacing between the centres of neighbouring lines: the line width for solid
	// fill, [Spacing] for sparse.
	Spacing unit.Length
	// Phase moves all lines along their normal, counter-clockwise from Angle.
	Phase unit.Length
	// Fit moves straight lines, and brings them closer together if need be, so that they
	// lie evenly between the two ends of the region across them. Phase is of no
	// account then.
	Fit bool
	// Height above the floor at which patterns that change with it are cut.
	Height unit.Length
	// MinSpan is the length below which a span is left out.
	MinSpan unit.Length
	// MaxJoin is the longest piece of the boundary along which two ends are joined; 0
	// joins none.
	MaxJoin unit.Length
	// Anchor is how far an end that JoinAll leaves alone goes on along the boundary,
	// where there is room.
	Anchor unit.Length
	// Overrun lets ends of straight lines that are not joined go on beyond the boundary
	// where they meet it at a slant, so that their sides reach it too: by as much at
	// half a right angle, by more at flatter ones, not at steep ones. A fifth of the
	// line width covers nearly all. See [Hatcher.Overrun].
	Overrun unit.Length
	// Join is which ends are joined.
	Join Join
	// Pattern is the arrangement of the lines.
	Pattern Pattern
}

// Spacing returns the distance between lines of the given width that cover the
// given share of a region; at 0 % it is 0, for which there is nothing to hatch.
func Spacing(width unit.Length, density Percent) unit.Length {
	if density == 0 {
		return 0
	}
	return unit.Length(min((int64(width)*100+int64(density)/2)/int64(density), int64(maxSpacing)))
}

// Lines is a list of open polylines. Line i is Pts[Ends[i-1]:Ends[i]] (from 0 for
// the first), at least two points. It holds no pointers, like [geom.Region].
type Lines struct {
	Pts  []geom.Point
	Ends []int32
}

// String says nothing of the lines.
func (l Lines) String() string { return "lines" }

// GoString says nothing of the lines.
func (l Lines) GoString() string { return "lines" }

// LogValue says nothing of the lines.
func (l Lines) LogValue() slog.Value { return slog.StringValue("lines") }

// Reset empties the list and keeps its memory.
func (l *Lines) Reset() { l.Pts, l.Ends = l.Pts[:0], l.Ends[:0] }

// Wipe empties the list and overwrites its memory.
func (l *Lines) Wipe() {
	clear(l.Pts[:cap(l.Pts)])
	clear(l.Ends[:cap(l.Ends)])
	l.Reset()
}

// Len is the number of polylines.
func (l *Lines) Len() int { return len(l.Ends) }

// Line returns polyline i; it shares the memory of l.
func (l *Lines) Line(i int) []geom.Point {
	start := int32(0)
	if i > 0 {
		start = l.Ends[i-1]
	}
	return l.Pts[start:l.Ends[i]:l.Ends[i]]
}

// Length returns the length of all polylines together in 1/65536 mm; unlike a
// [unit.Length] it has room for any number of them.
func (l *Lines) Length() int64 {
	var sum int64
	for i := range l.Ends {
		line := l.Line(i)
		for j := 1; j < len(line); j++ {
			dx, dy := float64(line[j].X-line[j-1].X), float64(line[j].Y-line[j-1].Y)
			sum += int64(math.Sqrt(float64(dx*dx)+float64(dy*dy)) + 0.5)
		}
	}
	return sum
}

// put appends a point to the polyline being built, unless it repeats the last one.
func (l *Lines) put(start int, p geom.Point) {
	if len(l.Pts) == start || l.Pts[len(l.Pts)-1] != p {
		l.Pts = append(l.Pts, p)
	}
}

// finish ends the polyline that began at start.
func (l *Lines) finish(start int) {
	if len(l.Pts)-start < 2 {
		l.Pts = l.Pts[:start]
		return
	}
	l.Ends = append(l.Ends, int32(len(l.Pts)))
}

// mark, corner and rewind build the way of a join; a nil list only tries it.
func (l *Lines) mark() int {
	if l == nil {
		return 0
	}
	return len(l.Pts)
}

func (l *Lines) corner(p geom.Point) {
	if l != nil {
		l.Pts = append(l.Pts, p)
	}
}

func (l *Lines) rewind(mark int) {
	if l != nil {
		l.Pts = l.Pts[:mark]
	}
}
