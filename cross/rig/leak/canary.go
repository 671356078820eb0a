package leak

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"unicode/utf16"

	"platen/hal/unit"
)

// Canary is a model that is nowhere else: its corners are drawn by chance and its
// header, its names and its metadata are words that nobody else writes. It stands where
// a bed of 220 mm puts it anyway, so that a printer's own coordinates are the file's.
type Canary struct {
	// Word is what stands in header, names and metadata, with a number behind it.
	Word string
	// Points are the corners in mm, exact in the slicer's unit of 1/65536 mm.
	Points [][3]float32

	faces [][3]int
}

// Words of a canary: where in its files they stand.
const (
	wordHeader = "-header"
	wordObject = "-object"
	wordTitle  = "-title"
	wordMaker  = "-maker"
)

// NewCanary draws a canary: a prism of sides sides, around 20 mm wide and as high as
// height says in mm. Different seeds have nothing in common.
func NewCanary(seed uint64, sides, height int) *Canary {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	src := rand.NewChaCha8(key)
	rng := rand.New(src)
	word := make([]byte, 9)
	src.Read(word)
	c := &Canary{Word: "vogelkanarie" + hex.EncodeToString(word)}
	const middle, reach = 110, 10
	exact := func(mm float64) float32 {
		return float32(math.Round(mm*float64(unit.Millimetre)) / float64(unit.Millimetre))
	}
	corner := func(i int) (x, y float32) {
		at := 2 * math.Pi * (float64(i) + 0.6*rng.Float64()) / float64(sides)
		far := reach * (0.75 + 0.2*rng.Float64())
		x, y = exact(middle+far*math.Cos(at)), exact(middle+far*math.Sin(at))
		switch { // four corners reach out to the box, whose middle is the bed's then
		case i == 0:
			x = middle + reach
		case i == sides/2:
			x = middle - reach
		case i == sides/4:
			y = middle + reach
		case i == sides*3/4:
			y = middle - reach
		}
		return x, y
	}
	for i := range sides {
		x, y := corner(i)
		c.Points = append(c.Points, [3]float32{x, y, 0}, [3]float32{x, y, float32(height)})
	}
	c.Points = append(c.Points, [3]float32{middle, middle, 0}, [3]float32{middle, middle, float32(height)})
	floor, roof := 2*sides, 2*sides+1
	for i := range sides {
		a, b := 2*i, 2*((i+1)%sides)
		c.faces = append(c.faces, [3]int{a, b, b + 1}, [3]int{a, b + 1, a + 1}, [3]int{floor, b, a}, [3]int{roof, a + 1, b + 1})
	}
	return c
}

// STL is the canary as binary STL.
func (c *Canary) STL() []byte {
	b := make([]byte, 80, 84+50*len(c.faces))
	copy(b, c.Word+wordHeader)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.faces)))
	for _, f := range c.faces {
		b = append(b, make([]byte, 12)...) // a normal that is the reader's to find
		for _, i := range f {
			for _, v := range c.Points[i] {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
		}
		b = append(b, 0, 0)
	}
	return b
}

// ThreeMF is the canary as a 3MF package, whose parts are compressed or stored.
func (c *Canary) ThreeMF(method uint16) ([]byte, error) {
	var m bytes.Buffer
	fmt.Fprintf(&m, `<?xml version="1.0" encoding="UTF-8"?><model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">`+
		`<metadata name="Title">%s</metadata><metadata name="Designer">%s</metadata><resources><object id="1" type="model" name="%s"><mesh><vertices>`,
		c.Word+wordTitle, c.Word+wordMaker, c.Word+wordObject)
	for _, p := range c.Points {
		fmt.Fprintf(&m, `<vertex x="%s" y="%s" z="%s"/>`, short(p[0]), short(p[1]), short(p[2]))
	}
	m.WriteString(`</vertices><triangles>`)
	for _, f := range c.faces {
		fmt.Fprintf(&m, `<triangle v1="%d" v2="%d" v3="%d"/>`, f[0], f[1], f[2])
	}
	m.WriteString(`</triangles></mesh></object></resources><build><item objectid="1"/></build></model>`)
	const relation = `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="m" Target="/3D/3dmodel.model" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>`
	const types = `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>`
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range []struct{ name, text string }{{"[Content_Types].xml", types}, {"_rels/.rels", relation}, {"3D/3dmodel.model", m.String()}} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: method})
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

// short is a coordinate as a file has it: the shortest text that is it and no other.
func short(v float32) string { return strconv.FormatFloat(float64(v), 'f', -1, 32) }

// AddCanary adds a canary: its words, and its corners as [Set.AddPoint] has them.
func (s *Set) AddCanary(c *Canary) {
	for _, w := range []string{wordHeader, wordObject, wordTitle, wordMaker} {
		s.AddText(c.Word+w, "word")
	}
	for _, p := range c.Points[:len(c.Points)-2] { // the last are the middle of the bed, as every model's
		s.AddPoint(p)
	}
}

// AddText adds a text in UTF-8, and in UTF-16 of both orders.
func (s *Set) AddText(text, kind string) {
	s.addAll([]byte(text), kind)
	var little, big []byte
	for _, u := range utf16.Encode([]rune(text)) {
		little, big = binary.LittleEndian.AppendUint16(little, u), binary.BigEndian.AppendUint16(big, u)
	}
	s.addAll(little, kind+" in UTF-16")
	s.addAll(big, kind+" in UTF-16, big end first")
}

// AddPoint adds a corner in mm by its first two coordinates: as floats of 32 and 64
// bits and as whole numbers of 32 and 64 bits in the slicer's unit, of both ends, and as
// decimal text, whole and rounded as G-code has it, with what may stand between two
// numbers.
func (s *Set) AddPoint(p [3]float32) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		var narrow, wide, fixed, long []byte
		for _, v := range p[:2] {
			n := int32(math.Round(float64(v) * float64(unit.Millimetre)))
			narrow = order.AppendUint32(narrow, math.Float32bits(v))
			wide = order.AppendUint64(wide, math.Float64bits(float64(v)))
			fixed = order.AppendUint32(fixed, uint32(n))
			long = order.AppendUint64(long, uint64(n))
		}
		name := fmt.Sprintf(" (%v)", order)
		s.addAll(narrow, "float32"+name)
		s.addAll(wide, "float64"+name)
		s.addAll(fixed, "fixed point"+name)
		s.addAll(long, "long fixed point"+name)
	}
	for _, digits := range []int{-1, 3, 4, 5, 6} {
		x, y := strconv.FormatFloat(float64(p[0]), 'f', digits, 32), strconv.FormatFloat(float64(p[1]), 'f', digits, 32)
		if digits > 0 {
			s.AddText("X"+x+" Y"+y, "G-code")
			s.AddText("X"+x+"Y"+y, "G-code without spaces")
		}
		for _, between := range []string{" ", ",", ", ", `" y="`, "\n", "\t", ";"} {
			s.Add([]byte(x+between+y), "text")
		}
	}
}
