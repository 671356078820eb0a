// Package pipe turns the outlines of a mesh into layers ready to print, a few
// layers ahead of whoever prints them.
//
// [Layers] runs the stages as goroutines behind bounded queues: one cuts, several
// simplify outlines and lay walls, one looks at each layer together with its
// neighbours above and below, splits what the walls leave into solid skin and
// sparse infill, and hatches both. The order of layers and every point in them are
// the same for any number of workers. Nothing is kept once a layer has been handed
// on: buffers go round, and are overwritten at the end.
//
// Memory beside the vault, for layers of at most P points as cut, of 8 bytes each:
// [Params.Slots] layers in flight with 5 + Walls copies of the outline and its
// lines; windows of 2 × (TopLayers + BottomLayers) outlines; and for each worker,
// and the last stage, a kernel of up to 500 bytes a point. Slices grow by doubling.
// One that has grown leaves its old place to the garbage collector with what is in
// it: the whole process must be locked in memory, and end with the job.
package pipe

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync"

	"platen/hal/unit"
	"platen/slicer/cut"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/wall"
)

// Params says how layers are made.
type Params struct {
	Stack        cut.Stack
	Width        unit.Length  // of a line; lines lie side by side
	Apart        unit.Length  // how close two sides of one wall may come, middle to middle; closer, one line replaces them
	Walls        int          // lines around every contour
	TopLayers    int          // solid layers below every upward surface
	BottomLayers int          // solid layers above every downward surface
	Density      fill.Percent // share of the inside that infill covers
	Pattern      fill.Pattern
	Skirts       int         // lines around the first layer
	SkirtGap     unit.Length // between the model and the innermost of them
	Volume       mesh.Box    // skirts that would leave it are left out
	Workers      int         // goroutines that lay walls; 0 is one a processor, at most 4
}

// ahead is how many finished layers wait for the printer: enough for one slow
// layer to be made while small ones are printed.
const ahead = 3

// simplify is how far a simplified outline may be from the cut one: well below
// what a nozzle resolves, and it takes most points of a fine mesh away.
const simplify = 5 * unit.Millimetre / 1000

// mostPoints bounds the points of one layer as cut, and with them the memory of
// everything that follows. It is ten times what large scans have.
const mostPoints = 1 << 18

// Slots is the number of layers that are in flight at most.
func (p Params) Slots() int { return p.TopLayers + 1 + p.workers() + ahead }

func (p Params) workers() int {
	if p.Workers > 0 {
		return p.Workers
	}
	return min(runtime.GOMAXPROCS(0), 4)
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
	Skin      fill.Lines  // solid
	SkinWidth unit.Length // of its lines
	Infill    fill.Lines  // sparse
	Skirt     geom.Region // first layer only

	raw   geom.Region
	rest  geom.Region   // inside of the innermost wall, for sparse infill
	inner geom.Region   // the same, for lines of skin
	done  chan struct{} // one token once outline and walls are there
	err   error
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
	l.Skin.Reset()
	l.Infill.Reset()
	l.Skirt.Reset()
}

func (l *Layer) wipe() {
	for _, r := range []*geom.Region{&l.raw, &l.Outline, &l.rest, &l.inner, &l.Skirt} {
		r.Wipe()
	}
	l.Walls.Wipe()
	l.Gaps.Wipe()
	l.Skin.Wipe()
	l.Infill.Wipe()
}

// run is one pass over the layers.
type run struct {
	p     Params
	cut   *cut.Cutter
	all   []*Layer
	free  chan *Layer // as many as there are
	work  chan *Layer // cut, in any order
	order chan *Layer // the same, in order
	out   chan *Layer // finished
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
		order: make(chan *Layer, n), out: make(chan *Layer, ahead),
	}
	for range n {
		l := &Layer{done: make(chan struct{}, 1), Width: p.Width}
		r.all = append(r.all, l)
		r.free <- l
	}
	return r
}

