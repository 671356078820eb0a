// Package pipe turns the outlines of a mesh into layers ready to print, a few
// layers ahead of whoever prints them.
//
// [Layers] takes every layer through these stages:
//
//	cut         in order: the next outlines
//	shape       what follows from a layer alone (worker.shape: outline.go, shell.go)
//	neighbours  in order, cheap: what needs the layers around it (neighbours.go; skin.go, support.go)
//	lines       what follows from both (worker.lines: infill.go, support.go, adhesion.go)
//
// and hands the layers on in order. The workers, a few goroutines, do all of it: each
// takes what is nearest to being printed (run.go), so that small layers pass through
// without one goroutine waking another for every stage. A stage leaves in the [Layer]
// what the next one needs; scratch belongs to the worker, or to the stage that goes in
// order. The others may look at their own layer only, so that every point in the result
// is the same for any number of workers. Nothing is kept once a layer has been handed
// on: buffers go round, and are overwritten at the end.
//
// Memory is what [Params.Memory] says: layers in flight ([Params.Slots]), each with
// copies of its outline, its lines, and the outlines of those layers around it that
// leave something of it open; outlines and nets of cells of the layers below; and the
// scratch of each worker. All of it is on the Go heap only until it has grown to what a
// layer needs: between two layers, [Params.Arena] moves buffers that have grown into the
// vault and overwrites where they were. What grew more than once within a layer is the garbage
// collector's, which overwrites it in a session; and the process ends with the job.
package pipe

import (
	"log/slog"
	"runtime"

	"platen/hal/unit"
	"platen/slicer/cut"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/vault"
	"platen/slicer/wall"
)

// Params says how layers are made.
type Params struct {
	Stack        cut.Stack
	Width        unit.Length  // of a line; lines lie side by side
	Apart        unit.Length  // how close two sides of one wall may come, middle to middle; closer, one line replaces them
	Walls        int          // lines around every contour
	Shell        Shell        // and what else is done about them
	TopLayers    int          // solid layers below every upward surface
	BottomLayers int          // solid layers above every downward surface
	Skin         Skin         // and what else is done about them
	Density      fill.Percent // share of the inside that infill covers
	Pattern      fill.Pattern
	Support      Support
	Skirts       int         // lines around the first layer
	SkirtGap     unit.Length // between the model and the innermost of them
	Adhesion     Adhesion    // and what else goes around the first layer, or below it
	Volume       mesh.Box    // skirts that would leave it are left out
	Workers      int         // how many work on layers, the reader included; 0 is one a processor, at most 4

	// Arena is where buffers are kept once they have grown; nil leaves them on the Go heap.
	Arena *vault.Arena
}

// ahead is how many finished layers wait for the printer: enough for one slow
// layer to be made while small ones are printed.
const ahead = 3

// Slots is the number of layers that are in flight at most.
func (p Params) Slots() int { return p.lookahead() + 1 + p.workers() + ahead }

func (p Params) workers() int {
	if p.Workers > 0 {
		return p.Workers
	}
	return min(runtime.GOMAXPROCS(0), runtime.NumCPU(), 4) // a session has processors of Go to spare, for its port
}

// scratches is how many have the memory of a worker: whoever reads the layers is one of
// the workers, but one more has to work while they are printed.
func (p Params) scratches() int { return max(p.workers(), 2) }

// Layer is one layer, ready to print. It is design data. All of it is in machine
// coordinates and belongs to the pipe: it is good until the loop that received it
// goes on to the next.
type Layer struct {
	Index     int
	Top       unit.Length // above the floor
	Thickness unit.Length
	Width     unit.Length // of its lines
	Outline   geom.Region // contours, outer ones counter-clockwise
	Walls     wall.Walls  // centre lines
	Gaps      Strokes     // lines between walls, where no whole one fits
	Skirt     geom.Region // first layer only
	Runs      Runs        // all lines that say themselves what they are
	Hangs     Hangs       // how far the edges of Walls hang over
	Support   geom.Region // outlines of support; its lines are in Runs
	Spiral    bool        // the only wall rises from the layer below to this one

	raw     geom.Region // as cut
	rest    geom.Region // inside of the innermost wall, for sparse infill
	inner   geom.Region // the same, for lines of skin
	corners geom.Region // small gaps between walls, open as yet
	bare    int         // how many of Gaps have nothing beside them

	upright bool        // the layer below has the same outline, or there is none
	below   geom.Region // outline of the layer below, unless upright
	merged  merged      // what of its infill is laid with that of other layers
	exposed exposed     // what of it is not covered, as far as its neighbours tell

	held held        // what its support needs to know
	base geom.Region // what stands on the bed, for layers that go around it

	shaped bool // outline and walls are there
	lined  bool // all is there, or err
	err    error
}

// GoString says nothing of the layer.
func (l *Layer) GoString() string { return "layer" }

// String says nothing of the layer.
func (l *Layer) String() string { return "layer" }

// LogValue says nothing of the layer.
func (l *Layer) LogValue() slog.Value { return slog.StringValue("layer") }

func (l *Layer) reset() {
	l.err, l.shaped, l.lined = nil, false, false
	l.Walls.Reset()
	l.Gaps.Reset()
	l.Skirt.Reset()
	l.Runs.Reset()
	l.Hangs.Reset()
	l.Support.Reset()
	l.corners.Reset()
	l.bare = 0
	l.held.reset()
	l.base.Reset()
	l.Spiral = false
}

func (l *Layer) wipe() {
	for _, r := range []*geom.Region{&l.raw, &l.Outline, &l.rest, &l.inner, &l.corners, &l.below, &l.Skirt, &l.Support} {
		r.Wipe()
	}
	l.Walls.Wipe()
	l.Gaps.Wipe()
	l.Runs.Wipe()
	l.Hangs.Wipe()
	l.held.wipe()
	l.base.Wipe()
	l.exposed.wipe()
	l.merged.around.Wipe()
}
