package wall

import "platen/slicer/geom"

// CopyLines sets w to the lines of src and their widths; nothing else of src is
// copied: neither what walls leave for infill nor the gaps between them.
func (w *Walls) CopyLines(src *Walls) {
	w.Reset()
	for i := range src.n {
		w.level(i + 1)
		copyRegion(&w.lines[i], &src.lines[i])
		w.widths[i] = append(w.widths[i][:0], src.widths[i]...)
	}
	w.n = src.n
}

func copyRegion(dst, src *geom.Region) {
	dst.Reset()
	dst.Append(src)
}
