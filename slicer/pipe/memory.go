package pipe

import "platen/slicer/mesh"

// Memory is how many bytes the layers of one loop take at most, beside the vault: all
// that are in flight, and the scratch of all stages. points and contour are the most
// that one layer has as cut (see cut.Cutter.Most), box is around all of the model.
// Copies of the model are in all of these, but not in the plan of its support. Slices
// grow by doubling, which is in it; garbage that waits for the collector is not.
func (p Params) Memory(points int, contour int64, box mesh.Box) int64 {
	n := int64(points)
	ends := contour/int64(p.Width) + n // of lines that fill a layer, solid
	pitch := p.cellPitch()
	net := (int64(box.Max.X-box.Min.X)/pitch + 64) * (int64(box.Max.Y-box.Min.Y)/pitch + 2) / 8
	around := int64(p.TopLayers + p.BottomLayers)
	layer := n*8*(12+3*int64(p.Walls)+around) + ends*32 + 3*net
	worker := n*900 + ends*96 + 4*net
	if s := p.Support; !s.Plan.Empty() {
		// Outlines of the layers around, two masks, and the outlines and lines of support.
		points, mask := s.Plan.Most()
		props, near := int64(points)*int64(1+len(s.Copies)), int64(2*p.layersWithin(s.Gap))
		layer += near*n*16 + 2*int64(mask) + props*8*6
		worker += props * 900
		around += near
	}
	return int64(p.Slots())*layer + int64(p.scratches()+1)*worker + around*net + 1<<20
}