func (r *run) start() {
	r.cut.Rewind()
	r.wg.Go(r.cutAll)
	for range r.p.workers() {
		r.wg.Go(r.layWalls)
	}
	r.wg.Go(r.finishLayers)
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
	for i := range r.cut.Layers() {
		l, ok := r.take(r.free)
		if !ok {
			return
		}
		l.reset()
		l.Index, l.Top, l.Thickness = i, r.p.Stack.Top(i), r.p.Stack.Thickness(i)
		r.cut.Next(&l.raw)
		if !r.give(r.work, l) || !r.give(r.order, l) {
			return
		}
	}
}

// layWalls is the second stage: the outline and what follows from it alone.
func (r *run) layWalls() {
	var k geom.Kernel
	var b wall.Builder
	var g gapFiller
	defer k.Wipe()
	defer b.Wipe()
	defer g.wipe()
	for {
		l, ok := r.take(r.work)
		if !ok {
			return
		}
		if l.err = r.layWall(l, &k, &b, &g); l.err != nil {
			l.err = fmt.Errorf("slice a layer: %w", l.err)
		}
		l.done <- struct{}{} // empty: its layer is in one place only
	}
}

func (r *run) layWall(l *Layer, k *geom.Kernel, b *wall.Builder, g *gapFiller) error {
	dropSpecks(&l.raw, r.p.Width/thinnest)
	if len(l.raw.Pts) > mostPoints {
		return geom.ErrComplex
	}
	if err := k.Simplify(&l.Outline, &l.raw, simplify); err != nil {
		return err
	}
	p := wall.Params{
		Width: r.p.Width, Count: r.p.Walls, Overlap: -r.p.Width / 2, Apart: r.p.Apart, Join: geom.JoinMiter,
	}
	if err := b.Walls(&l.Walls, &l.Outline, p); err != nil {
		return err
	}
	beyond := l.Walls.Inner() // the centre line of one wall more
	if r.p.Walls > 0 {
		if err := g.fill(k, l, beyond); err != nil {
			return err
		}
	}
	if err := k.Offset(&l.rest, beyond, r.p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	// Lines of skin end a quarter of a width before the wall: their round ends, and
	// the joints between them, then just fill what is left.
	if err := k.Offset(&l.inner, beyond, r.p.Width/2-r.p.Width/4, geom.JoinMiter); err != nil {
		return err
	}
	return b.Narrow(&l.Walls, p)
}

// dropSpecks removes rings that measure less than size along both axes: noise of a
// scanned surface, far below what a nozzle can make.
func dropSpecks(r *geom.Region, size unit.Length) {
	pts, ends := r.Pts[:0], r.Ends[:0]
	start := int32(0)
	for _, end := range r.Ends {
		ring := r.Pts[start:end]
		start = end
		lo, hi := ring[0], ring[0]
		for _, p := range ring {
			lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
			hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
		}
		if hi.X-lo.X >= size || hi.Y-lo.Y >= size {
			pts = append(pts, ring...)
			ends = append(ends, int32(len(pts)))
		}
	}
	r.Pts, r.Ends = pts, ends
}

// finishLayers is the last stage: what needs the layers around.
func (r *run) finishLayers() {
	defer close(r.out)
	s := newSkins(r.p)
	defer s.wipe()
	for {
		l, ok := r.take(r.order)
		if !ok {
			break
		}
		select {
		case <-l.done:
		case <-r.stop:
			return
		}
		if l.err == nil {
			l.err = s.add(l)
		}
		if l.err != nil {
			r.give(r.out, l)
			return
		}
		if !r.drain(s, false) {
			return
		}
	}
	r.drain(s, true)
}

// drain hands on the layers for which enough is known.
func (r *run) drain(s *skins, last bool) bool {
	for {
		l := s.next(last)
		if l == nil {
			return true
		}
		failed := l.err != nil // once given, the layer is someone else's
		if !r.give(r.out, l) || failed {
			return false
		}
	}
}
