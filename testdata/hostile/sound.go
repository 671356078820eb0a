package hostile

import (
	"encoding/binary"
	"math"
	"strings"
)

// Healthy are files that can be printed, if need be after repairs: what the lies are made
// from, and what looks like one and is none. What is repaired in them is in their names.
func Healthy() []File {
	body := cube()
	solid := binarySTL("solid cube", body)
	turned := cube()
	for i := range turned {
		turned[i][1], turned[i][2] = turned[i][2], turned[i][1]
	}
	files := []File{
		{Name: "binary STL", Body: binarySTL("", body)},
		{Name: "binary STL that begins with solid", Body: solid},
		{Name: "text STL", Body: []byte(asciiSTL(body))},
		{Name: "inside out", Body: binarySTL("", turned)},
		{Name: "triangles without area", Body: binarySTL("", append(cube(), lines(20)...))},
		{Name: "triangles twice", Body: binarySTL("", append(cube(), cube()...))},
		{Name: "a side is missing", Body: binarySTL("", cube()[1:])},
		{Name: "three sides at an edge", Body: binarySTL("", append(cube(), facet{corner(0), corner(1), {10, -10, 10}}, facet{corner(1), corner(0), {10, -10, 10}}))},
		{Name: "OBJ", Body: []byte(objCorners + objFaces)},
		{Name: "3MF", Body: package3MF(cubeModel())},
		{Name: "stored 3MF", Body: stored(part(modelName, cubeModel()), part(relsName, rootRel))},
		{Name: "31 levels", Body: package3MF(model("", object("1")+levels(31, 1), `<item objectid="32"/>`))},
		{Name: "settings of Bambu Studio", Body: package3MF(cubeModel(), part("Metadata/model_settings.config", `<config><object id="1"><part id="2" subtype="normal_part"/></object><plate/></config>`))},
	}
	comment := objCorners + "# " + strings.Repeat("x", 1<<20) + "\n" + objFaces
	return append(files, File{Name: "an OBJ with a line of 1 MiB", Body: []byte(comment)})
}

// Programs are sound prints of G-code.
func Programs() []File {
	text := []byte(soundGCode)
	types := part("[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`)
	return []File{
		{Name: "G-code", Body: text},
		{Name: "binary G-code", Body: binaryGCode(block{1, blockStored, uint32(len(text)), 0, text})},
		{Name: "deflated binary G-code", Body: binaryGCode(block{1, blockDeflated, uint32(len(text)), 0, zlibOf(text)})},
		{Name: "a plate", Body: packed(types, part("Metadata/plate_1.gcode", soundGCode))},
	}
}

// Large is a sound model of at least size bytes: a ball of as many triangles as that
// takes. 76 MB is what a real scan has.
func Large(size int64) File {
	const head, each = 84, 50
	n := int(math.Sqrt(float64((size-head)/each)/4)) + 2 // rings, of twice as many points
	at := func(ring, point int) [3]float32 {
		down := math.Pi * float64(ring) / float64(n)
		round := math.Pi * float64(point%(2*n)) / float64(n)
		r := 40 * math.Sin(down)
		if ring == 0 || ring == n {
			r = 0
		}
		return [3]float32{float32(r * math.Cos(round)), float32(r * math.Sin(round)), float32(40 * math.Cos(down))}
	}
	b := make([]byte, head, head+each*4*n*n)
	put := func(f facet) {
		b = append(b, make([]byte, 12)...)
		for _, p := range f {
			for _, x := range p {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
		}
		b = append(b, 0, 0)
	}
	for ring := range n {
		for point := range 2 * n {
			p, q, r, s := at(ring, point), at(ring, point+1), at(ring+1, point), at(ring+1, point+1)
			if ring > 0 {
				put(facet{p, r, q})
			}
			if ring < n-1 {
				put(facet{q, r, s})
			}
		}
	}
	binary.LittleEndian.PutUint32(b[80:], uint32((len(b)-head)/each))
	return File{Name: "a large model", Body: b}
}
