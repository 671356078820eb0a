package pipe

// overhangs splits the walls of a layer where they come to hang over the one below,
// and notes by how much.
func (w *worker) overhangs(l *Layer) {
	if !w.p.Shell.Hangs || l.Index == 0 || l.Walls.Len() == 0 || l.upright {
		return
	}
	w.hang.Load(&l.below, w.p.Width)
	some := false
	for i := range l.Walls.Len() {
		hangs := w.hang.Wall(&l.Walls, i)
		if hangs == nil && !some {
			continue
		}
		if !some { // those before it do not hang
			for k := range i {
				l.Hangs.Add(len(l.Walls.Wall(k).Pts))
			}
			some = true
		}
		copy(l.Hangs.Add(len(l.Walls.Wall(i).Pts)), hangs)
	}
}
