package geom_test

import (
	"fmt"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Two bars that cross, cleaned up and shrunk by a quarter of a millimetre. The
// kernel and the regions are used again for the next layer.
func Example() {
	const mm = unit.Millimetre
	bar := func(w, h unit.Length) []geom.Point {
		return []geom.Point{{X: -w, Y: -h}, {X: w, Y: -h}, {X: w, Y: h}, {X: -w, Y: h}}
	}
	var kernel geom.Kernel
	var section, clean, inner geom.Region
	section.Add(bar(10*mm, mm))
	section.Add(bar(mm, 10*mm))
	if err := kernel.Union(&clean, &section); err != nil {
		fmt.Println(err)
		return
	}
	if err := kernel.Offset(&inner, &clean, -mm/4, geom.JoinMiter); err != nil {
		fmt.Println(err)
		return
	}
	for i := range inner.Len() {
		fmt.Println(len(inner.Ring(i)), "points, from", inner.Ring(i)[0].X, inner.Ring(i)[0].Y)
	}
	// Output: 12 points, from -0.75mm -9.75mm
}
