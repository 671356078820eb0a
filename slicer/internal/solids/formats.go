package solids

import (
	"archive/zip"
	"bufio"
	"fmt"
	"io"
)

// corners lists every corner once, and each triangle by the numbers of its corners.
func (s Soup) corners() (points []Point, tris [][3]int) {
	index := map[Point]int{}
	for _, t := range s {
		var n [3]int
		for k, p := range t {
			i, ok := index[p]
			if !ok {
				i = len(points)
				index[p] = i
				points = append(points, p)
			}
			n[k] = i
		}
		tris = append(tris, n)
	}
	return points, tris
}

// WriteOBJ writes the body as an OBJ file.
func (s Soup) WriteOBJ(w io.Writer) error {
	b := bufio.NewWriter(w)
	points, tris := s.corners()
	fmt.Fprintln(b, "# Platen test model\no body")
	for _, p := range points {
		fmt.Fprintf(b, "v %v %v %v\n", p.X.MM(), p.Y.MM(), p.Z.MM())
	}
	for _, t := range tris {
		fmt.Fprintf(b, "f %d %d %d\n", t[0]+1, t[1]+1, t[2]+1)
	}
	return b.Flush()
}

const relations = `<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
	`<Relationship Target="/3D/3dmodel.model" Id="r0" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>
`

const contentTypes = `<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
	`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
	`<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>
`

// Write3MF writes the body as a 3MF file, not compressed, so that it is the same
// whichever version of Go writes it.
func (s Soup) Write3MF(w io.Writer) error {
	z := zip.NewWriter(w)
	for _, part := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"[Content_Types].xml", func(w io.Writer) error { _, err := io.WriteString(w, contentTypes); return err }},
		{"_rels/.rels", func(w io.Writer) error { _, err := io.WriteString(w, relations); return err }},
		{"3D/3dmodel.model", s.writeModel},
	} {
		f, err := z.CreateHeader(&zip.FileHeader{Name: part.name, Method: zip.Store})
		if err != nil {
			return err
		}
		if err := part.write(f); err != nil {
			return err
		}
	}
	return z.Close()
}

func (s Soup) writeModel(w io.Writer) error {
	b := bufio.NewWriter(w)
	points, tris := s.corners()
	fmt.Fprint(b, `<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources><object id="1" type="model"><mesh><vertices>
`)
	for _, p := range points {
		fmt.Fprintf(b, "<vertex x=\"%v\" y=\"%v\" z=\"%v\"/>\n", p.X.MM(), p.Y.MM(), p.Z.MM())
	}
	fmt.Fprintln(b, "</vertices><triangles>")
	for _, t := range tris {
		fmt.Fprintf(b, "<triangle v1=\"%d\" v2=\"%d\" v3=\"%d\"/>\n", t[0], t[1], t[2])
	}
	fmt.Fprintln(b, `</triangles></mesh></object></resources><build><item objectid="1"/></build></model>`)
	return b.Flush()
}
