package pipe

import "platen/slicer/mesh"

// Memory is how many bytes the layers of one loop take at most, beside the vault: all
// that are in flight, and the scratch of all stages. points and contour are the most
// that one layer has as cut (see cut.Cutter.Most), box is around all of the model.
// Slices grow by doubling, which is in it; garbage that waits for the collector is not.
func (p Params) Memory(points int, contour int64, box mesh.Box) int64 {
	n := int64(points)
	ends := contour/int64(p.Width) + n // of lines that fill a layer, solid
	pitch := p.cellPitch()
	net := (int64(box.Max.X-box.Min.X)/pitch + 64) * (int64(box.Max.Y-box.Min.Y)/pitch + 2) / 8
	around := int64(p.TopLayers + p.BottomLayers)
	layer := n*8*(12+3*int64(p.Walls)+around) + ends*32 + 3*net
	worker := n*900 + ends*96 + 4*net
	return int64(p.Slots())*layer + int64(p.workers()+1)*worker + around*net + 1<<20
}
