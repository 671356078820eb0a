package pipe

import (
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/wall"
)

// worker is one goroutine that works on single layers, and its scratch memory.
type worker struct {
	p       Params
	kernel  geom.Kernel
	walls   wall.Builder
	gaps    gapFiller
	again   again
	hang    wall.Overhang
	hatcher fill.Hatcher
	fill    filler
	pitch   int64       // of nets of cells
	solid   geom.Region // what goes around the part, as a whole
	ring    geom.Region // for what goes around the part
	belt    geom.Region // the same
	prop    supporter
	sights  sights
}

func newWorker(p Params) *worker {
	w := &worker{p: p, pitch: p.cellPitch()}
	w.walls.Kernel = &w.kernel // one memory is enough: they take turns
	return w
}

func (w *worker) wipe() {
	w.kernel.Wipe()
	w.walls.Wipe()
	w.gaps.wipe()
	w.again.wipe()
	w.hang.Wipe()
	w.hatcher.Wipe()
	w.solid.Wipe()
	w.fill.wipe()
	w.ring.Wipe()
	w.belt.Wipe()
	w.prop.wipe()
	w.sights.wipe()
}

// keep has all buffers that have grown moved into the vault.
func (w *worker) keep() {
	w.p.Arena.Keep(&w.kernel, &w.walls, &w.gaps, &w.again, &w.hang, &w.hatcher, &w.fill, &w.solid, &w.ring, &w.belt, &w.prop, &w.sights)
}

// shape makes what follows from the outline of a layer alone.
func (w *worker) shape(l *Layer) error {
	if err := w.outline(l); err != nil {
		return err
	}
	if l.Index < 0 { // of a raft
		return nil
	}
	kind := w.p.Shell.kind(l.Index, w.p.BottomLayers)
	if !w.again.give(l, kind) {
		if err := w.shell(l); err != nil {
			return err
		}
		w.again.keep(l, kind)
	}
	w.survey(l)
	return nil
}

// lines makes what follows from a layer and what its neighbours have left in it.
func (w *worker) lines(l *Layer) error {
	if l.Index < 0 {
		if err := w.raft(l); err != nil {
			return err
		}
		return w.adhesion(l)
	}
	w.overhangs(l)
	if err := w.infill(l); err != nil {
		return err
	}
	if err := w.support(l); err != nil {
		return err
	}
	return w.adhesion(l)
}
