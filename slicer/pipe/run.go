package pipe

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"platen/slicer/cut"
)

// run is one pass over the layers.
type run struct {
	p   Params
	cut *cut.Cutter
	all []*Layer
	n   *neighbours
	own *worker // of whoever reads
	wg  sync.WaitGroup

	mu      sync.Mutex // of all below; queues have room for every layer
	idle    sync.Cond  // workers wait here
	asleep  int        // how many do
	free    []*Layer
	order   []*Layer      // cut, not yet seen by the neighbours, lowest first
	lines   []*Layer      // to get their lines, lowest first
	out     []*Layer      // the same and those that have them, lowest first
	next    int           // the layer to be cut
	cutting bool          // someone cuts
	meeting bool          // someone is at the neighbours
	failed  bool          // a layer could not be made: there are no more
	ended   bool          // all layers have been handed on
	over    bool          // nobody wants any more
	pace    time.Duration // that a task takes of late
	given   time.Time     // when the latest layer was read
	ready   chan struct{} // a token once a layer is
}

// batch is how many layers have to be free for a worker to be woken while others are
// ready, and brief is how long a task takes, or the printing of a layer, that is not
// worth waking anybody: it takes as long as that.
const (
	batch = 3
	brief = 300 * time.Microsecond
)

// Layers cuts from c, from the lowest layer up. The sequence yields at most one
// error, as its last pair: that of ctx, or of a layer whose outlines are beyond
// repair. When the loop ends, whatever the reason, all goroutines have ended and
// all buffers are overwritten. One loop over c at a time.
//
// Whoever reads a layer that is not there yet works as well, instead of waiting.
func Layers(ctx context.Context, c *cut.Cutter, p Params) iter.Seq2[*Layer, error] {
	return func(yield func(*Layer, error) bool) {
		r := newRun(c, p)
		defer r.finish()
		for range p.scratches() - 1 {
			r.wg.Go(r.labour)
		}
		for {
			l, err := r.read(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if l == nil || !yield(l, nil) {
				return
			}
			r.giveBack(l)
		}
	}
}

func newRun(c *cut.Cutter, p Params) *run {
	r := &run{p: p, cut: c, n: newNeighbours(p), own: newWorker(p), next: p.lowest(), ready: make(chan struct{}, 1)}
	r.idle.L = &r.mu
	for range p.Slots() {
		l := &Layer{Width: p.Width}
		r.all, r.free = append(r.all, l), append(r.free, l)
	}
	c.Rewind()
	return r
}

// finish waits for all workers and overwrites what they held.
func (r *run) finish() {
	r.mu.Lock()
	r.over = true
	r.idle.Broadcast()
	r.mu.Unlock()
	r.wg.Wait()
	r.own.wipe()
	r.n.wipe()
	for _, l := range r.all {
		l.wipe()
	}
	r.cut.Wipe()
}

// read returns the next layer; nil is the end.
func (r *run) read(ctx context.Context) (*Layer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switch {
		case len(r.out) > 0 && r.out[0].lined:
			l := pop(&r.out)
			r.given = time.Now()
			return l, l.err
		case len(r.out) == 0 && r.ended:
			return nil, nil
		case r.step(r.own):
			continue
		}
		r.mu.Unlock()
		select {
		case <-r.ready:
		case <-ctx.Done():
		}
		r.mu.Lock()
	}
}

// giveBack takes a layer that has been read.
func (r *run) giveBack(l *Layer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, l)
	if len(r.free) >= batch && (r.pace > brief || time.Since(r.given) > brief) {
		r.wake()
	}
}

// wake wakes a worker, if one waits and there is something to do.
func (r *run) wake() {
	if r.asleep > 0 && r.work() != nothing {
		r.idle.Signal()
	}
}

// tell tells the reader to look.
func (r *run) tell() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// pop takes the first of a queue, which keeps its room.
func pop(queue *[]*Layer) *Layer {
	q := *queue
	l := q[0]
	copy(q, q[1:])
	*queue = q[:len(q)-1]
	return l
}

// task is what a worker may do next.
type task uint8

const (
	nothing task = iota // for now
	toLine              // the lines of a layer: someone waits for them
	toMeet              // the neighbours of those that are shaped
	toCut               // a layer, and its shape
)

