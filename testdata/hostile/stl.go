package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// corners and sides are a cube of 20 mm; bit k of a corner's number is its side along
// axis k.
var sides = [][3]int{{0, 2, 1}, {1, 2, 3}, {4, 5, 6}, {5, 7, 6}, {0, 1, 4}, {1, 5, 4}, {2, 6, 3}, {3, 6, 7}, {0, 4, 2}, {2, 4, 6}, {1, 3, 5}, {3, 7, 5}}

func corner(i int) [3]float32 {
	return [3]float32{20 * float32(i&1), 20 * float32(i>>1&1), 20 * float32(i>>2&1)}
}

// facet is one triangle of a binary STL.
type facet [3][3]float32

func cube() []facet {
	var f []facet
	for _, s := range sides {
		f = append(f, facet{corner(s[0]), corner(s[1]), corner(s[2])})
	}
	return f
}

// binarySTL writes triangles after a header of 80 bytes.
func binarySTL(head string, facets []facet) []byte {
	b := make([]byte, 84, 84+50*len(facets))
	copy(b, head)
	binary.LittleEndian.PutUint32(b[80:], uint32(len(facets)))
	for _, f := range facets {
		b = append(b, make([]byte, 12)...) // no normal
		for _, p := range f {
			for _, x := range p {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
		}
		b = append(b, 0, 0)
	}
	return b
}

// asciiSTL writes triangles as text.
func asciiSTL(facets []facet) string {
	var b strings.Builder
	b.WriteString("solid cube\n")
	for _, f := range facets {
		b.WriteString("facet normal 0 0 0\nouter loop\n")
		for _, p := range f {
			fmt.Fprintf(&b, "vertex %v %v %v\n", p[0], p[1], p[2])
		}
		b.WriteString("endloop\nendfacet\n")
	}
	b.WriteString("endsolid cube\n")
	return b.String()
}

// STL are lies of STL files: threat T16.
func STL() []File {
	whole := binarySTL("", cube())
	with := func(at int, v float32) []byte {
		b := bytes.Clone(whole)
		binary.LittleEndian.PutUint32(b[at:], math.Float32bits(v))
		return b
	}
	count := func(n uint32, size int) []byte {
		b := make([]byte, size)
		binary.LittleEndian.PutUint32(b[80:], n)
		return b
	}
	said := func(name string, n int64) File {
		return File{Name: name, Class: TooBig, Body: count(uint32(n), 84), Size: 84 + 50*n}
	}
	one := asciiSTL(cube()[:1])
	body := strings.TrimSuffix(one, "endsolid cube\n")
	inf := float32(math.Inf(1))
	files := []File{
		{Name: "empty", Class: NoFormat},
		{Name: "short", Class: NoFormat, Body: make([]byte, 83)},
		{Name: "10^9 triangles in 84 bytes", Class: NoFormat, Body: count(1e9, 84)},
		{Name: "2^32-1 triangles in 84 bytes", Class: NoFormat, Body: count(math.MaxUint32, 84)},
		{Name: "one byte too few", Class: NoFormat, Body: whole[:len(whole)-1]},
		{Name: "one byte too many", Class: NoFormat, Body: append(bytes.Clone(whole), 0)},
		{Name: "no triangles", Class: NoShape, Body: count(0, 84)},
		{Name: "only points", Class: NoShape, Body: count(40, 84+50*40)},
		{Name: "only lines", Class: NoShape, Body: binarySTL("", lines(40))},
		{Name: "one flat sheet", Class: NoShape, Body: binarySTL("", cube()[:2])},
		{Name: "there and back", Class: NoShape, Body: binarySTL("", []facet{cube()[0], {corner(0), corner(1), corner(2)}})},
		{Name: "NaN", Class: NoShape, Body: with(84+12, float32(math.NaN()))},
		{Name: "NaN in a later corner", Class: NoShape, Body: with(84+50*3+24, float32(math.NaN()))},
		{Name: "Inf", Class: NoShape, Body: with(84+12, inf)},
		{Name: "-Inf", Class: NoShape, Body: with(84+50+16, -inf)},
		{Name: "1e38", Class: NoShape, Body: with(84+50+16, 1e38)},
		{Name: "beyond the span", Class: NoShape, Body: with(84+50+16, 17000)},
		{Name: "text that is not a solid", Class: NoFormat, Body: []byte(strings.Repeat("hello ", 100))},
		{Name: "solid and nothing else", Class: NoFormat, Body: []byte("solid x\n")},
		{Name: "empty solid", Class: NoShape, Body: []byte("solid x\nendsolid x\n")},
		{Name: "flat solid ends too early", Class: NoFormat, Body: []byte(body)},
		{Name: "solid with a word too many", Class: NoFormat, Body: []byte(body + "nonsense endsolid\n")},
		{Name: "two corners", Class: NoFormat, Body: []byte(strings.Replace(one, "vertex 0 0 0\n", "", 1))},
		{Name: "number that is none", Class: NoFormat, Body: []byte(strings.Replace(one, "vertex 0 20 0", "vertex 0 2O 0", 1))},
		{Name: "1e999", Class: NoFormat, Body: []byte(strings.Replace(one, "vertex 0 20 0", "vertex 1e999 0 0", 1))},
		{Name: "nan in text", Class: NoShape, Body: []byte(strings.Replace(one, "vertex 0 20 0", "vertex nan 0 0", 1))},
		{Name: "a word without end", Class: NoFormat, Body: []byte("solid x\nfacet normal " + strings.Repeat("1", 1<<20))},
		{Name: "a line of 1 GiB", Class: TooBig, Body: []byte("solid x\nfacet normal "), Size: 1 << 30},
		{Name: "a name of 1 GiB", Class: TooBig, Body: []byte("solid "), Size: 1 << 30},
		{Name: "zeros", Class: NoFormat, Body: make([]byte, 1<<16)},
		{Name: "1 TiB of zeros", Class: NoFormat, Size: 1 << 40},
		{Name: "begins with solid and lies of its count", Class: NoFormat, Body: binarySTL("solid cube", cube())[:84+50*11]},
	}
	return append(files, said("a hole of 10^6 triangles", 1e6), said("10^7 shells", 4e7), said("a hole of 2^31 triangles", 1<<31))
}

// lines are triangles without an area.
func lines(n int) []facet {
	var f []facet
	for i := range n {
		x := float32(i)
		f = append(f, facet{{x, 0, 0}, {x + 1, 1, 1}, {x + 2, 2, 2}})
	}
	return f
}

// objCube is the corners of a cube, and objFaces the sides to it.
const (
	objCorners = "v 0 0 0\nv 20 0 0\nv 20 20 0\nv 0 20 0\nv 0 0 20\nv 20 0 20\nv 20 20 20\nv 0 20 20\n"
	objFaces   = "f 4 3 2 1\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"
)

// OBJ are lies of OBJ files: threat T16.
func OBJ() []File {
	good := objCorners + objFaces
	replaced := func(with string) string { return strings.Replace(good, "v 20 0 0", with, 1) }
	var files []File
	for _, c := range []struct {
		name, text string
		class      Class
	}{
		{"no corner", "f 1 2 3\n", NoFormat},
		{"no face", objCorners, NoShape},
		{"index 0", objCorners + "f 0 1 2\n", NoFormat},
		{"index too large", objCorners + "f 1 2 9\n", NoFormat},
		{"index too far back", objCorners + "f 1 2 -9\n", NoFormat},
		{"index of 2^31", objCorners + "f 1 2 2147483648\n", NoFormat},
		{"index of 10^30", objCorners + "f 1 2 1000000000000000000000000000000\n", NoFormat},
		{"index that is none", objCorners + "f 1 2 x\n", NoFormat},
		{"empty index", objCorners + "f 1 2 /3\n", NoFormat},
		{"two corners", objCorners + "f 1 2\n", NoFormat},
		{"4097 corners", objCorners + "f" + strings.Repeat(" 1", 4097) + "\n", NoFormat},
		{"only lines", objCorners + "f 1 1 2\nf 3 3 3\n", NoShape},
		{"flat", objCorners + "f 1 2 3 4\n", NoShape},
		{"NaN", replaced("v nan 0 0"), NoShape},
		{"Inf", replaced("v -Inf 0 0"), NoShape},
		{"1e38", replaced("v 1e38 0 0"), NoShape},
		{"1e999", replaced("v 1e999 0 0"), NoFormat},
		{"hexadecimal", replaced("v 0x1p4 0 0"), NoFormat},
		{"two coordinates", "v 1 2\n" + good, NoFormat},
		{"a comma", replaced("v 20,5 0 0"), NoFormat},
		{"a number of 1 kB", replaced("v 20." + strings.Repeat("0", 1000) + " 0 0"), NoFormat},
		{"curves", good + "curv2 1 2 3\n", Unsupported},
		{"bytes behind", good + "\x01\x02\x03\n", NoFormat},
		{"a word without end", "v " + strings.Repeat("1", 1<<20), NoFormat},
		{"a line without end", objCorners + "# " + strings.Repeat("x", 8<<20), NoShape},
		{"a statement too long", good + strings.Repeat("f", 200) + "\n", NoFormat},
		{"corners without end", strings.Repeat("v 1 2 3\n", 1<<18), TooBig},
	} {
		files = append(files, File{Name: c.name, Class: c.class, Body: []byte(c.text)})
	}
	return files
}
