// Package pipe turns the outlines of a mesh into layers ready to print, a few
// layers ahead of whoever prints them.
//
// [Layers] runs these stages as goroutines behind bounded queues:
//
//	cut         one: the next outlines
//	shape       workers: what follows from a layer alone (worker.shape: outline.go, shell.go)
//	neighbours  one, cheap: what needs the layers around it (neighbours.go; skin.go, support.go)
//	lines       the same workers: what follows from both (worker.lines: infill.go, support.go, adhesion.go)
//
// and hands the layers on in order. A stage leaves in the [Layer] what the next one
// needs; scratch belongs to the goroutine (worker, neighbours). A stage on workers
// may look at its own layer only, so that every point in the result is the same for
// any number of them. Nothing is kept once a layer has been handed on: buffers go
// round, and are overwritten at the end.
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
	"context"
	"iter"
	"log/slog"
	"runtime"
	"sync"

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
	Workers      int         // goroutines that work on layers; 0 is one a processor, at most 4

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

	upright bool        // the layer below has the same outline, or there is none
	below   geom.Region // outline of the layer below, unless upright
	merged  merged      // what of its infill is laid with that of other layers
	exposed exposed     // what of it is not covered, as far as its neighbours tell

	held held        // what its support needs to know
	base geom.Region // what stands on the bed, for layers that go around it

	shaped chan struct{} // one token once outline and walls are there
	lined  chan struct{} // one token once all is there
	err    error
}

// GoString says nothing of the layer.
func (l *Layer) GoString() string { return "layer" }

// String says nothing of the layer.
func (l *Layer) String() string { return "layer" }

// LogValue says nothing of the layer.
func (l *Layer) LogValue() slog.Value { return slog.StringValue("layer") }

func (l *Layer) reset() {
	l.err = nil
	l.Walls.Reset()
	l.Gaps.Reset()
	l.Skirt.Reset()
	l.Runs.Reset()
	l.Hangs.Reset()
	l.Support.Reset()
	l.corners.Reset()
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

// run is one pass over the layers.
type run struct {
	p     Params
	cut   *cut.Cutter
	all   []*Layer
	free  chan *Layer // as many as there are
	work  chan *Layer // cut, to be shaped, in any order
	order chan *Layer // the same, in order
	lines chan *Layer // to get their lines, in any order
	out   chan *Layer // the same, in order
	stop  <-chan struct{}
	wg    sync.WaitGroup
}

// Layers cuts from c, from the lowest layer up. The sequence yields at most one
// error, as its last pair: that of ctx, or of a layer whose outlines are beyond
// repair. When the loop ends, whatever the reason, all goroutines have ended and
// all buffers are overwritten. One loop over c at a time.
func Layers(ctx context.Context, c *cut.Cutter, p Params) iter.Seq2[*Layer, error] {
	return func(yield func(*Layer, error) bool) {
		stop := make(chan struct{})
		r := newRun(c, p, stop)
		defer r.finish()
		defer close(stop)
		r.start()
		for {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			select {
			case l, ok := <-r.out:
				if !ok {
					return
				}
				select {
				case <-l.lined:
				case <-ctx.Done():
					continue
				}
				if l.err != nil {
					yield(nil, l.err)
					return
				}
				if !yield(l, nil) {
					return
				}
				r.free <- l // has room for all of them
			case <-ctx.Done():
			}
		}
	}
}

func newRun(c *cut.Cutter, p Params, stop <-chan struct{}) *run {
	n := p.Slots()
	r := &run{
		p: p, cut: c, stop: stop,
		free: make(chan *Layer, n), work: make(chan *Layer, n),
		order: make(chan *Layer, n), lines: make(chan *Layer, n), out: make(chan *Layer, n),
	}
	for range n {
		l := &Layer{shaped: make(chan struct{}, 1), lined: make(chan struct{}, 1), Width: p.Width}
		r.all = append(r.all, l)
		r.free <- l
	}
	return r
}

func (r *run) start() {
	r.cut.Rewind()
	r.wg.Go(r.cutAll)
	for range r.p.workers() {
		r.wg.Go(r.labour)
	}
	r.wg.Go(r.meet)
}

// finish waits for all stages and overwrites what they held.
func (r *run) finish() {
	r.wg.Wait()
	for _, l := range r.all {
		l.wipe()
	}
	r.cut.Wipe()
}

// take receives from a queue unless the run is over.
func (r *run) take(from <-chan *Layer) (*Layer, bool) {
	select {
	case l, ok := <-from:
		return l, ok
	case <-r.stop:
		return nil, false
	}
}

// give sends to a queue unless the run is over.
func (r *run) give(to chan<- *Layer, l *Layer) bool {
	select {
	case to <- l:
		return true
	case <-r.stop:
		return false
	}
}

// cutAll is the first stage.
func (r *run) cutAll() {
	defer close(r.work)
	defer close(r.order)
	raft := r.p.Adhesion.Raft
	for i := r.p.lowest(); i < r.cut.Layers(); i++ {
		l, ok := r.take(r.free)
		if !ok {
			return
		}
		l.reset()
		r.p.Arena.Keep(l)
		l.Index = i
		r.cut.Next(&l.raw)
		r.cut.Keep(r.p.Arena)
		if i < 0 { // every layer of the raft is made from the first of the part
			r.cut.Rewind()
			raft.place(l)
		} else {
			l.Top, l.Thickness = raft.Rise()+r.p.Stack.Top(i), r.p.Stack.Thickness(i)
		}
		if !r.give(r.work, l) || !r.give(r.order, l) {
			return
		}
	}
}