// work says what is to be done next.
func (r *run) work() task {
	switch {
	case r.over:
		return nothing
	case len(r.lines) > 0:
		return toLine
	case !r.meeting && !r.failed && !r.ended && (len(r.order) > 0 && r.order[0].shaped || r.cutAll()):
		return toMeet
	case !r.cutting && !r.failed && r.next < r.cut.Layers() && len(r.free) > 0:
		return toCut
	}
	return nothing
}

// cutAll reports whether no layer is left to be cut or shaped.
func (r *run) cutAll() bool { return r.next >= r.cut.Layers() && !r.cutting && len(r.order) == 0 }

// labour runs one worker until there is nothing more to come.
func (r *run) labour() {
	w := newWorker(r.p)
	defer w.wipe()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.over && !(r.ended && len(r.lines) == 0) {
		if !r.step(w) {
			r.asleep++
			r.idle.Wait()
			r.asleep--
		}
	}
	r.idle.Broadcast() // so that the others end as well
}

// step does what is to be done next, and reports whether there was anything.
func (r *run) step(w *worker) bool {
	switch r.work() {
	case toLine:
		r.line(w)
	case toMeet:
		r.meet()
	case toCut:
		r.begin(w)
	default:
		return false
	}
	return true
}

// apart does what needs no lock without it. If there is more to do that is worth it,
// another worker is woken.
func (r *run) apart(do func()) {
	if r.pace > brief {
		r.wake()
	}
	r.mu.Unlock()
	defer r.mu.Lock()
	do()
}

// timed is apart for what takes most of the time.
func (r *run) timed(do func()) {
	start := time.Now()
	r.apart(do)
	r.pace += (time.Since(start) - r.pace) / 4
}

// line makes the lines of the lowest layer that needs them.
func (r *run) line(w *worker) {
	l := pop(&r.lines)
	r.timed(func() {
		if l.err = w.lines(l); l.err != nil {
			l.err = fmt.Errorf("fill a layer: %w", l.err)
		}
		w.keep()
	})
	if l.lined = true; r.out[0] == l {
		r.tell()
	}
}

// begin cuts the next layer and shapes it.
func (r *run) begin(w *worker) {
	l, i := pop(&r.free), r.next
	r.cutting = true
	r.apart(func() { r.section(l, i) })
	r.cutting = false
	r.next++
	r.order = append(r.order, l)
	r.timed(func() {
		if l.err = w.shape(l); l.err != nil {
			l.err = fmt.Errorf("slice a layer: %w", l.err)
		}
		w.keep()
	})
	l.shaped = true
}

// section cuts layer i.
func (r *run) section(l *Layer, i int) {
	l.reset()
	r.p.Arena.Keep(l)
	l.Index = i
	r.cut.Next(&l.raw)
	r.cut.Keep(r.p.Arena)
	raft := r.p.Adhesion.Raft
	if i < 0 { // every layer of the raft is made from the first of the part
		r.cut.Rewind()
		raft.place(l)
		return
	}
	l.Top, l.Thickness = raft.Rise()+r.p.Stack.Top(i), r.p.Stack.Thickness(i)
}

// meet takes the next layer that is shaped to its neighbours, and hands on those for
// which enough is known.
func (r *run) meet() {
	r.meeting = true
	defer func() { r.meeting = false }()
	last := len(r.order) == 0
	if !last {
		l := pop(&r.order)
		if l.err == nil {
			r.apart(func() { l.err = r.n.add(l) })
		}
		if l.err != nil {
			r.fail(l)
			return
		}
	}
	for {
		var l *Layer
		var err error
		r.apart(func() { l, err = r.n.next(last) })
		if l == nil {
			break
		}
		if err != nil {
			l.err = fmt.Errorf("look at the layers around a layer: %w", err)
			r.fail(l)
			return
		}
		r.out, r.lines = append(r.out, l), append(r.lines, l)
	}
	if r.ended = last; last {
		r.tell()
		return
	}
	r.apart(func() { r.n.keep(r.p.Arena) })
}

// fail hands on a layer with an error, as it is: the last one.
func (r *run) fail(l *Layer) {
	r.failed, r.ended, l.lined = true, true, true
	r.out = append(r.out, l)
	r.tell()
}
